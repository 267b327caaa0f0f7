package balancer

import (
	"errors"
	"iter"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer/plan"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// observe takes in what has become of the group.
func (w *worker) observe(s *etcdstore.Snapshot) {
	now := time.Now()
	before := w.view
	w.view, w.to, w.without = newView(s, before), nil, nil
	if before == nil || !slices.Equal(before.input.Partitions, w.view.input.Partitions) {
		w.at = make([]*slot, len(w.view.input.Partitions))
		for i, id := range w.view.input.Partitions {
			w.at[i] = w.slot(id)
		}
	}
	w.mixed.Store(w.view.hasForeign)
	if why := w.view.differs(before); why != (difference{}) {
		w.why = why
		if now.After(w.settledAt()) {
			w.unsettledAt = now
		}
		w.changedAt = now
	}
	for key, bad := range s.Corrupt {
		if w.corruptTold[key] != bad.ETag {
			w.corruptTold[key] = bad.ETag
			w.log.Error("a record of the group cannot be read; an ownership counts as free, anything else as absent",
				zap.Error(bad))
		}
	}
	for i, owner := range w.view.input.Owner {
		s := w.at[i]
		switch {
		case owner != plan.None:
			s.lastOwner = w.view.input.Members[owner].ID
			if s.lastOwner != w.options.OwnerID {
				s.freeSince = time.Time{}
			}
		case s.phase == idle && s.freeSince.IsZero():
			s.freeSince = now
		}
	}
	w.overlooked = true
	w.compare()
}

// compare looks at what the view means for what this member holds, unless it has done so. Without trust it waits: what
// was this member's is settled when there is trust again, and before that a renewal may just be on its way.
func (w *worker) compare() {
	if !w.overlooked || w.trust == nil || w.trust.lapsed() {
		return
	}
	w.overlooked = false
	s := w.view.Snapshot
	w.findLost()
	if s.Controls.Partitions == nil {
		w.growBy(w.view.input.Partitions) // somebody has deleted the list
	}
	if me, here := s.Members[w.options.OwnerID]; !here || me.Instance != w.instance {
		w.rejoin()
	}
}

// settleFactor bounds how long members that keep coming put moves off, in settling times.
const settleFactor = 10

// settledAt is when moves may begin unless something changes before.
func (w *worker) settledAt() time.Time {
	last, first := w.changedAt.Add(w.options.Settle), w.unsettledAt.Add(settleFactor*w.options.Settle)
	if first.Before(last) {
		return first
	}
	return last
}

// elsewhere returns the slots of partitions that are not among the group's.
func (w *worker) elsewhere() iter.Seq[*slot] {
	return func(yield func(*slot) bool) {
		if len(w.slots) == len(w.at) {
			return
		}
		for id, s := range w.slots {
			if _, listed := w.view.index[id]; !listed && !yield(s) {
				return
			}
		}
	}
}

// findLost finds partitions whose records are not this member's any more.
func (w *worker) findLost() {
	find := func(s *slot) {
		if !s.phase.held() || revisionOf(s.ownership) > w.view.Revision {
			return
		}
		o, found := w.view.Ownerships[s.id]
		switch {
		case !found:
			w.lose(s, "its record was deleted", etcdstore.ErrOwnershipLost)
		case o.ETag != s.ownership.ETag:
			w.lose(s, "taken by "+o.OwnerID, etcdstore.ErrOwnershipLost)
		}
	}
	for _, s := range w.at {
		find(s)
	}
	for s := range w.elsewhere() {
		find(s)
	}
}

// rejoin puts the member's record again, which somebody has deleted.
func (w *worker) rejoin() {
	if w.rejoining || w.leaving {
		return
	}
	w.rejoining = true
	w.log.Warn("the member's record is gone; putting it again")
	w.running.Go(func() {
		err := w.presence.Update(w.changing, func(*etcdstore.Member) {})
		w.post(func(w *worker) {
			w.rejoining = false
			if errors.Is(err, etcdstore.ErrOwnerInUse) || errors.Is(err, lease.ErrPermissionDenied) {
				w.fail(err)
			}
		})
	})
}

// lose ends what this member does with a partition that is not its own any more.
func (w *worker) lose(s *slot, reason string, cause error) {
	w.emit(w.options.Events.Lost, w.about(s, reason, cause))
	w.meters.lost.Inc()
	w.log.Warn("partition lost", w.fields(s, reason)...)
	s.phase = idle
	if s.p != nil {
		s.p.end(cause)
	}
}

func revisionOf(o etcdstore.Ownership) int64 {
	revision, _ := strconv.ParseInt(o.ETag, 10, 64) // as the store wrote it
	return revision
}
