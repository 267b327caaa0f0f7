package proof

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// Run is what was recorded of a group.
type Run struct {
	Partitions []string
	Reports    map[string][]member.Report // by member
	Changes    []Change                   // of the group
	Gaps       []string                   // in the recording of etcd's history

	// TTL is the leases' time to live.
	TTL time.Duration

	// Revoked is when a member's lease was revoked by hand: its handlers run on until it notices, for the TTL at most. The
	// interval lasts until that was answered or, if it never was, can no longer be on its way.
	Revoked map[string][]Interval

	// Woken is when a leader of etcd went on that had been paused. Although it has a successor, it has leases revoked that
	// were renewed with that one, of any member: what etcd 3.7.3 does in a quarter of such cases. The interval lasts until
	// what it has asked of its successor can no longer be on its way.
	Woken []Interval

	// Left are members that were told to leave: they give up their leases when they do.
	Left map[string]bool

	// Drain is within how long a handler must have returned that was asked to drain. With 0 that is not checked.
	Drain time.Duration

	// NoSpace is when etcd was out of space. A member that leaves then has to leave checkpoints unwritten.
	NoSpace []Interval
}

// Interval is a span of time.
type Interval struct{ From, To time.Duration }

// Violation is something that must not be.
type Violation struct {
	Check string // by which it was found
	Text  string
}

func (v Violation) String() string { return v.Check + ": " + v.Text }

// Violations are what a run's checks have found.
type Violations []Violation

// String lists the first of them.
func (v Violations) String() string {
	const enough = 20
	var text strings.Builder
	for i, one := range v {
		if i == enough {
			fmt.Fprintf(&text, "and %d more\n", len(v)-enough)
			break
		}
		fmt.Fprintln(&text, one)
	}
	return text.String()
}

// Of returns those that one check has found.
func (v Violations) Of(check string) Violations {
	return slices.DeleteFunc(slices.Clone(v), func(one Violation) bool { return one.Check != check })
}

// Account is what became of a group's events: what checks had to look at.
type Account struct {
	Events      int64 // in the stream, up to the last that was handled
	Repeated    int64 // times that one was handled again
	Unsaved     int64 // handled after the last checkpoint, by who has failed since
	Checkpoints int   // in etcd
	Answered    int   // calls for a checkpoint that were answered
	Unknown     int   // and those of which nobody knows whether they were applied
	Refused     int
	Tenures     int
	Asked       int // members' transactions that were answered
}

// Add adds what is in b.
func (a *Account) Add(b Account) {
	a.Events += b.Events
	a.Repeated += b.Repeated
	a.Unsaved += b.Unsaved
	a.Checkpoints += b.Checkpoints
	a.Answered += b.Answered
	a.Unknown += b.Unknown
	a.Refused += b.Refused
	a.Tenures += b.Tenures
	a.Asked += b.Asked
}
