package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/integration/internal/fleet"
	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

const (
	ttl            = 2 * time.Second
	updateInterval = time.Second

	// patience is how long anything may take that has no limit of its own. It is not waited for unless something is wrong.
	patience = 90 * time.Second

	// tail is how many of a consumer's last log entries a failed test shows.
	tail = 40
)

// testFleet is several processes of tenure consume on one stream and one etcd, and all that has been seen of them.
type testFleet struct {
	*sight

	t      *testing.T
	stream stream
	client *clientv3.Client // nil where the etcd is that of --dev
	flags  []string

	consumers map[string]*fleet.Consumer

	ending   map[string]bool // may exit
	exited   map[string]int  // exit statuses
	prints   map[place][]printed
	seen     map[string][]int // by partition and sequence number: how often it was printed
	covered  map[string]int64 // by partition: all sequence numbers below have been printed
	reader   map[string]string
	repeated int
	entries  map[string][]fleet.Entry

	// From etcd:
	owner        map[string]string // by partition
	checkpointed map[place]bool    // by whoever owned the partition then
}

// place is a partition as one consumer reads it.
type place struct{ consumer, partition string }

// printed is a line of standard output. It is dated by its arrival here.
type printed struct {
	at       time.Time
	sequence int64
}

// newFleet makes a fleet without members. Where endpoints are none, flags say which etcd is used.
func newFleet(t *testing.T, stream stream, endpoints []string, flags ...string) *testFleet {
	t.Helper()
	common := []string{"--log-level", "debug", "--ttl", ttl.String(), "--checkpoint-interval", "1s"}
	f := &testFleet{
		t: t, stream: stream, flags: slices.Concat(common, stream.flags(), flags),
		sight:     &sight{},
		consumers: make(map[string]*fleet.Consumer),
		ending:    make(map[string]bool),
		exited:    make(map[string]int),
		prints:    make(map[place][]printed),
		seen:      make(map[string][]int),
		covered:   make(map[string]int64),
		reader:    make(map[string]string),
		entries:   make(map[string][]fleet.Entry),
		owner:     make(map[string]string),

		checkpointed: make(map[place]bool),
	}
	t.Cleanup(f.end)
	if len(endpoints) > 0 {
		f.flags = append(f.flags, "--endpoints", strings.Join(endpoints, ","))
		f.client = etcdtest.NewClient(t, endpoints)
		f.followRecords()
	}
	return f
}

// end kills what still runs, and shows the last of the logs where the test has failed.
func (f *testFleet) end() {
	f.mu.Lock()
	for name := range f.consumers {
		f.ending[name] = true
	}
	f.mu.Unlock()
	for _, c := range f.consumers {
		c.Kill()
	}
	if !f.t.Failed() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range f.names() {
		entries := slices.Clone(f.entries[name])
		entries = slices.DeleteFunc(entries, func(e fleet.Entry) bool { return e.Level == "debug" })
		entries = entries[max(0, len(entries)-tail):]
		f.t.Logf("the last of %s's log:", name)
		for _, entry := range entries {
			f.t.Log(entry.Line)
		}
	}
}

func (f *testFleet) names() []string {
	var names []string
	for name := range f.consumers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f *testFleet) start(names ...string) {
	f.t.Helper()
	for _, name := range names {
		c, err := fleet.Start(name, binary(f.t), f.stream.connectionString(), f.flags, f)
		require.NoError(f.t, err)
		f.consumers[name] = c
	}
}

// signal sends a signal. After SIGTERM and SIGKILL the consumer may exit.
func (f *testFleet) signal(name string, signal syscall.Signal) {
	f.t.Helper()
	if signal == syscall.SIGTERM || signal == syscall.SIGKILL {
		f.mu.Lock()
		f.ending[name] = true
		f.mu.Unlock()
	}
	require.NoError(f.t, f.consumers[name].Signal(signal))
}

// leave ends consumers with SIGTERM, which has to succeed.
func (f *testFleet) leave(names ...string) {
	f.t.Helper()
	for _, name := range names {
		f.signal(name, syscall.SIGTERM)
	}
	for _, name := range names {
		f.await(name+" exits", func() bool { return f.hasExited(name) })
		f.mu.Lock()
		require.Zero(f.t, f.exited[name], "%s's exit status after SIGTERM", name)
		f.mu.Unlock()
	}
}

// Printed takes in a line of standard output.
func (f *testFleet) Printed(consumer string, event fleet.Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := event.Partition
	if event.Body != f.stream.body(p, event.SequenceNumber) {
		f.entries[consumer] = append(f.entries[consumer], fleet.Entry{Line: "printed with another's body: " + event.Body})
	}
	at := place{consumer, p}
	f.prints[at] = append(f.prints[at], printed{time.Now(), event.SequenceNumber})
	for int64(len(f.seen[p])) <= event.SequenceNumber {
		f.seen[p] = append(f.seen[p], 0)
	}
	f.seen[p][event.SequenceNumber]++
	if f.seen[p][event.SequenceNumber] > 1 {
		f.repeated++
	}
	for f.covered[p] < int64(len(f.seen[p])) && f.seen[p][f.covered[p]] > 0 {
		f.covered[p]++
	}
	f.reader[p] = consumer
	f.fresh = true
}

// Logged takes in a line of standard error.
func (f *testFleet) Logged(consumer string, entry fleet.Entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.entries[consumer] = append(f.entries[consumer], entry)
	f.fresh = true
}

