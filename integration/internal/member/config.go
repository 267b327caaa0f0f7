// Package member runs members of a group as real processes, for tests that kill and pause them, and takes in what they
// report.
//
// A process is started with a [Config] in its environment: [Start] starts one, and [Run] is what it does. Its handlers
// are obedient unless told otherwise, and handle a stream of numbered events that is the same for everybody who knows
// when it began. Each event that was handled is reported on a pipe with one write: what stands there happened, however
// the process ended.
package member

import (
	"strconv"
	"time"
)

// Config is what a member's process is told.
type Config struct {
	Endpoints  []string
	Group      string // namespace/hub/group
	OwnerID    string
	Partitions int
	Weight     int
	TTL        time.Duration

	// User is the user, and the password, with which etcd is spoken to. With "" there is none.
	User string

	// DrainTimeout is how long a handler has to drain. Defaults to the balancer's own.
	DrainTimeout time.Duration

	Grace  time.Duration
	Stream Stream

	// CheckpointEvery is how many events pass between two checkpoints.
	CheckpointEvery int64

	// FailOneIn is in how many events a handler fails, or panics, before it handles one. With 0 it never does.
	FailOneIn int

	// StubbornOneIn is in how many runs of a handler it does not drain when it is asked to. With 0 it always does.
	StubbornOneIn int

	// ReadBackOneIn is after how many checkpoints one is read from etcd. With 0 none is.
	ReadBackOneIn int

	// ClockRate is how fast the clock runs by which the lease is trusted, 1 if not set.
	ClockRate float64

	// Callers is how many goroutines call the store by themselves, where this is no member but a caller of the store.
	Callers int

	// CallPause is the most that a caller rests between two calls.
	CallPause time.Duration

	// Quiet members leave the processor to what is measured: they log only what is wrong, and report only what their
	// handlers do, once nothing has happened for a while.
	Quiet bool

	// Disobedient handlers do not ask whether their context has ended. It shows that a test would notice.
	Disobedient bool
}

func (c *Config) clockRate() float64 {
	if c.ClockRate == 0 {
		return 1
	}
	return c.ClockRate
}

// Stream is numbered events, from 0 on, in each partition.
type Stream struct {
	// Start is when event 0 is there, by [Now].
	Start time.Duration

	// Every is the time between two events. With 0 there are none.
	Every time.Duration

	// Stagger is by how much each partition's events are later than those of the partition before.
	Stagger time.Duration

	// Work is how long the handling of an event takes.
	Work time.Duration
}

// at is when an event of a partition is there.
func (s Stream) at(partition string, sequence int64) time.Duration {
	index, _ := strconv.Atoi(partition)
	return s.Start + time.Duration(sequence)*s.Every + time.Duration(index)*s.Stagger
}

const configEnv = "TENURE_TEST_MEMBER"

// PartitionIDs returns the partitions of a stream with that many.
func PartitionIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ids
}
