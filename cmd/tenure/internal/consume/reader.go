package consume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
)

// batchSize is how many events are printed at a time: as many as the SDK prefetches.
const batchSize = 300

// partition is one partition as its owner has it.
type partition interface {
	// receive waits for events. Some may come together with an error.
	receive(ctx context.Context) ([]event, error)

	// checkpoint writes how far the partition has been printed.
	checkpoint(ctx context.Context, p position) error

	// finish does so when the partition is given up. It reports whether the position is written: it may be left to
	// whoever gives the partition up.
	finish(ctx context.Context, p position) (written bool, err error)
}

// reader prints one partition's events and checkpoints them.
type reader struct {
	partition partition
	printer   *printer
	progress  progress
	log       *zap.Logger
	events    int64
}

// run reads until receiving ends, and returns nil then, or until the partition cannot or must not be read on. What has
// been printed is checkpointed before it returns, unless the output failed or saving has ended. When saving ends,
// nothing is printed any more.
func (r *reader) run(receiving, saving context.Context) error {
	for {
		events, err := r.receive(receiving)
		if saving.Err() != nil { // by the clock, where it is a lease's
			return context.Cause(saving)
		}
		if len(events) > 0 {
			if err := r.print(events); err != nil {
				return err
			}
		}
		ended := err != nil && !errors.Is(err, context.DeadlineExceeded)
		switch {
		case receiving.Err() != nil:
			return r.finish(saving) // Receiving failed because it was ended.
		case r.progress.due(time.Now()) || ended && r.progress.unsaved > 0:
			if err := r.save(saving, ended); err != nil {
				return err
			}
		}
		if ended {
			return err
		}
	}
}

// receive waits for events until the position is due to be saved.
func (r *reader) receive(ctx context.Context) ([]event, error) {
	if limit, limited := r.progress.wait(time.Now()); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return r.partition.receive(ctx)
}

func (r *reader) print(events []event) error {
	if err := r.printer.printAll(events); err != nil {
		return err
	}
	r.progress.add(events, time.Now())
	r.events += int64(len(events))
	return nil
}

// save checkpoints the last printed event. It returns an error if the reader must stop because of it, or if it is the
// last try.
func (r *reader) save(ctx context.Context, last bool) error {
	if err := r.printer.out.awaitRead(ctx); err != nil {
		return err
	}
	err := r.partition.checkpoint(ctx, r.progress.last)
	if err == nil {
		r.saved()
		return nil
	}
	if err := r.failed(err); last || isRejected(err) {
		return err
	}
	r.progress.postpone(time.Now())
	r.log.Error("checkpoint failed; it will be tried again", r.sequenceNumber(), zap.Error(err))
	return nil
}

// finish gives up the last printed event.
func (r *reader) finish(ctx context.Context) error {
	if r.progress.unsaved == 0 {
		return nil
	}
	if err := r.printer.out.awaitRead(ctx); err != nil {
		return err
	}
	written, err := r.partition.finish(ctx, r.progress.last)
	switch {
	case err != nil:
		return r.failed(err)
	case written:
		r.saved()
	default:
		r.log.Debug("the last checkpoint goes with the partition", r.sequenceNumber())
		r.progress.saved()
	}
	return nil
}

func (r *reader) saved() {
	r.progress.saved()
	r.log.Debug("checkpoint written", r.sequenceNumber())
}

// failed says what became of a checkpoint, and counts it if it was rejected.
func (r *reader) failed(err error) error {
	if isRejected(err) {
		r.printer.rejected.Add(1)
	}
	return fmt.Errorf("checkpoint %d events: %w", r.progress.unsaved, err)
}

func (r *reader) sequenceNumber() zap.Field {
	return zap.Int64("sequence_number", r.progress.last.sequenceNumber)
}

// isRejected reports whether etcd has refused a checkpoint: the partition is another's, or somebody else wrote one.
func isRejected(err error) bool {
	return errors.Is(err, etcdstore.ErrOwnershipLost) || errors.Is(err, etcdstore.ErrCheckpointConflict)
}

// reason says in a few words why a reader stopped, for the log.
func reason(err error) string {
	var hub *azeventhubs.Error
	switch {
	case err == nil:
		return "stopping"
	case errors.Is(err, etcdstore.ErrOwnershipLost),
		errors.As(err, &hub) && hub.Code == azeventhubs.ErrorCodeOwnershipLost:
		return "ownership lost"
	case errors.Is(err, errOutput):
		return "output failed"
	case errors.Is(err, etcdstore.ErrCheckpointConflict):
		return "checkpoint changed by another writer"
	case errors.Is(err, balancer.ErrTrustEnded), errors.Is(err, balancer.ErrDrainTimeout):
		return err.Error()
	case errors.As(err, &hub) && hub.Code == azeventhubs.ErrorCodeConnectionLost:
		return "connection lost"
	}
	return "failed"
}
