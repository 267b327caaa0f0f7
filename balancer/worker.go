package balancer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer/plan"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// inboxSize is how many things may happen while the worker looks at one.
const inboxSize = 256

// worker is a member at work. All of it belongs to the goroutine of Run, which learns from its inbox what others have
// done and never waits for etcd itself.
type worker struct {
	*Member

	lives context.Context // ends when the member has left
	end   context.CancelFunc

	// changing ends before the member's record is removed: a change of it that etcd does not answer must not stand in the
	// way of that.
	changing  context.Context
	endChange context.CancelFunc

	presence    *etcdstore.Presence
	instance    string
	rejoining   bool
	reservation *etcdstore.Reservation // nil without a grace
	mirror      *etcdstore.Mirror
	view        *view
	to          []int32 // the plan for view, nil if it is to be made
	confirmed   int64   // the revision up to which the view was found to tell all
	confirming  bool
	without     []int32 // the plan for view without those that are stuck, nil if it is to be made or nobody is
	trust       *trust  // nil while there is none

	slots   map[string]*slot
	at      []*slot         // the slots of view's partitions, in their order
	known   map[string]bool // partitions that the source has named
	askNow  chan struct{}
	adding  bool // partitions are being added
	pending []*slot
	freeing bool // a release of several is under way

	// lookAt is when the group is looked at again at the earliest.
	lookedAt, lookAt time.Time

	// When what planning rests on last changed, and when it first did since it was settled.
	changedAt, unsettledAt time.Time

	movesUntil   time.Time // there was space then: moves may begin
	asking       bool      // whether there is space
	excluded     []exclusion
	leaving      bool
	deletesOnly  bool          // leaving: etcd is out of space and takes no last checkpoints
	ttl          time.Duration // of the latest term
	why          string        // what led to the plan at hand
	wake         *time.Timer
	wakeAt       time.Time
	fatal        error
	corruptTold  map[string]string // by key: the etag of a corrupt record that was logged
	handlersLeft []string          // partitions whose handlers did not return in time
}

func newWorker(m *Member) *worker {
	w := &worker{
		Member: m, slots: make(map[string]*slot), known: make(map[string]bool), askNow: make(chan struct{}, 1),
		wake: time.NewTimer(time.Hour), corruptTold: make(map[string]string),
	}
	w.lives, w.end = context.WithCancel(context.Background())
	w.changing, w.endChange = context.WithCancel(w.lives)
	return w
}

func (w *worker) know(ids []string) {
	for _, id := range ids {
		w.known[id] = true
	}
}

func (w *worker) slot(id string) *slot {
	s := w.slots[id]
	if s == nil {
		s = newSlot(id, w.pace)
		w.slots[id] = s
	}
	return s
}

// join makes the member seen and reads the group.
func (w *worker) join(ctx context.Context) error {
	ids, err := w.source(ctx)
	if err != nil {
		return fmt.Errorf("ask for the partitions: %w", err)
	}
	w.know(ids)
	record := w.record()
	w.instance = record.Instance
	if w.presence, err = w.store.Join(ctx, w.group, record); err != nil {
		return fmt.Errorf("join the group: %w", err)
	}
	if w.mirror, err = w.store.Watch(ctx, w.group, nil); err != nil {
		return fmt.Errorf("read the group: %w", err)
	}
	first := w.mirror.Snapshot()
	if w.options.Grace > 0 {
		kept := first.Reserved[w.options.OwnerID]
		if w.reservation, err = w.store.Reserve(ctx, w.group, w.options.OwnerID, w.options.Grace, kept); err != nil {
			return fmt.Errorf("reserve partitions: %w", err)
		}
	}
	w.emit(w.options.Events.Joined, Event{Revision: first.Revision, Reason: fmt.Sprintf("%d members", len(first.Members))})
	w.log.Info("joined the group", zap.Int("members", len(first.Members)), zap.Int64("revision", first.Revision))
	if lacks(first, ids) {
		if err := w.store.AddPartitions(ctx, w.group, ids); err != nil {
			return fmt.Errorf("add to the group's partitions: %w", err)
		}
	}
	w.running.Go(func() { w.followSource(w.lives) })
	w.running.Go(func() {
		err := followTrust(w.lives, w.store.Keeper(), func(t *trust) {
			w.post(func(w *worker) { w.trusted(t) })
		}, func(t *trust) {
			w.post(func(w *worker) { w.distrusted(t) })
		})
		w.post(func(w *worker) { w.fail(err) })
	})
	w.observe(first)
	return nil
}

