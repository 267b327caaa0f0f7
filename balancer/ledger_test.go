package balancer

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ledger is a stream of events, numbered from 0 in each partition, that come without end, and a book of who has
// handled which.
type ledger struct {
	t *testing.T

	mu      sync.Mutex
	handled map[string][]int64 // by partition, in the order of handling
	active  map[string]string  // by partition: who handles an event
	changed chan struct{}
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	return &ledger{
		t: t, handled: make(map[string][]int64), active: make(map[string]string), changed: make(chan struct{}),
	}
}

// checkpointEvery is how many events pass between two checkpoints of a ledger's handler.
const checkpointEvery = 50

// handler handles events one after the other, obediently.
func (l *ledger) handler(owner string) Handler {
	return func(ctx context.Context, p *Partition) error {
		next := int64(0)
		if start, found := p.Start(); found {
			next = *start.SequenceNumber + 1
		}
		first := next
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-p.Draining():
				if next > first {
					last := next - 1
					p.Finish(&last, nil)
				}
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			l.handle(owner, p.ID(), next)
			next++
			if next%checkpointEvery == 0 {
				last := next - 1
				if err := p.Checkpoint(ctx, &last, nil); err != nil {
					return err
				}
			}
		}
	}
}

func (l *ledger) handle(owner, partition string, event int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if other := l.active[partition]; other != "" {
		l.t.Errorf("%s handles event %d of partition %s while %s handles one", owner, event, partition, other)
	}
	l.active[partition] = owner
	l.mu.Unlock()
	time.Sleep(50 * time.Microsecond) //nolint:forbidigo // The handling itself, in which another one must not begin.
	l.mu.Lock()
	l.active[partition] = ""
	l.handled[partition] = append(l.handled[partition], event)
	close(l.changed)
	l.changed = make(chan struct{})
}

// awaitAll waits until another event of every partition has been handled.
func (l *ledger) awaitAll(ids []string) {
	l.t.Helper()
	limit := time.NewTimer(longEnough)
	defer limit.Stop()
	before := make(map[string]int)
	l.mu.Lock()
	for _, id := range ids {
		before[id] = len(l.handled[id])
	}
	l.mu.Unlock()
	for {
		l.mu.Lock()
		waiting := 0
		for _, id := range ids {
			if len(l.handled[id]) == before[id] {
				waiting++
			}
		}
		changed := l.changed
		l.mu.Unlock()
		if waiting == 0 {
			return
		}
		select {
		case <-changed:
		case <-limit.C:
			l.t.Fatalf("%d partitions are not handled", waiting)
		}
	}
}

// requireOnce checks that each event was handled, once and in order, and returns how many there were.
func (l *ledger) requireOnce() (events int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, all := range l.handled {
		for i, event := range all {
			require.Equal(l.t, int64(i), event, "the %dth event handled of partition %s", i, id)
		}
		events += len(all)
	}
	return events
}

// repeated returns how many events were handled again, and checks that none was left out.
func (l *ledger) repeated() (events int) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, all := range l.handled {
		next := int64(0)
		for _, event := range all {
			require.LessOrEqual(l.t, event, next, "events of partition %s were left out", id)
			events += int(next - event)
			next = event + 1
		}
	}
	return events
}

// told takes in a member's events.
type told struct {
	mu      sync.Mutex
	all     []string
	events  map[string][]Event
	changed chan struct{}
}

// listen has a member's events taken in.
func listen(to *told) func(*Options) {
	to.events, to.changed = make(map[string][]Event), make(chan struct{})
	take := func(kind string) func(Event) {
		return func(e Event) {
			to.mu.Lock()
			defer to.mu.Unlock()
			to.events[kind] = append(to.events[kind], e)
			to.all = append(to.all, fmt.Sprintf("%s %s: %s", kind, e.Partition, e.Reason))
			close(to.changed)
			to.changed = make(chan struct{})
		}
	}
	return func(o *Options) {
		o.Events = Events{
			Joined: take("joined"), Planned: take("planned"), Claimed: take("claimed"), Draining: take("draining"),
			Released: take("released"), Lost: take("lost"), CheckpointRejected: take("rejected"),
			Excluded: take("excluded"), Failed: take("failed"),
		}
	}
}

// await waits until that many events of a kind were told, and returns them.
func (e *told) await(t *testing.T, kind string, n int) []Event {
	t.Helper()
	limit := time.NewTimer(longEnough)
	defer limit.Stop()
	for {
		e.mu.Lock()
		events, changed := e.events[kind], e.changed
		all := e.all
		e.mu.Unlock()
		if len(events) >= n {
			return events
		}
		select {
		case <-changed:
		case <-limit.C:
			t.Fatalf("%d times %s, not %d; all that was told: %q", len(events), kind, n, all)
		}
	}
}

// count returns how many events of a kind were told.
func (e *told) count(kind string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.events[kind])
}