// Exited takes in the end of a process.
func (f *testFleet) Exited(consumer string, status int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exited[consumer] = status
	f.fresh = true
}

// followRecords keeps what is known from etcd up to date until the test ends.
func (f *testFleet) followRecords() {
	recorder := proof.Record(f.client, "", member.Now, func(changes []proof.Change) {
		f.see(func() {
			for _, c := range changes {
				switch c.Kind {
				case proof.Ownership:
					f.owner[c.Partition] = c.OwnerID
				case proof.Checkpoint:
					f.checkpointed[place{f.owner[c.Partition], c.Partition}] = true
				}
			}
		})
	})
	f.t.Cleanup(recorder.Stop)
}

// await waits until the condition holds. It fails when a consumer exits that should not.
func (f *testFleet) await(what string, condition func() bool) {
	f.t.Helper()
	exited := func() string {
		for name, status := range f.exited {
			if !f.ending[name] {
				return fmt.Sprintf("%s exited with status %d", name, status)
			}
		}
		return ""
	}
	f.sight.await(f.t, what, condition, exited, func() string {
		return fmt.Sprintf("owners: %v\nreaders: %v\nprinted: %v", f.owner, f.reader, f.covered)
	})
}

// hasExited is for conditions.
func (f *testFleet) hasExited(name string) bool {
	_, exited := f.exited[name]
	return exited
}

// awaitShared waits until the consumers own all partitions, in shares that differ by one at most, and read what they
// own.
func (f *testFleet) awaitShared(names ...string) {
	f.t.Helper()
	partitions := len(f.stream.last())
	began := time.Now()
	f.await(fmt.Sprintf("%v share the partitions", names), func() bool {
		shares := make(map[string]int)
		for partition, reader := range f.reader {
			if f.client != nil && f.owner[partition] != reader {
				return false
			}
			shares[reader]++
		}
		total := 0
		for _, name := range names {
			if shares[name] < partitions/len(names) {
				return false
			}
			total += shares[name]
		}
		return total == partitions
	})
	f.t.Logf("%d partitions shared by %v after %v", partitions, names, time.Since(began).Round(time.Millisecond))
}

// awaitCheckpoints waits until a consumer has checkpointed each of its partitions, and returns these.
func (f *testFleet) awaitCheckpoints(name string) (held []string) {
	f.t.Helper()
	f.await(name+" has checkpointed all its partitions", func() bool {
		held = nil
		for partition, owner := range f.owner {
			if owner == name {
				held = append(held, partition)
			}
		}
		missing := func(partition string) bool { return !f.checkpointed[place{name, partition}] }
		return len(held) > 0 && !slices.ContainsFunc(held, missing)
	})
	slices.Sort(held)
	return held
}

// takenOver tells how a partition went on after its consumer was gone.
type takenOver struct {
	partition string
	by        string
	after     time.Duration // from the consumer's end to the next consumer's first event
	first     int64         // that event
	repeated  int64         // how many of its events the consumer before had printed as well
}

// awaitTakenOver waits until others read all the partitions that a consumer held, and returns the longest rest too.
func (f *testFleet) awaitTakenOver(
	from string, held []string, since time.Time,
) (all []takenOver, longest time.Duration) {
	f.t.Helper()
	firsts := func(partition string) (taken takenOver, found bool) {
		for at, lines := range f.prints {
			if at.partition != partition || at.consumer == from {
				continue
			}
			i, _ := slices.BinarySearchFunc(lines, since, func(p printed, t time.Time) int { return p.at.Compare(t) })
			if i == len(lines) || found && lines[i].at.Sub(since) >= taken.after {
				continue
			}
			found = true
			taken = takenOver{partition: partition, by: at.consumer, after: lines[i].at.Sub(since), first: lines[i].sequence}
		}
		return taken, found
	}
	f.await(fmt.Sprintf("others read %s's partitions %v", from, held), func() bool {
		all = nil
		for _, partition := range held {
			taken, found := firsts(partition)
			if !found {
				return false
			}
			all = append(all, taken)
		}
		return true
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, taken := range all {
		longest = max(longest, taken.after)
		if before := f.prints[place{from, taken.partition}]; len(before) > 0 {
			all[i].repeated = max(0, before[len(before)-1].sequence-taken.first+1)
		}
	}
	return all, longest
}

// awaitCaughtUp waits until all events that are in the stream now have been printed, and returns how many they are.
func (f *testFleet) awaitCaughtUp() (events int64) {
	f.t.Helper()
	last := f.stream.last()
	for _, sequence := range last {
		events += sequence + 1
	}
	f.await("every event is printed", func() bool {
		for partition, sequence := range last {
			if f.covered[partition] <= sequence {
				return false
			}
		}
		return true
	})
	return events
}

// logged returns a consumer's log entries of this message.
func (f *testFleet) logged(consumer, message string) []fleet.Entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.loggedLocked(consumer, message)
}

// loggedLocked is logged for conditions.
func (f *testFleet) loggedLocked(consumer, message string) []fleet.Entry {
	var found []fleet.Entry
	for _, entry := range f.entries[consumer] {
		if entry.Message == message {
			found = append(found, entry)
		}
	}
	return found
}

// hold lets a fault last.
func hold(t *testing.T, fault time.Duration) {
	t.Helper()
	timer := time.NewTimer(fault)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
