package eventhubs

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/internal/backoff"
)

const (
	// A link that is lost is opened again after a pause, which grows from the shorter to the longer. The SDK has tried for
	// a while by then, unless its retries are switched off.
	reopenLeast = 100 * time.Millisecond
	reopenMost  = 10 * time.Second

	// reopenTries is how often in a row a link may fail without having brought an event. Then it is for the balancer to
	// try again, and to give the partition to a member that may be connected better.
	reopenTries = 5

	// closeLimit bounds a link's end. Nobody waits for it but a consumer that is about to return.
	closeLimit = 5 * time.Second
)

// batch is what a reader hands on: events, and where they end. One without events says where the partition begins,
// which is to be checkpointed before anything is read.
type batch struct {
	events []*azeventhubs.ReceivedEventData
	end    position
}

// reader reads one partition: it opens the link, opens it again where it was when it is lost, and hands on batches.
//
// It has a goroutine of its own because calls of the SDK can outlast their contexts: they wait for locks that other
// partitions' calls hold while they connect. Who takes the batches can stop at once and leave it behind.
type reader struct {
	*Consumer

	partition *balancer.Partition
	fence     int64
	log       *zap.Logger

	// start is where to read next, and stored whether that is the partition's checkpoint or after it.
	start  azeventhubs.StartPosition
	stored bool

	batches chan batch
	failed  chan error // gets one error, when all batches before it have been taken
}

func (c *Consumer) newReader(p *balancer.Partition) (*reader, error) {
	fence, err := strconv.ParseInt(p.Ownership().ETag, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read the fence: %w", err)
	}
	r := &reader{
		Consumer:  c,
		partition: p,
		fence:     fence,
		log:       c.log.With(zap.String("partition", p.ID())),
		start:     startWithout(c.options.StartPositions, p.ID()),
		batches:   make(chan batch),
		failed:    make(chan error, 1),
	}
	if checkpoint, found := p.Start(); found {
		r.goOnAfter(checkpoint.SequenceNumber, checkpoint.Offset)
	}
	return r, nil
}

func (r *reader) goOnAfter(sequenceNumber *int64, offset *string) {
	r.start, r.stored = after(sequenceNumber, offset), true
}

// run reads until ctx ends, or until it cannot go on and says why on failed.
func (r *reader) run(ctx context.Context) {
	if err := r.read(ctx); err != nil && ctx.Err() == nil {
		r.failed <- err
	}
}

func (r *reader) read(ctx context.Context) error {
	if err := r.settle(ctx); err != nil {
		return err
	}
	pause := backoff.New(reopenLeast, reopenMost)
	for tries := 1; ; tries++ {
		received, err := r.readLink(ctx)
		if received {
			tries = 1
			pause.Reset()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case isCutOff(err):
			return fmt.Errorf("%w: partition %s of %s: %w", ErrCutOff, r.partition.ID(), r.group, err)
		case isStartRefused(err):
			return r.startRefused(err)
		case isForeignOffset(err) && !isSet(r.start.Earliest):
			r.beginAgain(err)
			continue
		case tries == reopenTries:
			return fmt.Errorf("read partition %s of %s: %w", r.partition.ID(), r.group, err)
		}
		r.log.Warn("the link was lost; opening it again", zap.String("start", describe(r.start)), zap.Error(err))
		if err := pause.Wait(ctx); err != nil {
			return err
		}
	}
}

// settle turns "latest" into the place that it means now, and has that checkpointed. Otherwise a link that is opened
// again, or the next owner, would begin at a later place and skip what has come meanwhile.
func (r *reader) settle(ctx context.Context) error {
	if r.stored || !isLatest(r.start) {
		return nil
	}
	properties, err := r.client.GetPartitionProperties(ctx, r.partition.ID(), nil)
	if err != nil {
		return fmt.Errorf("ask for the latest event of partition %s of %s: %w", r.partition.ID(), r.group, err)
	}
	end := position{properties.LastEnqueuedSequenceNumber, properties.LastEnqueuedOffset}
	return r.hand(ctx, batch{end: end})
}

// readLink opens a link and reads from it until it fails or ctx ends.
func (r *reader) readLink(ctx context.Context) (received bool, err error) {
	level := r.ownerLevel()
	link, err := r.client.NewPartitionClient(r.partition.ID(), &azeventhubs.PartitionClientOptions{
		StartPosition: r.start,
		OwnerLevel:    &level,
		Prefetch:      r.options.Prefetch,
	})
	if err != nil {
		return false, fmt.Errorf("make the partition's client: %w", err)
	}
	defer r.close(ctx, link)
	r.log.Info("opening the link", zap.String("start", describe(r.start)), zap.Int64("owner_level", level))
	for {
		events, err := r.receive(ctx, link)
		if err != nil {
			return received, err
		}
		received = true
		if err := r.hand(ctx, batch{events, endOf(events)}); err != nil {
			return received, err
		}
	}
}

// ownerLevel is the level for a link that is opened now. While the SDK's Processor is in the group it is the
// Processor's own, which could not take over from a higher one.
func (r *reader) ownerLevel() int64 {
	if r.partition.Mixed() {
		return 0
	}
	return r.fence
}

// receive waits for an event and takes with it what comes at the same time. The SDK waits for as many events as it is
// asked for; asking for one and then, briefly, for more is both prompt and fast.
func (r *reader) receive(
	ctx context.Context, link *azeventhubs.PartitionClient,
) ([]*azeventhubs.ReceivedEventData, error) {
	events, err := link.ReceiveEvents(ctx, 1, nil)
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	if r.options.BatchSize == 1 {
		return events, nil
	}
	briefly, cancel := context.WithTimeout(ctx, r.options.BatchWait)
	defer cancel()
	more, err := link.ReceiveEvents(briefly, r.options.BatchSize-1, nil)
	if err == nil {
		events = append(events, more...)
	} // Otherwise the next call says what has happened to the link.
	return events, nil
}

// hand waits until the batch is taken or ctx ends.
func (r *reader) hand(ctx context.Context, b batch) error {
	select {
	case r.batches <- b:
		r.goOnAfter(&b.end.sequenceNumber, &b.end.offset)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *reader) close(ctx context.Context, link *azeventhubs.PartitionClient) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeLimit)
	defer cancel()
	if err := link.Close(bounded); err != nil {
		r.log.Debug("the link could not be closed well", zap.Error(err))
	}
}

// beginAgain starts a partition over, as the SDK's Processor does too, since a namespace that has been given
// geo-replication knows the offsets of before no longer. Nothing is skipped.
func (r *reader) beginAgain(err error) {
	r.log.Warn("the namespace was given geo-replication since the partition's checkpoint was written, and does not know "+
		"its offset any longer; the partition is read again from its earliest event", zap.Error(err))
	r.start = azeventhubs.StartPosition{Earliest: new(true)}
}

func (r *reader) startRefused(err error) error {
	refused := &StartRefusedError{Group: r.group, PartitionID: r.partition.ID(), Start: describe(r.start), Err: err}
	if r.stored {
		fence := r.partition.Fence()
		refused.CheckpointKey = checkpointKey(string(fence.KeyBytes()))
	}
	return refused
}

// checkpointKey is the key of a partition's checkpoint, which differs from that of its ownership in one segment.
func checkpointKey(ownershipKey string) string {
	const ownership, checkpoint = "/ownership/", "/checkpoint/"
	i := strings.LastIndex(ownershipKey, ownership)
	return ownershipKey[:i] + checkpoint + ownershipKey[i+len(ownership):]
}