// fail ends the work, unless it ends anyway.
func (w *worker) fail(err error) {
	if w.fatal == nil && !w.leaving {
		w.fatal = err
	}
}

// After a member has looked at the group and done what that called for, it leaves it alone for a while: changes that
// come close together are looked at together.
const (
	restLeast  = 10 * time.Millisecond
	restFactor = 4 // times what that took, but no longer than
	restMost   = 100 * time.Millisecond
)

// work works until ctx ends, or something fails for good.
func (w *worker) work(ctx context.Context) error {
	for w.fatal == nil {
		w.step()
		if !w.lookedAt.IsZero() {
			// Where a large group changes fast and the processor is scarce, looking at every change would leave nothing for
			// the renewal of leases and for the handlers; and whoever loses its lease makes more changes.
			w.lookAt = time.Now().Add(min(max(restLeast, restFactor*time.Since(w.lookedAt)), restMost))
			w.lookedAt = time.Time{}
		}
		if !w.await(ctx.Done()) {
			return nil
		}
	}
	return w.fatal
}

// await waits for something to happen and takes it in. It reports false if stop is closed instead.
func (w *worker) await(stop <-chan struct{}) bool {
	changed := w.view.Changed()
	if time.Now().Before(w.lookAt) {
		changed = nil
		w.wakeBy(w.lookAt)
	}
	select {
	case <-stop:
		return false
	default:
	}
	select {
	case <-stop:
		return false
	case happened := <-w.inbox:
		w.takeIn(happened)
	case <-changed:
		if err := w.mirror.Err(); err != nil {
			w.fail(err)
			w.view.Snapshot = w.quiet()
			return true
		}
		w.lookedAt = time.Now()
		w.observe(w.mirror.Snapshot())
	case <-w.wake.C:
		w.wakeAt = time.Time{}
	}
	return true
}

// takeIn takes in what has happened, and what else has by now: a step looks at every partition, and as many handlers
// may return together.
func (w *worker) takeIn(happened func(*worker)) {
	happened(w)
	for range inboxSize {
		select {
		case happened := <-w.inbox:
			happened(w)
		default:
			return
		}
	}
}

// quiet is the latest snapshot of a mirror that has stopped, which says so no more.
func (w *worker) quiet() *etcdstore.Snapshot {
	last := etcdstore.Snapshot{
		Group: w.view.Group, Revision: w.view.Revision, Ownerships: w.view.Ownerships, Members: w.view.Members,
		Controls: w.view.Controls, Reserved: w.view.Reserved, Corrupt: w.view.Corrupt,
	}
	return &last
}

// wakeBy has the worker look again by then at the latest.
func (w *worker) wakeBy(at time.Time) {
	if w.wakeAt.IsZero() || at.Before(w.wakeAt) {
		w.wakeAt = at
		w.wake.Reset(time.Until(at))
	}
}

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
	if why := w.view.differs(before); why != "" {
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
		if owner != plan.None {
			w.at[i].lastOwner = w.view.input.Members[owner].ID
		}
	}
	if w.trust == nil || w.trust.lapsed() {
		return // what was this member's is settled when there is trust again
	}
	w.findLost()
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

