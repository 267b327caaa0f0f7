package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tenure-go/tenure/integration/internal/fleet"
)

// fresh is how long a partition counts as read after its last event.
const fresh = time.Second

// tally counts what the consumers print. The event hub's events are numbered from 0 in each partition.
type tally struct {
	// moves tells of each partition of the consumer that is gone, when another goes on with it.
	moves chan move
	// trouble tells of what ends the demo.
	trouble chan error

	mu       sync.Mutex
	seen     [partitions][]int // how often each event was printed
	last     [partitions]last
	events   map[string]int // by consumer, in this second
	all      int
	unique   int
	done     []move
	goneName string
	goneAt   time.Time
	exiting  map[string]bool
	logs     map[string][]string
}

// last is the last event that was printed of a partition.
type last struct {
	consumer string
	sequence int64
	at       time.Time
}

// move is a partition that another consumer went on with.
type move struct {
	partition int
	to        string
	event     int64
	after     time.Duration
	repeated  int64
}

func newTally() *tally {
	return &tally{
		moves:   make(chan move, partitions),
		trouble: make(chan error, 1),
		events:  make(map[string]int),
		exiting: make(map[string]bool),
		logs:    make(map[string][]string),
	}
}

// Printed is told by [fleet.Start].
func (t *tally) Printed(consumer string, event fleet.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	p, err := strconv.Atoi(event.Partition)
	if err != nil || p < 0 || p >= partitions || event.SequenceNumber < 0 {
		t.fail(fmt.Errorf("%s printed an event that was never appended: %+v", consumer, event))
		return
	}
	for int64(len(t.seen[p])) <= event.SequenceNumber {
		t.seen[p] = append(t.seen[p], 0)
	}
	t.seen[p][event.SequenceNumber]++
	if t.seen[p][event.SequenceNumber] == 1 {
		t.unique++
	}
	t.all++
	t.events[consumer]++
	if before := t.last[p]; before.consumer == t.goneName && consumer != t.goneName && t.goneName != "" {
		m := move{
			partition: p, to: consumer, event: event.SequenceNumber, after: now.Sub(t.goneAt),
			repeated: max(0, before.sequence-event.SequenceNumber+1),
		}
		t.done = append(t.done, m)
		t.moves <- m // never full: what was the gone one's moves once
	}
	t.last[p] = last{consumer, event.SequenceNumber, now}
}

// Logged is told by [fleet.Start]. The logs are shown when a consumer fails.
func (t *tally) Logged(consumer string, entry fleet.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logs[consumer] = append(t.logs[consumer], entry.Line)
	t.logs[consumer] = t.logs[consumer][max(0, len(t.logs[consumer])-10):]
}

// Exited is told by [fleet.Start].
func (t *tally) Exited(consumer string, status int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.exiting[consumer] {
		t.fail(fmt.Errorf("consumer %s exited with status %d; the last of its log:\n%s",
			consumer, status, strings.Join(t.logs[consumer], "\n")))
	}
}

func (t *tally) fail(err error) {
	select {
	case t.trouble <- err:
	default: // the first is the one that tells why
	}
}

// giveUp ends the waiting for the last events.
func (t *tally) giveUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail(fmt.Errorf("the last events were not printed within %v", catchUpLimit))
}

func (t *tally) mayExit(consumer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.exiting[consumer] = true
}

// gone notes that a consumer is killed now.
func (t *tally) gone(consumer string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.goneName, t.goneAt = consumer, time.Now()
}

// second is what a second of the demo was like.
type second struct {
	readers [partitions]string // "" where nobody reads
	events  map[string]int     // printed in this second, by consumer
}

// second returns the second that has just passed and begins the next.
func (t *tally) second() second {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := second{events: t.events}
	t.events = make(map[string]int)
	for p := range t.last {
		if time.Since(t.last[p].at) < fresh {
			s.readers[p] = t.last[p].consumer
		}
	}
	return s
}

// allRead reports whether each partition has a reader, and each of the three consumers a partition.
func (t *tally) allRead() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	readers := make(map[string]bool)
	for _, l := range t.last {
		if time.Since(l.at) >= fresh {
			return false
		}
		readers[l.consumer] = true
	}
	return len(readers) == 3
}

func (t *tally) readBy(consumer string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []string
	for p, l := range t.last {
		if l.consumer == consumer {
			found = append(found, strconv.Itoa(p))
		}
	}
	return found
}

// distinct is how many events were printed, each counted once.
func (t *tally) distinct() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.unique
}

// repeated is how many times an event was printed that had been before.
func (t *tally) repeated() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all - t.unique
}

func (t *tally) moved() []move {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.done)
}
