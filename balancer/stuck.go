package balancer

import (
	"time"

	"github.com/tenure-go/tenure/balancer/plan"
	"github.com/tenure-go/tenure/etcdstore"
)

// findStuck looks for free partitions that those they are meant for do not take, and returns the plan without these, or
// nil if there are none.
func (w *worker) findStuck(now time.Time, me int32, settled bool) []int32 {
	suspects, grown := make(map[string][]string), false
	for i, id := range w.view.input.Partitions {
		s := w.at[i]
		if !w.view.free(i) || w.to[i] == plan.None || w.to[i] == me || !settled {
			s.taken()
			continue
		}
		if planned := w.view.input.Members[w.to[i]].ID; len(s.suspects) == 0 && s.target != planned ||
			len(s.suspects) > 0 && s.suspects[0] != planned {
			// Not seen as free before, or planned for another since: it may have had an owner in between.
			s.target, s.freeAt, s.suspects = planned, now, nil
		}
		if s.target != "" {
			grown = w.suspect(s, now) || grown
		}
		if len(s.suspects) > 0 {
			suspects[id] = s.suspects
		}
	}
	if len(suspects) == 0 {
		w.without = nil
		return nil
	}
	if w.without == nil || grown {
		w.without = w.view.without(suspects)
	}
	to := w.without
	for id := range suspects {
		s, i := w.slots[id], w.view.index[id]
		if s.target == "" && to[i] != plan.None && to[i] != me {
			s.target, s.freeAt = w.view.input.Members[to[i]].ID, now
			w.wakeBy(now.Add(w.pace.patience))
		}
	}
	return to
}

// suspect reports whether the member that a free partition is meant for has had its time.
func (w *worker) suspect(s *slot, now time.Time) bool {
	over := s.freeAt.Add(w.pace.patience)
	switch late := now.Sub(over); {
	case late < 0:
		w.wakeBy(over)
		return false
	case late > w.pace.patience/4:
		// This member is late itself: it was stopped, or has to wait for the processor, and what it knows may be old.
		s.freeAt = now
		w.wakeBy(now.Add(w.pace.patience))
		return false
	case w.confirmed != w.view.Revision:
		w.confirm()
		return false
	}
	s.suspects, s.target = append(s.suspects, s.target), ""
	return true
}

// confirm asks etcd whether the view tells all: a partition that was free and is free may have had an owner in between.
func (w *worker) confirm() {
	if w.confirming {
		return
	}
	w.confirming = true
	seen, t := w.view.Snapshot, w.trust
	w.running.Go(func() {
		upToDate, err := w.mirror.UpToDate(t.owned, seen)
		w.post(func(w *worker) {
			w.confirming = false
			if err != nil || !upToDate {
				w.wakeBy(time.Now().Add(confirmAgain))
				return
			}
			w.confirmed = seen.Revision
		})
	})
}

// confirmAgain is when etcd is asked again.
const confirmAgain = 100 * time.Millisecond

// takeStuck claims the partitions that were left to others for long enough and are this member's without them. The
// claim says whom the plan has to pass over.
func (w *worker) takeStuck(claims *batches, to []int32, me int32) {
	if to == nil {
		return
	}
	for i, s := range w.at {
		if len(s.suspects) == 0 || to[i] != me || s.phase != idle || s.running {
			continue
		}
		suspect := s.suspects[len(s.suspects)-1]
		claims.add(s, w.view.etags[i], etcdstore.ClaimOptions{
			Avoid: suspect, Reason: suspect + " did not take it within " + w.pace.patience.String(),
		})
	}
}
