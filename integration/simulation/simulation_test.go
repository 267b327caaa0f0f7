// Package simulation runs groups on a simulated etcd, in the time of synctest bubbles: hundreds of runs a minute, each
// of a minute or so, in which things go wrong at moments that real processes are too slow to meet. What members and
// callers do, and what is checked of it, is the same as with real processes.
package simulation

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/internal/clock"
	"github.com/tenure-go/tenure/internal/etcdsim"
)

// What a run has.
const (
	partitions        = 4
	callersPartitions = 2
	ttl               = 5 * time.Second
	drainTimeout      = 2 * time.Second
)

// run is a group and callers on a simulated etcd, and what is recorded of them.
type run struct {
	t        *testing.T
	etcd     *etcdsim.Etcd
	recorder *proof.Recorder
	random   *rand.Rand
	began    time.Time
	joined   int
	actors   map[string]*actor
	story    []string
	revoked  map[string][]proof.Interval
	noSpace  []proof.Interval

	mu      sync.Mutex
	reports [2]map[string][]member.Report // of members, and of callers
	owner   map[string]string             // by partition, of the members' group
}

// actor is a member or a caller.
type actor struct {
	name   string
	link   *etcdsim.Link
	orders chan string
	stop   context.CancelFunc
	ended  chan struct{}
	err    error
	gone   bool // killed or leaving
	dead   bool // killed: what it does after that has not happened
	wrong  bool // a fault is active
}

// outcome is what became of a run.
type outcome struct {
	Account    proof.Account
	Calls      proof.CallAccount
	Violations proof.Violations
	Owned      time.Duration // how long it took, after all was healed, until everything was owned
	Trace      []string      // all that happened in etcd, and when
	Story      []string
}

const (
	memberPrefix = "/tenure/v1/local/events/members/"
	callerPrefix = "/tenure/v1/local/events/callers/"
)

// simulate runs one group with what the seed has happen to it.
func simulate(t *testing.T, seed uint64) (result outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		t.Helper()
		r := &run{
			t: t, etcd: etcdsim.New(t, seed), random: rand.New(rand.NewPCG(seed, 1)), began: time.Now(),
			actors: make(map[string]*actor), owner: make(map[string]string), revoked: make(map[string][]proof.Interval),
			reports: [2]map[string][]member.Report{make(map[string][]member.Report), make(map[string][]member.Report)},
		}
		client, _ := r.etcd.Client()
		r.recorder = proof.Record(client, "", r.now, r.follow)
		defer r.recorder.Stop()
		for range 3 {
			r.join()
		}
		for range 2 {
			r.joinCaller()
		}
		r.pass(3 * time.Second)
		for range 4 + r.random.IntN(20) {
			for happened := false; !happened; {
				happened = r.something()
			}
			r.pass(time.Duration(r.random.ExpFloat64() * float64(ttl) / 2))
		}
		result = r.conclude(client)
	})
	return result
}

// now is the time since the run began.
func (r *run) now() time.Duration { return time.Since(r.began) }

// pass lets time pass.
func (r *run) pass(d time.Duration) { <-time.After(d + time.Duration(r.random.IntN(1000))) }

func (r *run) tellf(format string, args ...any) {
	r.story = append(r.story, fmt.Sprintf("%9.3f  ", r.now().Seconds())+fmt.Sprintf(format, args...))
}

func (r *run) follow(changes []proof.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		if c.Kind == proof.Ownership && c.Group == memberPrefix {
			r.owner[c.Partition] = c.OwnerID
		}
	}
}

func (r *run) join() {
	r.joined++
	config := &member.Config{
		OwnerID: fmt.Sprintf("m%d", r.joined), Group: "local/events/members", Partitions: partitions,
		Stream: member.Stream{
			Every: 400 * time.Millisecond, Stagger: 13_700_001, Work: time.Duration(r.random.IntN(20)) * time.Millisecond,
		},
		CheckpointEvery: 3, FailOneIn: 1000, ReadBackOneIn: 5, DrainTimeout: drainTimeout, StubbornOneIn: 10,
	}
	if r.joined%3 == 0 {
		config.Grace = 2 * time.Second
	}
	r.enter(config)
}

func (r *run) joinCaller() {
	r.joined++
	r.enter(&member.Config{
		OwnerID: fmt.Sprintf("c%d", r.joined), Group: "local/events/callers", Partitions: callersPartitions,
		Callers: 2, CallPause: 1500 * time.Millisecond,
	})
}

// enter starts an actor. Some clocks are fast or slow, by less than the margin.
func (r *run) enter(config *member.Config) {
	client, link := r.etcd.Client()
	config.TTL = ttl
	config.ClockRate = []float64{1, 1, 1.09, 0.92}[r.random.IntN(4)]
	ctx, stop := context.WithCancel(context.Background())
	a := &actor{name: config.OwnerID, link: link, orders: make(chan string, 8), stop: stop, ended: make(chan struct{})}
	r.actors[a.name] = a
	began, seed := r.began, r.random.Uint64()
	go func() {
		defer close(a.ended)
		a.err = member.Play(ctx, config, &member.Stage{
			Client: client, Logger: logger().Named(a.name), Now: r.now, Orders: a.orders, Seed: seed,
			Clock: clock.Clock(func() time.Duration { return time.Since(began) }),
			Report: func(report member.Report) {
				r.mu.Lock()
				defer r.mu.Unlock()
				if !a.dead {
					of := r.reports[min(config.Callers, 1)]
					of[a.name] = append(of[a.name], report)
				}
			},
		})
	}()
	r.tellf("%s enters, with a clock at %v", a.name, config.ClockRate)
	r.pass(time.Millisecond)
}

