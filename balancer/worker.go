package balancer

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
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
	overlooked  bool    // the view has not been compared with what this member holds

	slots   map[string]*slot
	at      []*slot           // the slots of view's partitions, in their order; nil where none was needed yet
	busy    map[*slot]bool    // those that are not idle
	watched map[string]*watch // of partitions that are free and planned for others
	known   map[string]bool   // partitions that the source has named
	askNow  chan struct{}
	adding  bool // partitions are being added
	pending []*slot
	freeing bool // a release of several is under way

	// lookAt is when the group is looked at again at the earliest, and late is by how much the timer for that was.
	lookedAt, lookAt time.Time
	late             time.Duration
	stepTook         time.Duration // the last one
	stale            bool          // the group has changed, and it was not yet time to look at it

	// When what planning rests on last changed, and when it first did since it was settled.
	changedAt, unsettledAt time.Time

	movesUntil   time.Time // there was space then: moves may begin
	asking       bool      // whether there is space
	excluded     []exclusion
	leaving      bool
	deletesOnly  bool          // leaving: etcd is out of space and takes no last checkpoints
	ttl          time.Duration // of the latest term
	why          difference    // what led to the plan at hand
	wake         *time.Timer
	wakeAt       time.Time
	fatal        error
	corruptTold  map[string]string // by key: the etag of a corrupt record that was logged
	handlersLeft []string          // partitions whose handlers did not return in time
}

func newWorker(m *Member) *worker {
	w := &worker{
		Member: m, slots: make(map[string]*slot), busy: make(map[*slot]bool), known: make(map[string]bool),
		askNow: make(chan struct{}, 1),
		wake:   time.NewTimer(time.Hour), corruptTold: make(map[string]string),
		view: &view{holdings: newHoldings(m.options.OwnerID)},
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
		s = newSlot(id, w.pace, w.busy)
		w.slots[id] = s
		if i, listed := w.view.index[id]; listed {
			s.place, w.at[i] = i, s
		}
	}
	return s
}

// slotAt returns the slot of the partition at a place.
func (w *worker) slotAt(i int) *slot {
	if w.at[i] == nil {
		w.slot(w.view.input.Partitions[i])
	}
	return w.at[i]
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
	if w.options.Lag != nil {
		w.running.Go(func() { w.followLag(w.lives) })
	}
	w.running.Go(func() {
		err := followTrust(w.lives, w.store.Keeper(), func(t *trust) {
			w.post(func(w *worker) { w.trusted(t) })
		}, func(t *trust) {
			w.post(func(w *worker) { w.distrusted(t) })
		})
		w.post(func(w *worker) { w.fail(err) })
	})
	w.observe()
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
	restFactor = 4 // times what that took and how late it was done, but no longer than
	restMost   = 500 * time.Millisecond
)

// work works until ctx ends, or something fails for good.
func (w *worker) work(ctx context.Context) error {
	w.working.Store(true)
	for w.fatal == nil {
		w.step()
		if !w.lookedAt.IsZero() {
			// Where a large group changes fast and the processor is scarce, looking at every change would leave nothing for
			// the renewal of leases and for the handlers; and whoever loses its lease makes more changes. That it is scarce
			// shows in how late a member is woken.
			w.lookAt = time.Now().Add(min(max(restLeast, restFactor*(time.Since(w.lookedAt)+w.late)), restMost))
			w.lookedAt, w.late = time.Time{}, 0
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
		w.stale = isClosed(w.view.Changed())
	case <-changed:
		if err := w.mirror.Err(); err != nil {
			w.fail(err)
			w.view.Snapshot = w.quiet()
			return true
		}
		w.lookedAt, w.stale = time.Now(), false
		w.observe()
	case <-w.wake.C:
		if w.stale = isClosed(w.view.Changed()); w.stale { // to be looked at next
			w.late = max(0, time.Since(w.wakeAt))
		}
		w.wakeAt = time.Time{}
	}
	return true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// takeIn takes in what has happened, and what else happens in a few times as long as a step takes: a step looks at all
// partitions, and as many handlers may return, each by itself.
func (w *worker) takeIn(happened func(*worker)) {
	happened(w)
	enough := time.NewTimer(min(restFactor*w.stepTook, restMost))
	defer enough.Stop()
	for {
		select {
		case happened := <-w.inbox:
			happened(w)
		case <-enough.C:
			return
		}
	}
}

// quiet is the latest snapshot of a mirror that has stopped, which says so no more.
func (w *worker) quiet() *etcdstore.Snapshot {
	last := etcdstore.Snapshot{
		Group: w.view.Group, Revision: w.view.Revision, Members: w.view.Members,
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

// trusted begins a stretch of trust. After a lapse the store has claimed again what nobody else had taken.
func (w *worker) trusted(t *trust) {
	w.trust, w.ttl, w.overlooked = t, t.term.TTL(), false // what was lost is found below
	held := w.held()
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
