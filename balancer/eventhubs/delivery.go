package eventhubs

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
)

// delivery hands what a reader reads to the program's handler and checkpoints what that has handled. It does all this
// in one goroutine, so that a checkpoint can only cover what has been handled.
type delivery struct {
	*Consumer

	partition *balancer.Partition
	reader    *reader
	progress  *progress
}

func (c *Consumer) newDelivery(p *balancer.Partition, r *reader) *delivery {
	return &delivery{
		Consumer:  c,
		partition: p,
		reader:    r,
		progress:  newProgress(c.options.CheckpointCount, c.options.CheckpointInterval),
	}
}

// run returns nil when the partition has been drained, and otherwise why it ended.
func (d *delivery) run(ctx context.Context) error {
	for {
		var err error
		select {
		case <-d.partition.Draining():
			d.finish()
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-d.progress.due():
			err = d.checkpoint(ctx)
		case failure := <-d.reader.failed:
			return d.giveUp(ctx, failure)
		case b := <-d.reader.batches:
			err = d.deliver(ctx, b)
		}
		if err != nil {
			return err
		}
	}
}

// deliver has a batch handled. One that comes when the partition is to be given up is left to its next owner.
func (d *delivery) deliver(ctx context.Context, b batch) error {
	switch {
	case ctx.Err() != nil: // by the clock, perhaps before its Done has closed
		return context.Cause(ctx)
	case isClosed(d.partition.Draining()):
		return nil
	case len(b.events) == 0:
		return d.write(ctx, b.end)
	}
	if err := d.handler(ctx, d.partition, b.events); err != nil {
		return d.giveUp(ctx, fmt.Errorf("handle events %d to %d: %w", b.events[0].SequenceNumber, b.end.sequenceNumber, err))
	}
	if due := d.progress.add(len(b.events), b.end); due {
		return d.checkpoint(ctx)
	}
	return nil
}

// giveUp checkpoints what was handled before the failure, so that only what failed is tried again.
func (d *delivery) giveUp(ctx context.Context, failure error) error {
	if ctx.Err() != nil {
		return failure
	}
	return errors.Join(failure, d.checkpoint(ctx))
}

// checkpoint writes how far the handler has come, if it is not written yet.
func (d *delivery) checkpoint(ctx context.Context) error {
	if d.options.ManualCheckpoints || d.progress.unsaved == 0 {
		return nil
	}
	if err := d.write(ctx, d.progress.end); err != nil {
		return err
	}
	d.progress.saved()
	return nil
}

// finish leaves the last checkpoint to the balancer, which writes it and gives the partition up in one transaction.
func (d *delivery) finish() {
	if !d.options.ManualCheckpoints && d.progress.unsaved > 0 {
		d.partition.Finish(&d.progress.end.sequenceNumber, &d.progress.end.offset)
	}
}

func isClosed(channel <-chan struct{}) bool {
	select {
	case <-channel:
		return true
	default:
		return false
	}
}

func (d *delivery) write(ctx context.Context, end position) error {
	if err := d.partition.Checkpoint(ctx, &end.sequenceNumber, &end.offset); err != nil {
		return fmt.Errorf("checkpoint up to event %d: %w", end.sequenceNumber, err)
	}
	d.log.Debug("checkpoint written", zap.String("partition", d.partition.ID()),
		zap.Int64("sequence_number", end.sequenceNumber))
	return nil
}