// logEnv has logged what members do, with a run's own time.
const logEnv = "TENURE_SIMULATE_LOG"

func logger() *zap.Logger {
	if os.Getenv(logEnv) == "" {
		return zap.NewNop()
	}
	return zap.Must(zap.NewDevelopment())
}

// living returns those that nobody has ended, of one kind: the first letters of their names.
func (r *run) living(kind string) []*actor {
	var all []*actor
	for _, name := range slices.Sorted(maps.Keys(r.actors)) {
		if a := r.actors[name]; !a.gone && strings.HasPrefix(name, kind) {
			all = append(all, a)
		}
	}
	return all
}

// conclude heals all, and checks what was recorded.
func (r *run) conclude(client *clientv3.Client) outcome {
	for _, a := range r.living("") {
		a.link.Heal()
	}
	r.setNoSpace(false)
	r.pass(2 * time.Second) // there is a leader again
	r.etcd.EndDeception()
	healed := r.now()
	r.tellf("all is healed")
	const recovered = 4*ttl + 10*time.Second
	for !r.isWell() && r.now() < healed+recovered {
		r.pass(ttl / 10)
	}

	var found proof.Violations
	check := func(name string, ok bool, format string, args ...any) {
		if !ok {
			found = append(found, proof.Violation{Check: name, Text: fmt.Sprintf(format, args...)})
		}
	}
	owned := r.now() - healed
	check(proof.Handled, r.isWell(), "not everything is owned by the living, and handled, %v after all was healed: %v",
		recovered, r.owner)
	for _, a := range r.living("") {
		a.orders <- member.Rest
		r.pass(time.Millisecond)
	}
	// Records by which members are passed over would go in a minute.
	_, err := client.Delete(r.t.Context(), memberPrefix+"control/avoid/", clientv3.WithPrefix())
	require.NoError(r.t, err)
	r.pass(3 * ttl) // what the dead have left goes with their leases
	before := r.recorder.Told()
	r.pass(ttl)
	after, err := client.Get(r.t.Context(), "rest")
	require.NoError(r.t, err)
	check(proof.Rests, after.Header.Revision == before, "revision %d became %d: %+v", before, after.Header.Revision,
		r.recorder.Since(before))
	held, _ := r.recorder.Changes(callerPrefix) // who have released what they know of
	stands := make(map[string]bool)
	for _, c := range held {
		if c.Kind == proof.Ownership {
			stands[c.Partition] = !c.Deleted
		}
	}
	for id, owned := range stands {
		check(proof.Strays, !owned, "partition %s of the callers is still owned", id)
	}
	for _, name := range slices.Sorted(maps.Keys(r.actors)) {
		r.actors[name].stop()
		r.pass(10 * time.Millisecond)
	}
	for name, a := range r.actors {
		select {
		case <-a.ended:
			check(proof.Handled, a.dead || a.err == nil || name[0] == 'c', "%s has failed: %v", name, a.err)
		case <-time.After(time.Hour):
			panic(fmt.Sprintf("%s does not end:\n%s", name, strings.Join(r.story, "\n")))
		}
	}
	r.pass(time.Second)
	changes, gaps := r.recorder.Changes(memberPrefix)
	calls, _ := r.recorder.Changes(callerPrefix)
	account, violations := proof.Check(proof.Run{
		Partitions: member.PartitionIDs(partitions), Reports: r.reports[0], Changes: changes, Gaps: gaps,
		TTL: ttl, Revoked: r.revoked, NoSpace: r.noSpace, Left: r.left(), Drain: drainTimeout + time.Second,
	})
	called, more := proof.CheckCalls(proof.Run{
		Partitions: member.PartitionIDs(callersPartitions), Reports: r.reports[1], Changes: calls,
	})
	all := slices.Concat(changes, calls)
	slices.SortStableFunc(all, func(a, b proof.Change) int { return cmp.Compare(a.Revision, b.Revision) })
	var trace []string
	for _, c := range all {
		trace = append(trace, fmt.Sprintf("%v at revision %d: %s of partition %s, by %q, %d (deleted: %v)",
			c.Told, c.Revision, c.Kind, c.Partition, c.OwnerID, c.SequenceNumber, c.Deleted))
	}
	return outcome{account, called, slices.Concat(found, violations, more), owned, trace, r.story}
}

// left returns who was told to leave.
func (r *run) left() map[string]bool {
	left := make(map[string]bool)
	for name, a := range r.actors {
		left[name] = a.gone && !a.dead
	}
	return left
}

// isWell reports whether every partition is owned by somebody who lives, and handled.
func (r *run) isWell() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	well := 0
	for id, owner := range r.owner {
		a := r.actors[owner]
		if a != nil && !a.gone && slices.ContainsFunc(r.reports[0][owner], func(report member.Report) bool {
			return report.Kind == member.Handled && report.Partition == id && report.At > r.now()-ttl/2
		}) {
			well++
		}
	}
	return well == partitions
}
