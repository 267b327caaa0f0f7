package balancer

import (
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer/plan"
	"github.com/tenure-go/tenure/etcdstore"
)

// step does what the plan asks for.
func (w *worker) step() {
	now := time.Now()
	defer func() { w.stepTook = time.Since(now) }()
	w.readmit(now)
	w.flushReleases()
	switch {
	case w.trust == nil:
		return // until there is
	case w.trust.lapsed():
		// A renewal may come before anybody tells that it has ended, and then nobody tells that it is there.
		w.wakeBy(now.Add(w.trust.grace / lapsePart))
		return
	}
	w.compare()
	if w.leaving {
		for _, s := range w.slots {
			w.giveUp(s, "the member leaves", givenUpLeaves)
		}
		w.flushReleases()
		return
	}
	me, here := w.view.memberAt[w.options.OwnerID]
	switch settledAt := w.settledAt(); {
	case !here:
		return // until the record is back
	case w.view.empty && now.Before(settledAt) && len(w.busy) == 0:
		w.wakeBy(settledAt) // nothing is to be planned
		return
	}
	if w.to == nil {
		w.to = plan.Assign(w.view.input)
	}
	w.act(now, me)
	w.flushReleases()
}

// lapsePart of a stop grace passes between two looks whether trust that has lapsed was renewed.
const lapsePart = 4

// act finds out what to claim and what to give up.
func (w *worker) act(now time.Time, me int32) {
	settledAt := w.settledAt()
	settled := !now.Before(settledAt)
	var claims batches
	var moves []*slot
	suspects := w.findStuck(now, me, settled)
	for s := range w.busy {
		if s.place < 0 || w.to[s.place] != me {
			moves = w.mayMove(moves, s)
		}
	}
	moves = inOrder(moves)
	for i, to := range w.to {
		if to != me {
			continue
		}
		switch s := w.slotAt(i); {
		case s.running && s.overdue && s.phase == resting:
			moves = append(moves, s) // somebody else may handle it
		case s.running: // not before its handler has returned
		case s.phase == resting && !s.unknown:
			if now.Before(s.retryAt) {
				w.wakeBy(s.retryAt)
				continue
			}
			claims.add(s, s.ownership.ETag, etcdstore.ClaimOptions{Anew: true, Reason: "its handler starts again"})
		case s.phase == idle:
			switch {
			case !w.view.free(i):
			case s.seenAt >= w.view.Revision && now.Before(s.retryAt):
				w.wakeBy(s.retryAt)
			case w.view.empty && !settled:
				w.wakeBy(settledAt)
			case w.view.empty && w.confirmed != w.view.Revision && now.Before(settledAt.Add(settleFactor*w.options.Settle)):
				// Who does not know of all that have joined would claim too much. That is worth some time, and not all that it
				// may take until a watch that has lost something is made good.
				w.confirm()
				w.wakeBy(settledAt.Add(settleFactor * w.options.Settle))
			default:
				claims.add(s, w.view.holdings.etags[i], etcdstore.ClaimOptions{Reason: w.reasonToClaim(s)})
			}
		}
	}
	w.takeStuck(&claims, suspects, me)
	switch {
	case len(moves) == 0:
	case !settled:
		w.wakeBy(settledAt)
		moves = nil
	case w.stale:
		moves = nil // until the group has been looked at: what is known of it is outdated
	}
	w.tellPlan(claims.size(), len(moves))
	w.claim(&claims)
	w.move(now, moves)
}

// mayMove adds a partition that is to be given up, once what is known of the group includes that it is this member's.
func (w *worker) mayMove(moves []*slot, s *slot) []*slot {
	switch s.phase {
	case handling, resting, finished:
		if w.view.Revision >= revisionOf(s.ownership) {
			return append(moves, s)
		}
	case idle, claiming, draining, releasing:
	}
	return moves
}

// reasonToClaim says why a partition comes to this member, for its record.
func (w *worker) reasonToClaim(s *slot) string {
	last := w.view.holdings.ids[w.view.holdings.last[s.place]]
	switch last {
	case "":
		return "nobody had it"
	case w.options.OwnerID:
		return "its owner is back"
	}
	if _, here := w.view.Members[last]; here {
		return "released by " + last
	}
	return "left by " + last
}

// tellPlan says what a plan means for this member.
func (w *worker) tellPlan(claims, moves int) {
	if w.why == (difference{}) || claims+moves == 0 {
		return
	}
	reason := fmt.Sprintf("%s: %d to claim, %d to give up", w.why.text, claims, moves)
	w.meters.plans.WithLabelValues(w.why.kind).Inc()
	w.why = difference{}
	w.emit(w.options.Events.Planned, Event{Revision: w.view.Revision, Reason: reason})
	w.log.Info("planned", zap.Int64("revision", w.view.Revision), zap.String("reason", reason),
		zap.Int("partitions", len(w.view.input.Partitions)), zap.Int("members", len(w.view.input.Members)))
}

// spaceHolds is for how long an etcd that had space is taken to have it.
const spaceHolds = time.Second

// move gives partitions up to other members: their handlers drain first. Under NOSPACE nothing moves, since nobody
// could claim it.
func (w *worker) move(now time.Time, moves []*slot) {
	switch {
	case len(moves) == 0 || w.asking:
	case now.Before(w.movesUntil):
		for _, s := range moves {
			w.giveUp(s, "planned for another member", givenUpMoves)
		}
	default:
		w.asking = true
		stay := w.reserved(func(s *slot) bool { return !slices.Contains(moves, s) })
		t := w.trust
		w.running.Go(func() {
			noSpace := w.store.NoSpace(t.owned)
			if !noSpace && w.reservation != nil {
				// Before anything is released: what this member has given up must not wait for it.
				_ = w.reservation.Put(t.owned, stay)
			}
			w.post(func(w *worker) { w.spaceTold(noSpace) })
		})
	}
}

func (w *worker) spaceTold(noSpace bool) {
	w.asking = false
	if noSpace {
		w.log.Warn("etcd is out of space: planned moves wait")
		w.asking = true
		time.AfterFunc(noSpacePause, func() { w.post(func(w *worker) { w.asking = false }) })
		return
	}
	w.movesUntil = time.Now().Add(spaceHolds)
}

// noSpacePause is how long an etcd that is out of space is left alone.
const noSpacePause = 5 * time.Second

// reserved returns the ids of partitions that this member holds or is about to, and that keep approves.
func (w *worker) reserved(keep func(*slot) bool) []string {
	var ids []string
	for s := range w.busy {
		if s.phase != releasing && keep(s) {
			ids = append(ids, s.id)
		}
	}
	slices.Sort(ids)
	return ids
}
