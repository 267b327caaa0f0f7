package balancer

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

// giveUp asks the handler of a partition to finish, or releases the partition if it has none.
func (w *worker) giveUp(s *slot, reason, label string) {
	switch s.phase {
	case handling:
		s.enter(draining)
		s.p.drainedAt = time.Now()
		w.meters.givenUp.WithLabelValues(label).Inc()
		w.emit(w.options.Events.Draining, w.about(s, reason, nil))
		w.log.Info("draining", w.fields(s, reason)...)
		s.p.drain()
	case resting, finished:
		if s.running && !s.overdue {
			return // it returns soon
		}
		w.meters.givenUp.WithLabelValues(label).Inc()
		w.release(s, nil)
	case idle, claiming, draining, releasing:
	}
}

// release gives a partition up, with the last position in the same transaction if there is one. Partitions without
// travel together.
func (w *worker) release(s *slot, final *position) {
	s.enter(releasing)
	p := s.p
	switch {
	case w.trust == nil:
		// Whatever is still there the store claims again, and then it is looked at once more.
		s.rest(time.Now())
	case final != nil && w.deletesOnly:
		w.log.Error("the last checkpoint is lost: etcd is out of space and takes only the release",
			append(w.fields(s, "out of space"), final.fields()...)...)
		w.pending = append(w.pending, s)
	case final == nil:
		w.pending = append(w.pending, s)
	default:
		w.running.Go(func() {
			err := w.releaseWith(p, *final)
			w.post(func(w *worker) { w.released(s, err) })
		})
	}
}

// releaseWith writes the last checkpoint and gives the partition up, in one transaction.
func (w *worker) releaseWith(p *Partition, final position) error {
	ctx, cancel := context.WithCancel(p.trust.owned)
	defer cancel()
	err := p.write(ctx, final, true)
	if errors.Is(err, etcdstore.ErrInvalidArgument) { // the handler has handed over what no checkpoint can hold
		w.log.Error("the last checkpoint is lost: it is no valid one", zap.String("partition", p.ID()), zap.Error(err))
		return w.store.Release(ctx, p.ownership)
	}
	return err
}

// flushReleases sends the releases that wait, while no others are under way.
func (w *worker) flushReleases() {
	if len(w.pending) == 0 || w.freeing || w.trust == nil {
		return
	}
	w.freeing = true
	slots, t := w.pending, w.trust
	w.pending = nil
	all := make([]etcdstore.Ownership, len(slots))
	for i, s := range slots {
		all[i] = s.ownership
	}
	w.running.Go(func() {
		err := w.store.Release(t.owned, all...)
		w.post(func(w *worker) {
			w.freeing = false
			for _, s := range slots {
				w.released(s, err)
			}
		})
	})
}

// released takes in what has become of a release. Where it failed, the store goes on trying.
func (w *worker) released(s *slot, err error) {
	if s.phase != releasing {
		return
	}
	s.enter(idle)
	s.seenAt, s.retryAt = w.view.Revision, time.Now().Add(claimAgain)
	reason := "given up"
	switch {
	case errors.Is(err, etcdstore.ErrOwnershipLost):
		w.lose(s, "it was lost before it could be released", err)
		return
	case errors.Is(err, etcdstore.ErrCheckpointConflict):
		reason = "given up without the last checkpoint, which another writer has changed"
	case err != nil:
		reason = "given up; etcd has not confirmed it"
		w.log.Warn("a release was not confirmed; the partition is free when the lease is gone at the latest",
			append(w.fields(s, "released"), zap.Error(err))...)
	}
	w.emit(w.options.Events.Released, w.about(s, reason, err))
	w.log.Info("released", w.fields(s, reason)...)
}
