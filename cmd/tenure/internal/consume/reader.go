package consume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

const (
	// batchSize is what the SDK prefetches.
	batchSize = 300

	// gather is how long a batch that has begun waits for more events that are already on their way.
	gather = 5 * time.Millisecond
)

// partitionClient is [azeventhubs.ProcessorPartitionClient].
type partitionClient interface {
	PartitionID() string
	ReceiveEvents(
		ctx context.Context, count int, options *azeventhubs.ReceiveEventsOptions,
	) ([]*azeventhubs.ReceivedEventData, error)
	UpdateCheckpoint(
		ctx context.Context, latest *azeventhubs.ReceivedEventData, options *azeventhubs.UpdateCheckpointOptions,
	) error
}

// totals count what all readers did.
type totals struct {
	events, checkpoints, rejected atomic.Int64
}

// reader prints one partition's events and checkpoints them.
type reader struct {
	client   partitionClient
	out      *output
	progress progress
	totals   *totals
	log      *zap.Logger
	events   int64
}

// run reads until receiving ends, and returns nil then, or until the partition cannot or must not be read on. What has
// been written is checkpointed before it returns, within the time that saving gives, unless the output failed.
func (r *reader) run(receiving, saving context.Context) error {
	for {
		events, err := r.receive(receiving)
		if len(events) > 0 {
			if err := r.print(events); err != nil {
				return err
			}
		}
		stopping := receiving.Err() != nil
		ended := stopping || err != nil && !errors.Is(err, context.DeadlineExceeded)
		if r.progress.due(time.Now()) || ended && r.progress.unsaved > 0 {
			if err := r.save(saving, ended); err != nil {
				return err
			}
		}
		switch {
		case stopping:
			return nil //nolint:nilerr // Receiving failed because it was ended.
		case ended:
			return err
		}
	}
}

// receive waits for a first event until the position is due to be saved, and takes what comes with it. The SDK waits
// for as many events as it is asked for; asking for one and then, briefly, for more gives both prompt lines and large
// batches.
func (r *reader) receive(ctx context.Context) ([]*azeventhubs.ReceivedEventData, error) {
	first, cancel := ctx, context.CancelFunc(func() {})
	if limit, limited := r.progress.wait(time.Now()); limited {
		first, cancel = context.WithTimeout(ctx, limit)
	}
	defer cancel()
	events, err := r.client.ReceiveEvents(first, 1, nil)
	if err != nil {
		return events, err
	}
	briefly, cancel := context.WithTimeout(ctx, gather)
	defer cancel()
	more, err := r.client.ReceiveEvents(briefly, batchSize-1, nil)
	return append(events, more...), err
}

func (r *reader) print(events []*azeventhubs.ReceivedEventData) error {
	var lines bytes.Buffer
	if err := appendLines(&lines, r.client.PartitionID(), events); err != nil {
		return err
	}
	if err := r.out.write(lines.Bytes()); err != nil {
		return err
	}
	r.progress.add(events, time.Now())
	r.events += int64(len(events))
	r.totals.events.Add(int64(len(events)))
	return nil
}

// save checkpoints the last printed event. It returns an error if the reader must stop because of it, or if it is the
// last try.
func (r *reader) save(ctx context.Context, last bool) error {
	if err := r.out.awaitRead(ctx); err != nil {
		return err
	}
	position := zap.Int64("sequence_number", r.progress.last.SequenceNumber)
	err := r.client.UpdateCheckpoint(ctx, r.progress.last, nil)
	switch {
	case err == nil:
		r.progress.saved()
		r.totals.checkpoints.Add(1)
		r.log.Debug("checkpoint written", position)
		return nil
	case errors.Is(err, etcdstore.ErrOwnershipLost), errors.Is(err, etcdstore.ErrCheckpointConflict):
		r.totals.rejected.Add(1)
		r.log.Warn("checkpoint rejected", position, zap.Int("events", r.progress.unsaved), zap.Error(err))
		return fmt.Errorf("checkpoint: %w", err)
	case last:
		return fmt.Errorf("checkpoint %d events: %w", r.progress.unsaved, err)
	}
	r.progress.postpone(time.Now())
	r.log.Error("checkpoint failed; it will be tried again", position, zap.Error(err))
	return nil
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
	case errors.As(err, &hub) && hub.Code == azeventhubs.ErrorCodeConnectionLost:
		return "connection lost"
	}
	return "failed"
}
