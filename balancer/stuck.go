package balancer

import (
	"time"

	"github.com/tenure-go/tenure/balancer/plan"
	"github.com/tenure-go/tenure/etcdstore"
)

// watch is on a partition while it is free and planned for others: for whom, since when, and who has had their time.
type watch struct {
	target   string
	freeAt   time.Time
	suspects []string
}

// busyFactor is for how many times its patience a member takes nobody to be stuck as long as others take what is free:
// where many begin at once, or many partitions are free, that takes its time.
const busyFactor = 10

// findStuck looks for free partitions that those they are meant for do not take, and returns the plan without these, or
// nil if there are none.
func (w *worker) findStuck(now time.Time, me int32, settled bool) []int32 {
	suspects, grown := make(map[string][]string), false
	before := w.watched
	w.watched = make(map[string]*watch) // what is not has an owner, is for this member, or was free for a moment
	again, half, busy := w.pace.patience, w.pace.patience/2, w.stale || now.Sub(w.view.holdings.takenAt) < w.pace.patience
	for _, i := range w.view.unowned {
		if w.to[i] == plan.None || w.to[i] == me || !settled {
			continue
		}
		since := w.view.holdings.freeSince[i]
		if free := now.Sub(since); free < half || busy && free < busyFactor*w.pace.patience {
			again = min(again, max(half-free, half/2)) // most are taken at once, and there may be many
			continue
		}
		id, planned := w.view.input.Partitions[i], w.view.input.Members[w.to[i]].ID
		on := before[id]
		switch {
		case on == nil || since.After(on.freeAt):
			on = &watch{target: planned, freeAt: now.Add(-half)}
		case len(on.suspects) == 0 && on.target != planned, len(on.suspects) > 0 && on.suspects[0] != planned:
			// Planned for another since: it may have had an owner in between.
			on = &watch{target: planned, freeAt: now}
		}
		w.watched[id] = on
		if on.target != "" {
			grown = w.suspect(on, now) || grown
		}
		if len(on.suspects) > 0 {
			suspects[id] = on.suspects
		}
	}
	if again < w.pace.patience {
		w.wakeBy(now.Add(again))
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
		on, i := w.watched[id], w.view.index[id]
		if on.target == "" && to[i] != plan.None && to[i] != me {
			on.target, on.freeAt = w.view.input.Members[to[i]].ID, now
			w.wakeBy(now.Add(w.pace.patience))
		}
	}
	return to
}

// suspect reports whether the member that a free partition is meant for has had its time.
func (w *worker) suspect(on *watch, now time.Time) bool {
	over := on.freeAt.Add(w.pace.patience)
	switch late := now.Sub(over); {
	case late < 0:
		w.wakeBy(over)
		return false
	case late > w.pace.patience/4:
		// This member is late itself: it was stopped, or has to wait for the processor, and what it knows may be old.
		on.freeAt = now
		w.wakeBy(now.Add(w.pace.patience))
		return false
	case w.confirmed != w.view.Revision:
		w.confirm()
		return false
	}
	on.suspects, on.target = append(on.suspects, on.target), ""
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
	for _, i := range w.view.unowned {
		on := w.watched[w.view.input.Partitions[i]]
		if on == nil || len(on.suspects) == 0 || to[i] != me {
			continue
		}
		s := w.slotAt(i)
		if s.phase != idle || s.running {
			continue
		}
		suspect := on.suspects[len(on.suspects)-1]
		claims.add(s, w.view.holdings.etags[i], etcdstore.ClaimOptions{
			Avoid: suspect, Reason: suspect + " did not take it within " + w.pace.patience.String(),
		})
	}
}
