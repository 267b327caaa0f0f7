package balancer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

// Source names the partitions of the stream. It is asked when a member starts, again at intervals, and when the member
// is given a partition that it has not heard of. What it names is added to the group's partitions, never taken away.
type Source func(ctx context.Context) ([]string, error)

// Handler handles the events of one partition from [Partition.Start] on, until its context ends or the partition is
// [Partition.Draining], and then returns. While draining it finishes what it has begun, hands its last position to
// [Partition.Finish] and returns nil.
//
// When ctx ends it must begin nothing more and return within a tenth of the lease's TTL, at least 200 ms. ctx.Err looks
// at the clock: ask it before each event. [context.Cause] tells why it ended.
//
// A handler that returns an error or panics is started again after a while, from the last checkpoint. One that returns
// nil although it was not asked to has finished: the partition is kept and not started again.
type Handler func(ctx context.Context, p *Partition) error

// Partition is one partition for as long as one run of its handler lasts. Its methods are safe for concurrent use.
type Partition struct {
	member    *Member
	ownership etcdstore.Ownership
	start     etcdstore.Checkpoint
	hasStart  bool
	trust     *trust

	ctx context.Context // the handler's
	end context.CancelCauseFunc

	draining chan struct{}
	drain    func() // closes draining, once

	drainedAt time.Time    // when it was asked to finish; the worker's
	lag       atomic.Int64 // events after the checkpoint, or unknownLag

	mu         sync.Mutex
	at         position  // of the latest checkpoint, if one was written
	final      *position // to be written when the handler has returned
	progressed time.Time // when a checkpoint was written last, or the handler started
	written    bool      // a checkpoint was written
}

// position is how far a partition has been handled, and what is to be applied with it.
type position struct {
	sequenceNumber *int64
	offset         *string
	ops            []clientv3.Op
}

func (p position) fields() []zap.Field {
	var fields []zap.Field
	if p.sequenceNumber != nil {
		fields = append(fields, zap.Int64("sequence_number", *p.sequenceNumber))
	}
	if p.offset != nil {
		fields = append(fields, zap.String("offset", *p.offset))
	}
	return fields
}

func newPartition(m *Member, t *trust, o etcdstore.Ownership, start etcdstore.Checkpoint, hasStart bool) *Partition {
	p := &Partition{
		member: m, ownership: o, start: start, hasStart: hasStart, trust: t,
		draining: make(chan struct{}), progressed: time.Now(),
	}
	p.drain = sync.OnceFunc(func() { close(p.draining) })
	p.lag.Store(unknownLag)
	p.ctx, p.end = t.context()
	return p
}

// ID returns the partition's id.
func (p *Partition) ID() string { return p.ownership.PartitionID }

// Ownership returns the ownership under which the partition is handled. Its ETag is the fence: a decimal number that
// is higher at each later owner.
func (p *Partition) Ownership() etcdstore.Ownership { return p.ownership }

// Start returns the checkpoint to go on from, and whether there is one.
func (p *Partition) Start() (etcdstore.Checkpoint, bool) { return p.start, p.hasStart }

// Draining is closed when the partition is to move or the member leaves: the handler is to finish what it has begun.
func (p *Partition) Draining() <-chan struct{} { return p.draining }

// Checkpoint writes how far the partition has been handled and returns when that is durable. Either of
// sequenceNumber and offset may be nil, not both. ops are etcd operations that are applied with it or not at all.
//
// Errors: [etcdstore.ErrOwnershipLost] and [etcdstore.ErrCheckpointConflict], with which nothing is written and after
// which the handler's context has ended; ctx's error, with [etcdstore.ErrOutcomeUnknown] if the checkpoint may have
// been written or may yet be; [etcdstore.ErrInvalidArgument]. ctx is usually the handler's own.
func (p *Partition) Checkpoint(
	ctx context.Context, sequenceNumber *int64, offset *string, ops ...clientv3.Op,
) error {
	err := p.write(ctx, position{sequenceNumber, offset, ops}, false)
	switch {
	case err == nil:
		p.mu.Lock()
		p.final, p.progressed, p.written = nil, time.Now(), true
		p.at = position{sequenceNumber: sequenceNumber, offset: offset}
		p.mu.Unlock()
	case errors.Is(err, etcdstore.ErrOwnershipLost):
		p.end(etcdstore.ErrOwnershipLost)
	case errors.Is(err, etcdstore.ErrCheckpointConflict):
		p.end(etcdstore.ErrCheckpointConflict)
	}
	return err
}

// write writes a checkpoint, and with it gives the partition up if that is wanted.
func (p *Partition) write(ctx context.Context, at position, release bool) error {
	err := p.member.store.UpdateCheckpoint(ctx, etcdstore.Checkpoint{
		Group:          p.ownership.Group,
		PartitionID:    p.ownership.PartitionID,
		OwnerID:        p.ownership.OwnerID,
		SequenceNumber: at.sequenceNumber,
		Offset:         at.offset,
	}, &etcdstore.UpdateOptions{Fence: &p.ownership, Ops: at.ops, Release: release})
	if errors.Is(err, etcdstore.ErrOwnershipLost) || errors.Is(err, etcdstore.ErrCheckpointConflict) {
		p.member.post(func(w *worker) { w.rejected(p, err) })
	}
	return err
}

// Finish hands over the last position, which is written when the handler has returned nil: where the partition is
// given up, in the same transaction. It takes no time. A later Finish or Checkpoint takes the place of an earlier one.
func (p *Partition) Finish(sequenceNumber *int64, offset *string, ops ...clientv3.Op) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.final = &position{sequenceNumber, offset, ops}
}

// Fence returns the etcd compare that holds exactly as long as the ownership does, for transactions of one's own.
func (p *Partition) Fence() clientv3.Cmp { return p.member.store.Fence(p.ownership) }

// Remaining returns how long the lease can still be trusted unless a renewal extends it, by the clock by which trust
// is judged (CLOCK_BOOTTIME on Linux). It is not above 0 once trust has ended. The handler's context ends a stop grace
// (TTL/10, at least 200 ms) before.
func (p *Partition) Remaining() time.Duration { return p.trust.term.Remaining() }

// Mixed reports whether the group has an owner that is no member, such as the Event Hubs SDK's Processor.
func (p *Partition) Mixed() bool { return p.member.mixed.Load() }

// finalPosition returns what the handler has left to be written.
func (p *Partition) finalPosition() *position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.final
}

// progress returns when the handler last got on, and whether it ever did.
func (p *Partition) progress() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.progressed, p.written
}
