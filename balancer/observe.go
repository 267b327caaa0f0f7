package balancer

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// observe takes in what has become of the group.
func (w *worker) observe() {
	now := time.Now()
	before := w.view
	s, gone, anew := w.mirror.Changes()
	w.view, w.to, w.without = newView(s, gone, anew, before, now), nil, nil
	if w.view.rearranged {
		w.arrange()
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
	w.overlooked = true
	w.compare()
}

// arrange gives the slots that there are their places among the group's partitions.
func (w *worker) arrange() {
	w.at = make([]*slot, len(w.view.input.Partitions))
	for id, s := range w.slots {
		i, listed := w.view.index[id]
		if !listed {
			s.place = -1
			continue
		}
		s.place, w.at[i] = i, s
	}
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
	w.findKept()
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

// findLost finds partitions whose records are not this member's any more.
func (w *worker) findLost() {
	var lost []*slot
	for s := range w.busy {
		if !s.phase.held() || revisionOf(s.ownership) > w.view.Revision {
			continue
		}
		if etag, _ := w.view.holdings.etag(s); etag != s.ownership.ETag {
			lost = append(lost, s)
		}
	}
	for _, s := range inOrder(lost) {
		if etag, owner := w.view.holdings.etag(s); etag != "" {
			w.lose(s, "taken by "+owner, etcdstore.ErrOwnershipLost)
		} else {
			w.lose(s, "its record was deleted", etcdstore.ErrOwnershipLost)
		}
	}
}

// findKept finds partitions that are this member's, and that it takes to be lost: the store has claimed them again by
// itself after a lapse, and the answer to the claim before that has come later than the news of it. Nobody would ever
// handle them.
func (w *worker) findKept() {
	h := w.view.holdings
	mine, owns := h.number[w.options.OwnerID]
	if !owns {
		return
	}
	var held map[string]etcdstore.Ownership
	find := func(id, etag string) {
		if s := w.slots[id]; s != nil && s.phase != idle {
			return
		}
		if held == nil {
			held = w.held()
		}
		o, kept := held[id]
		if !kept || o.ETag != etag {
			return // nobody has claimed it on purpose, and the store releases it
		}
		s := w.slot(id)
		s.ownership = o
		s.rest(time.Now())
		w.log.Info("the partition is this member's after all", w.fields(s, "claimed again after a lapse of trust")...)
	}
	for i, owner := range h.of {
		if owner == mine {
			find(w.view.input.Partitions[i], h.etags[i])
		}
	}
	for id, stands := range h.elsewhere {
		if stands.owner == mine {
			find(id, stands.etag)
		}
	}
}

// held returns what the store holds, by partition.
func (w *worker) held() map[string]etcdstore.Ownership {
	held := make(map[string]etcdstore.Ownership)
	for _, o := range w.store.Held(w.group) {
		held[o.PartitionID] = o
	}
	return held
}

// inOrder sorts slots by their partitions' ids.
func inOrder(slots []*slot) []*slot {
	slices.SortFunc(slots, func(a, b *slot) int { return cmp.Compare(a.id, b.id) })
	return slots
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
	s.enter(idle)
	if s.p != nil {
		s.p.end(cause)
	}
}

func revisionOf(o etcdstore.Ownership) int64 {
	revision, _ := strconv.ParseInt(o.ETag, 10, 64) // as the store wrote it
	return revision
}
