package consume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"
)

const (
	// drainLimit bounds how long readers may take to finish what they began.
	drainLimit = 10 * time.Second

	// closeLimit bounds the closing of links, and then again the relinquishing: the SDK gives it a minute, which is longer
	// than most supervisors wait. What is not relinquished in time is freed when the lease is revoked.
	closeLimit = 5 * time.Second

	// stallNotice is how long the readers may take to finish before the log says what is waited for.
	stallNotice = 500 * time.Millisecond
)

// Config says what to consume and how.
type Config struct {
	Client *Client
	Store  azeventhubs.CheckpointStore

	// Prefix is that of the store's keys, and SDK the listener that was set before the client was made.
	Prefix string
	SDK    *SDKLog

	// From is where a partition without a checkpoint begins, as [ParsePosition] reads it.
	From string

	Strategy       azeventhubs.ProcessorStrategy
	UpdateInterval time.Duration

	// A partition is checkpointed after this many events, or this long after the first that is not covered.
	CheckpointCount    int
	CheckpointInterval time.Duration

	Output io.Writer
	Log    *zap.Logger
}

// Run consumes until ctx ends and returns nil then, when everything printed has been checkpointed and the partitions
// have been relinquished. It ends by itself with the error of the output, or with that of the Processor.
func Run(ctx context.Context, config Config) error {
	from, err := ParsePosition(config.From)
	if err != nil {
		return err
	}
	points := &startingPoints{CheckpointStore: config.Store, prefix: config.Prefix, from: config.From, log: config.Log}
	if isUnusualOffset(from) {
		config.Log.Warn("the offset of --from is no number, as only those of namespaces with geo-replication are not",
			zap.String("from", config.From))
	}
	refused := refusedStart(points.refused)
	config.SDK.refused.Store(&refused)
	processor, err := azeventhubs.NewProcessor(config.Client.ConsumerClient, points, &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy: config.Strategy,
		UpdateInterval:        config.UpdateInterval,
		StartPositions:        azeventhubs.StartPositions{Default: from},
	})
	if err != nil {
		return fmt.Errorf("make the processor: %w", err)
	}
	c := &consumer{Config: config, processor: processor, points: points}
	return c.run(ctx)
}

// consumer is one Run.
type consumer struct {
	Config

	processor *azeventhubs.Processor
	points    *startingPoints
	out       *output
	totals    totals

	readers  sync.WaitGroup
	mu       sync.Mutex
	open     map[*azeventhubs.ProcessorPartitionClient]bool
	failures []error
}

func (c *consumer) run(ctx context.Context) error {
	// Three things end one after the other: receiving, then saving, then the processor, which relinquishes.
	receiving, stopReceiving := context.WithCancel(ctx)
	defer stopReceiving()
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSaving()
	processing, stopProcessing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopProcessing()
	c.out = &output{w: c.Output, onFailed: stopReceiving}
	c.open = make(map[*azeventhubs.ProcessorPartitionClient]bool)

	defer context.AfterFunc(ctx, func() {
		c.Log.Info("stopping: what is being printed is finished and checkpointed, then the partitions are given up; " +
			"a second signal ends at once")
	})()

	processed := make(chan error, 1)
	go func() {
		defer stopReceiving()
		processed <- c.processor.Run(processing)
	}()
	for {
		client := c.processor.NextPartitionClient(receiving)
		if client == nil {
			break
		}
		c.start(receiving, saving, client)
	}
	stopReceiving() // The processor may have ended by itself.

	c.drain(stopSaving)
	stopProcessing()
	c.closeClients()
	select {
	case err := <-processed:
		if err != nil {
			c.fail(fmt.Errorf("the processor stopped: %w", err))
		}
	case <-time.After(closeLimit):
		c.Log.Warn("the partitions could not be relinquished in time; they are free when the lease is revoked or has run out")
	}
	c.Log.Info("consumed", zap.Int64("events", c.totals.events.Load()),
		zap.Int64("checkpoints", c.totals.checkpoints.Load()), zap.Int64("rejected_checkpoints", c.totals.rejected.Load()))
	if err := c.out.failure(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.failures...)
}

func (c *consumer) start(
	receiving, saving context.Context, client *azeventhubs.ProcessorPartitionClient,
) {
	partition := client.PartitionID()
	log := c.Log.With(zap.String("partition", partition))
	log.Info("partition opened", append(c.points.fields(partition), zap.String("owner", c.Client.InstanceID()))...)
	r := &reader{
		client:   client,
		out:      c.out,
		progress: progress{count: c.CheckpointCount, interval: c.CheckpointInterval},
		totals:   &c.totals,
		log:      log,
	}
	c.mu.Lock()
	c.open[client] = true
	c.mu.Unlock()
	c.readers.Go(func() {
		err := r.run(receiving, saving)
		fields := []zap.Field{zap.String("reason", reason(err)), zap.Int64("events", r.events),
			zap.Int("unsaved", r.progress.unsaved)}
		if receiving.Err() != nil {
			// The client stays open until the processor has been told to stop: it would open the partition again.
			log.Info("partition stopped", append(fields, zap.Error(err))...)
			c.failUnlessLost(err)
			return
		}
		log.Warn("partition stopped", append(fields, zap.Error(err))...)
		c.mu.Lock()
		delete(c.open, client)
		c.mu.Unlock()
		c.close(client)
	})
}

// failUnlessLost remembers what went wrong with a reader's last checkpoint: it is the command's failure, unless the
// partition is another owner's by now, who goes on from the checkpoint that is there.
func (c *consumer) failUnlessLost(err error) {
	if err == nil || reason(err) != "failed" {
		return
	}
	c.fail(err)
}

func (c *consumer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, err)
}

// drain waits for the readers to finish what they began.
func (c *consumer) drain(stopSaving func()) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		c.readers.Wait()
	}()
	if awaitDrained(drained, stallNotice) {
		return
	}
	if c.out.waiting.Load() > 0 {
		c.Log.Warn("stopping: waiting for the reader of standard output; a second signal ends at once")
	} else {
		c.Log.Warn("stopping: waiting for etcd to take the last checkpoints; a second signal ends at once")
	}
	if awaitDrained(drained, drainLimit-stallNotice) {
		return
	}
	c.Log.Error("readers did not finish in time: standard output is stuck, or etcd does not take their last checkpoints",
		zap.Duration("limit", drainLimit))
	stopSaving()
	if !awaitDrained(drained, closeLimit) {
		c.fail(errors.New("standard output is stuck: what could not be printed was not checkpointed"))
	}
}

func awaitDrained(drained <-chan struct{}, limit time.Duration) bool {
	select {
	case <-drained:
		return true
	case <-time.After(limit):
		return false
	}
}

func (c *consumer) closeClients() {
	c.mu.Lock()
	clients := c.open
	c.open = nil
	c.mu.Unlock()
	var closing sync.WaitGroup
	for client := range clients {
		closing.Go(func() { c.close(client) })
	}
	closing.Wait()
}

func (c *consumer) close(client *azeventhubs.ProcessorPartitionClient) {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	if err := client.Close(ctx); err != nil {
		c.Log.Debug("closing a link failed", zap.String("partition", client.PartitionID()), zap.Error(err))
	}
}
