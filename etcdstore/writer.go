package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// writesInFlight is how many transactions of checkpoints are under way at a time. etcd applies them in a row, so more
// than a few only make the batches smaller.
const writesInFlight = 3

// writer commits checkpoints in groups. A write goes at once if a transaction may; the writes that come while all are
// under way wait and go together in the next. A partition has at most one write under way, so its writes keep their
// order and an unanswered one is settled before the next is sent.
type writer struct {
	store *Store

	mu       sync.Mutex
	lanes    map[string]*lane // by checkpoint key: partitions with writes waiting or under way
	ready    []*lane          // those with writes waiting and none under way, in order of arrival
	inFlight int
	closed   bool
	drained  chan struct{} // closed when the writer is closed and has nothing left
}

// lane is the writes of one partition, in the callers' order.
type lane struct {
	group      Group
	partition  string
	ownership  string // the key of the partition's ownership
	checkpoint string // and of its checkpoint
	queue      []*write
	busy       bool // a write is under way
}

func newWriter(s *Store) *writer {
	return &writer{store: s, lanes: make(map[string]*lane), drained: make(chan struct{})}
}

// write hands a write over and waits for it. A caller that gives up takes back what has not been sent.
func (w *writer) write(ctx context.Context, group Group, partition string, call *write) error {
	if err := w.enqueue(group, partition, call); err != nil {
		return err
	}
	select {
	case err := <-call.done:
		return err
	case <-w.store.lives.Done():
		if w.withdraw(group, partition, call) {
			return ErrClosed
		}
		return <-call.done // whatever is under way is answered now
	case <-ctx.Done():
	}
	if w.withdraw(group, partition, call) {
		return context.Cause(ctx)
	}
	select {
	case err := <-call.done:
		return err
	default:
		return fmt.Errorf("%w: checkpoint of partition %s: %w", ErrOutcomeUnknown, quote(partition), context.Cause(ctx))
	}
}

func (w *writer) enqueue(group Group, partition string, call *write) error {
	key := w.store.keys.key(group, kindCheckpoint, partition)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	l := w.lanes[key]
	if l == nil {
		l = &lane{
			group:      group,
			partition:  partition,
			ownership:  w.store.keys.key(group, kindOwnership, partition),
			checkpoint: key,
		}
		w.lanes[key] = l
	}
	l.queue = append(l.queue, call)
	if !l.busy && len(l.queue) == 1 {
		w.ready = append(w.ready, l)
	}
	if w.inFlight < writesInFlight && len(w.ready) > 0 {
		w.inFlight++
		w.store.running.Go(w.fly)
	}
	return nil
}

func (w *writer) withdraw(group Group, partition string, call *write) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.lanes[w.store.keys.key(group, kindCheckpoint, partition)]
	if l == nil {
		return false
	}
	i := slices.Index(l.queue, call)
	if i < 0 {
		return false
	}
	l.queue = slices.Delete(l.queue, i, i+1)
	if len(l.queue) == 0 && !l.busy {
		w.ready = slices.DeleteFunc(w.ready, func(r *lane) bool { return r == l })
		delete(w.lanes, l.checkpoint)
		w.checkDrained()
	}
	return true
}

// fly sends batches as long as there are writes that wait.
func (w *writer) fly() {
	for {
		// Callers that were answered together are about to write again: they get to share the transaction.
		runtime.Gosched()
		batch := w.take()
		if batch == nil {
			return
		}
		w.store.meters.batch.Observe(float64(len(batch)))
		w.send(batch)
		w.land(batch)
	}
}

// take takes what goes into the next transaction. Without anything to take it gives up the caller's place in flight.
func (w *writer) take() []*flight {
	w.mu.Lock()
	defer w.mu.Unlock()
	ops, bytes := int(w.store.limits.ops.Load()), int(w.store.limits.bytes.Load())
	var batch []*flight
	for len(w.ready) > 0 {
		l := w.ready[0]
		folded, rest := fold(l.queue)
		f := &flight{write: folded[len(folded)-1], lane: l, writes: folded}
		ops, bytes = ops-2, bytes-f.size() // at most two compares a write
		alone := len(f.ops) > 0
		if len(batch) > 0 && (alone || ops < 0 || bytes < 0) {
			break
		}
		w.ready = w.ready[1:]
		l.queue, l.busy = rest, true
		w.store.meters.folded.Add(float64(len(folded) - 1))
		batch = append(batch, f)
		if alone {
			break
		}
	}
	if batch == nil {
		w.inFlight--
		w.checkDrained()
	}
	return batch
}

// land frees the lanes of a batch for the writes that wait behind it.
func (w *writer) land(batch []*flight) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range batch {
		f.lane.busy = false
		if len(f.lane.queue) > 0 {
			w.ready = append(w.ready, f.lane)
		} else {
			delete(w.lanes, f.lane.checkpoint)
		}
	}
}

// send sends a batch until each of its writes has an answer. It ends unanswered only with the store.
func (w *writer) send(batch []*flight) {
	for batch = w.aim(batch); len(batch) > 0; {
		batch = w.settle(batch)
	}
}

// aim answers the writes that are known to fail and returns the others, with their compares fixed.
func (w *writer) aim(batch []*flight) []*flight {
	aimed := make([]*flight, 0, len(batch))
	for _, f := range batch {
		if err := w.store.aim(f); err != nil {
			f.answer(err)
			continue
		}
		aimed = append(aimed, f)
	}
	return aimed
}

// settle answers the writes that etcd decides on and returns those to be sent again.
func (w *writer) settle(batch []*flight) (again []*flight) {
	parts := make([]part, len(batch))
	for i, f := range batch {
		parts[i] = f.part()
	}
	outcomes := w.store.settle(w.store.lives, parts)
	for i, f := range batch {
		err := w.store.land(f, outcomes[i])
		if errors.Is(err, errAgain) {
			again = append(again, f)
			continue
		}
		if f.release && err != nil && !errors.Is(err, ErrOwnershipLost) {
			// The record stands, and nobody stands behind it.
			w.store.watchStray(f.lane.group, f.term, f.claimID)
		}
		f.answer(err)
	}
	return again
}

func (f *flight) answer(err error) {
	for _, call := range f.writes {
		call.done <- err
	}
}

// close refuses further writes, waits for those under way until ctx ends, and returns ctx's error if some were left.
func (w *writer) close(ctx context.Context) error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		w.checkDrained()
	}
	w.mu.Unlock()
	select {
	case <-w.drained:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// checkDrained tells whoever closes that nothing is left. The mutex is held.
func (w *writer) checkDrained() {
	if !w.closed || w.inFlight > 0 || len(w.lanes) > 0 {
		return
	}
	select {
	case <-w.drained:
	default:
		close(w.drained)
	}
}