// trusted begins a stretch of trust. After a lapse the store has claimed again what nobody else had taken.
func (w *worker) trusted(t *trust) {
	w.trust, w.ttl = t, t.term.TTL()
	held := make(map[string]etcdstore.Ownership)
	for _, o := range w.store.Held(w.group) {
		held[o.PartitionID] = o
	}
	for id := range held {
		w.slot(id)
	}
	now := time.Now()
	for id, s := range w.slots {
		o, ours := held[id]
		switch {
		case s.phase == claiming, s.phase == releasing: // its outcome is on its way
		case ours && s.phase == finished:
			s.ownership = o
		case ours:
			s.ownership = o
			s.rest(now)
		case s.phase != idle:
			w.lose(s, "it was lost with the lease", etcdstore.ErrOwnershipLost)
		}
	}
}

// distrusted ends a stretch of trust: the handlers' contexts have ended.
func (w *worker) distrusted(t *trust) {
	if w.trust != t {
		return
	}
	w.trust = nil
	for _, s := range w.slots {
		if s.phase == handling || s.phase == draining {
			w.emit(w.options.Events.Lost, w.about(s, "the lease can no longer be trusted", t.term.Err()))
			w.log.Warn("partition no longer known to be owned", w.fields(s, "the lease can no longer be trusted")...)
		}
	}
}

// lose ends what this member does with a partition that is not its own any more.
func (w *worker) lose(s *slot, reason string, cause error) {
	w.emit(w.options.Events.Lost, w.about(s, reason, cause))
	w.log.Warn("partition lost", w.fields(s, reason)...)
	s.phase = idle
	if s.p != nil {
		s.p.end(cause)
	}
}

// step does what the plan asks for.
func (w *worker) step() {
	now := time.Now()
	w.readmit(now)
	w.flushReleases()
	switch {
	case w.trust == nil || w.trust.lapsed():
		return
	case w.leaving:
		for _, s := range w.slots {
			w.giveUp(s, "the member leaves")
		}
		w.flushReleases()
		return
	}
	me, here := w.view.memberAt[w.options.OwnerID]
	if !here {
		return // until the record is back
	}
	if w.to == nil {
		w.to = plan.Assign(w.view.input)
	}
	w.act(now, me)
	w.flushReleases()
}

// act finds out what to claim and what to give up.
func (w *worker) act(now time.Time, me int32) {
	settledAt := w.settledAt()
	settled := !now.Before(settledAt)
	var claims batches
	var moves []*slot
	suspects := w.findStuck(now, me, settled)
	for i, s := range w.at {
		if w.to[i] != me {
			if s.phase == idle {
				continue
			}
			moves = w.mayMove(moves, s)
			continue
		}
		switch {
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
			default:
				claims.add(s, w.view.etags[i], etcdstore.ClaimOptions{Reason: w.reasonToClaim(s)})
			}
		}
	}
	for s := range w.elsewhere() {
		moves = w.mayMove(moves, s)
	}
	w.takeStuck(&claims, suspects, me)
	if len(moves) > 0 && !settled {
		w.wakeBy(settledAt)
		moves = nil
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
	switch s.lastOwner {
	case "":
		return "nobody had it"
	case w.options.OwnerID:
		return "its owner is back"
	}
	if _, here := w.view.Members[s.lastOwner]; here {
		return "released by " + s.lastOwner
	}
	return "left by " + s.lastOwner
}

// tellPlan says what a plan means for this member.
func (w *worker) tellPlan(claims, moves int) {
	if w.why == "" || claims+moves == 0 {
		return
	}
	reason := fmt.Sprintf("%s: %d to claim, %d to give up", w.why, claims, moves)
	w.why = ""
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
			w.giveUp(s, "planned for another member")
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
	for id, s := range w.slots {
		if s.phase != idle && s.phase != releasing && keep(s) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func revisionOf(o etcdstore.Ownership) int64 {
	revision, _ := strconv.ParseInt(o.ETag, 10, 64) // as the store wrote it
	return revision
}
