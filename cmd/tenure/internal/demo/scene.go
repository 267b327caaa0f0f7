package demo

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// state is what a member is doing, in a word for people.
type state string

const (
	starting  state = "starting"
	working   state = "at work"
	finishing state = "finishing"
	finished  state = "finished"
	killed    state = "killed"
	paused    state = "paused"
	waking    state = "waking"
)

// mayLose reports whether a member in this state may lose its lease.
func (s state) mayLose() bool { return s != starting && s != working }

// mayExit reports whether a process in this state may end.
func (s state) mayExit() bool { return s == finishing || s == killed }

// line is something that the demo says.
type line struct {
	at    time.Duration
	title string // of a phase, with its first line
	text  string
}

// scene is all that has been seen so far. The witnesses write it, the director waits for it, and the view shows it.
type scene struct {
	began time.Time
	say   func(line) error // called with each line, one at a time

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each change
	appended [partitions]int
	ledger   *ledger
	history  *history
	phases   []phase
	names    []string // of the members, in the order in which they came
	states   map[string]state
	decided  map[string]bool // by write_id: etcd has refused that checkpoint
	late     int             // events that the paused member printed after it woke, of tenures that it had lost
	exits    []string        // members that ended in another way than they should
	lines    []line
	trouble  error // what ends the demo early
}

func newScene(say func(line) error) *scene {
	return &scene{
		began:   time.Now(),
		say:     say,
		changed: make(chan struct{}),
		ledger:  newLedger(),
		history: newHistory(),
		states:  make(map[string]state),
		decided: make(map[string]bool),
	}
}

// change lets the scene be changed, and tells those who wait.
func (s *scene) change(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.changed)
	s.changed = make(chan struct{})
}

// fail ends the demo. The first error is the one that tells why. The mutex is held.
func (s *scene) fail(err error) {
	if s.trouble == nil {
		s.trouble = err
	}
}

// await waits until the condition holds, which is asked with the mutex held, after each change.
func (s *scene) await(ctx context.Context, limit time.Duration, what string, holds func() bool) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	for {
		s.mu.Lock()
		held, trouble, changed := holds(), s.trouble, s.changed
		s.mu.Unlock()
		switch {
		case trouble != nil:
			return trouble
		case held:
			return nil
		}
		select {
		case <-changed:
		case <-late.C:
			return fmt.Errorf("waited %v in vain until %s%s", limit, what, s.describe())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rest lets the scene go on for a while.
func (s *scene) rest(ctx context.Context, pause time.Duration) error {
	over := time.Now().Add(pause)
	ctx, cancel := context.WithDeadline(ctx, over)
	defer cancel()
	err := s.await(ctx, pause, "the rest is over", func() bool { return false })
	if !time.Now().Before(over) && s.failure() == nil {
		return nil
	}
	return err
}

func (s *scene) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trouble
}

// tell says something.
func (s *scene) tellf(title, format string, values ...any) {
	s.change(func() {
		l := line{at: time.Since(s.began), title: title, text: fmt.Sprintf(format, values...)}
		s.lines = append(s.lines, l)
		if err := s.say(l); err != nil {
			s.fail(fmt.Errorf("%w: %w", errOutput, err))
		}
	})
}

// begin begins a phase.
func (s *scene) begin(p phase) {
	s.change(func() { s.phases = append(s.phases, p) })
}

// phase returns the number of the phase that is on. The mutex is held.
func (s *scene) phase() int { return len(s.phases) - 1 }

func (s *scene) enter(member string, now state) {
	s.change(func() {
		if _, known := s.states[member]; !known {
			s.names = append(s.names, member)
		}
		s.states[member] = now
	})
}

// appendedNow is told by the stream.
func (s *scene) appendedNow(appended [partitions]int) {
	s.change(func() { s.appended = appended })
}

// printed is told by the members' output.
func (s *scene) printed(member string, e event) {
	s.change(func() {
		phase := s.phase()
		r := s.ledger.add(member, e, phase, time.Since(s.began))
		if s.states[member] == waking && r != nil && r.phase < phase {
			s.late++
		}
	})
}

// judged is told by the wire. A checkpoint that was sent twice is refused the second time though it was written.
func (s *scene) judged(_, writeID string, refused bool) {
	s.change(func() {
		before, known := s.decided[writeID]
		s.decided[writeID] = refused && (before || !known)
	})
}

// exited is told when a process has ended. how is its status for people, and ok says that it is 0.
func (s *scene) exited(member, how string, ok bool) {
	s.change(func() {
		was := s.states[member]
		switch {
		case !was.mayExit():
			s.fail(fmt.Errorf("%s ended by itself: %s", member, how))
		case was == finishing && !ok:
			s.exits = append(s.exits, fmt.Sprintf("%s was told to finish and ended with %s", member, how))
		}
		if was == finishing {
			s.states[member] = finished
		}
	})
}

// recorded is told by etcd's watch.
func (s *scene) recorded(events []*clientv3.Event) {
	s.change(func() {
		for _, e := range events {
			present := maps.Clone(s.history.members)
			if err := s.history.add(e, s.phase(), time.Now()); err != nil {
				s.fail(err)
			}
			for member := range present {
				if !s.history.members[member] && !s.states[member].mayLose() {
					s.fail(fmt.Errorf("%s lost its lease though nobody touched it: this machine may be too busy for a lease of %v",
						member, ttl))
				}
			}
			for member := range s.history.members {
				if was := s.states[member]; was == starting || was == waking {
					s.states[member] = working
				}
			}
		}
	})
}

// owned reports whether each partition is owned by one of the members, in shares that differ by one at the most. The
// mutex is held.
func (s *scene) owned(members []string) bool {
	shares := s.history.shares()
	total := 0
	for _, member := range members {
		total += shares[member]
		if shares[member] < partitions/len(members) {
			return false
		}
	}
	return total == partitions
}

// read reports whether each partition's owner has printed the event at the mark. The mutex is held.
func (s *scene) read(mark [partitions]int) bool {
	for p, owner := range s.history.owner {
		if r := s.ledger.open[place{owner, p}]; r == nil || r.next <= mark[p] || s.ledger.upTo[p] <= mark[p] {
			return false
		}
	}
	return true
}

// describe says where each partition stands, a line for each.
func (s *scene) describe() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var text strings.Builder
	for p, owner := range s.history.owner {
		fmt.Fprintf(&text, "\n  partition %s is owned by %q, and %d of %d events were printed",
			partitionID(p), owner, s.ledger.upTo[p], s.appended[p])
	}
	return text.String()
}

// evidence returns all that the judge needs.
func (s *scene) evidence() evidence {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := evidence{
		appended: s.appended,
		phases:   s.phases,
		claims:   s.history.claims,
		wrong:    s.history.wrong,
		stray:    s.ledger.stray,
		exits:    s.exits,
	}
	for _, r := range s.ledger.runs {
		e.runs = append(e.runs, *r)
	}
	for _, refused := range s.decided {
		if refused {
			e.rejected++
		}
	}
	return e
}
