package consume

import (
	"context"
	"errors"
	"fmt"
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
)

// ProcessorConfig says what the SDK's Processor is to consume and how.
type ProcessorConfig struct {
	Settings

	Client *Client
	Store  azeventhubs.CheckpointStore

	// SDK is the listener that was set before the client was made.
	SDK *SDKLog

	// From is where a partition without a checkpoint begins, as [ParsePosition] reads it.
	From string

	Strategy       azeventhubs.ProcessorStrategy
	UpdateInterval time.Duration
}

// RunProcessor consumes with the SDK's Processor until ctx ends and returns nil then, when everything printed has been
// checkpointed and the partitions have been relinquished. It ends by itself with the error of the output, or with that
// of the Processor.
func RunProcessor(ctx context.Context, config ProcessorConfig) error {
	from, err := ParsePosition(config.From)
	if err != nil {
		return err
	}
	points := &startingPoints{CheckpointStore: config.Store, from: config.From, log: config.Log}
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
	c := &processorConsumer{ProcessorConfig: config, processor: processor, points: points}
	return c.run(ctx)
}

// processorConsumer is one RunProcessor.
type processorConsumer struct {
	ProcessorConfig

	processor *azeventhubs.Processor
	points    *startingPoints
	printer   printer

	readers  sync.WaitGroup
	mu       sync.Mutex
	open     map[*azeventhubs.ProcessorPartitionClient]bool
	failures []error
}

func (c *processorConsumer) run(ctx context.Context) error {
	// Three things end one after the other: receiving, then saving, then the processor, which relinquishes.
	receiving, stopReceiving := context.WithCancel(ctx)
	defer stopReceiving()
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSaving()
	processing, stopProcessing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopProcessing()
	c.printer.out = &output{w: c.Output, onFailed: stopReceiving}
	c.open = make(map[*azeventhubs.ProcessorPartitionClient]bool)

	defer tellOfStop(ctx, c.Log)()

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
	c.printer.tell(c.Log)
	if err := c.printer.out.failure(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.failures...)
}

func (c *processorConsumer) start(
	receiving, saving context.Context, client *azeventhubs.ProcessorPartitionClient,
) {
	partition := client.PartitionID()
	log := c.Log.With(zap.String("partition", partition))
	log.Info("partition opened", append(c.points.fields(partition), zap.String("owner", c.Client.InstanceID()))...)
	r := &reader{
		partition: processorPartition{client, log},
		printer:   &c.printer,
		progress:  progress{count: c.CheckpointCount, interval: c.CheckpointInterval},
		log:       log,
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
func (c *processorConsumer) failUnlessLost(err error) {
	if err == nil || reason(err) != "failed" {
		return
	}
	c.fail(err)
}

func (c *processorConsumer) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, err)
}

// drain waits for the readers to finish what they began.
func (c *processorConsumer) drain(stopSaving func()) {
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		c.readers.Wait()
	}()
	if await(drained, stallNotice) {
		return
	}
	c.printer.tellOfStall(c.Log)
	if await(drained, drainLimit-stallNotice) {
		return
	}
	c.Log.Error("readers did not finish in time: standard output is stuck, or etcd does not take their last checkpoints",
		zap.Duration("limit", drainLimit))
	stopSaving()
	if !await(drained, closeLimit) {
		c.fail(errStuck)
	}
}

func (c *processorConsumer) closeClients() {
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

func (c *processorConsumer) close(client *azeventhubs.ProcessorPartitionClient) {
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	if err := client.Close(ctx); err != nil {
		c.Log.Debug("closing a link failed", zap.String("partition", client.PartitionID()), zap.Error(err))
	}
}
