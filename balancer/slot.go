package balancer

import (
	"time"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/backoff"
)

// phase is where a partition stands with this member; see the package's documentation.
type phase int

const (
	idle      phase = iota // not this member's
	claiming               // a claim is under way
	handling               // its handler runs
	draining               // its handler was asked to finish
	resting                // this member's, without a handler: it failed, or trust lapsed
	finished               // this member's, and its handler has nothing more to do
	releasing              // a release is under way
)

// String returns the phase as a label of metrics.
func (p phase) String() string {
	return [...]string{"idle", "claiming", "handling", "draining", "resting", "finished", "releasing"}[p]
}

// held reports whether a partition in that phase is this member's and nothing is under way that changes it.
func (p phase) held() bool { return p == handling || p == draining || p == resting || p == finished }

// slot is what a member knows of one partition.
type slot struct {
	id        string
	place     int // among the group's partitions, -1 if it is not one of them
	phase     phase
	busy      map[*slot]bool      // the worker's, of all that are not idle
	ownership etcdstore.Ownership // in phases that are held, and while claimed anew or released
	anew      bool                // claiming: it is this member's already

	// p is the latest run of the handler. It runs on after the partition has been released or lost, until it returns.
	p       *Partition
	running bool
	overdue bool // it did not return within the stop grace

	failures int // in a row
	retry    *backoff.Backoff
	retryAt  time.Time // not before
	unknown  bool      // the source has to name it first

	seenAt    int64     // revision of the snapshot by which it was claimed in vain
	freeSince time.Time // when it was first seen to be free, before this member claimed it
}

func newSlot(id string, pace pace, busy map[*slot]bool) *slot {
	return &slot{id: id, place: -1, retry: backoff.New(pace.restartFirst, pace.restartLast), busy: busy}
}

// enter begins a phase.
func (s *slot) enter(p phase) {
	s.phase = p
	if p == idle {
		delete(s.busy, s)
	} else {
		s.busy[s] = true
	}
}

// rest keeps the partition without a handler until then.
func (s *slot) rest(until time.Time) {
	s.enter(resting)
	s.retryAt = until
}
