package integration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

// world is an etcd of three members, a crew, and callers that call the store by themselves, each in a process of its
// own, with a proxy on each way from one to another. Faults are done to it, and all is recorded.
type world struct {
	*crew

	calls    *crew
	operator *etcdstore.Store // which cannot claim
	etcd     *etcdtest.Processes
	peers    map[string]*faultproxy.Proxy // in front of etcd's members, for the others
	links    map[string][]*faultproxy.Proxy
	random   *rand.Rand
	story    *story

	joined  int
	noSpace []proof.Interval            // when etcd was out of space
	left    map[string]bool             // told to leave
	ended   map[string]bool             // left or killed
	lacks   func(fault string) bool     // what cannot be done to this etcd
	anchor  string                      // lives from beginning to end
	active  map[string]*active          // faults, by what they are about
	offline map[string]bool             // clients that cannot be expected to do anything
	revoked map[string][]proof.Interval // when a member's lease was, by hand
	woken   []proof.Interval            // when a leader of etcd went on that had been paused
	muffled time.Duration               // since when a link between etcd's members holds back what they say
}

// active is a fault that has not been healed.
type active struct {
	fault

	about string
	heal  func()
}

// worldPartitions is how many the crew handles, and callersPartitions how many callers fight for.
const (
	worldPartitions   = 24
	callersPartitions = 3
)

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	return newWorldOn(t, seed, func(options ...etcdtest.Option) *etcdtest.Processes {
		return etcdtest.StartProcessesOf(t, cast(t), 3, options...)
	})
}

// newWorldOn is newWorld on another etcd.
func newWorldOn(t *testing.T, seed uint64, start func(...etcdtest.Option) *etcdtest.Processes) *world {
	t.Helper()
	w := &world{
		peers: make(map[string]*faultproxy.Proxy), links: make(map[string][]*faultproxy.Proxy),
		random: rand.New(rand.NewPCG(seed, 0)),
		story:  newStory(fmt.Sprintf("%s, seed %d", t.Name(), seed)),
		ended:  make(map[string]bool), left: make(map[string]bool), offline: make(map[string]bool),
		active:  make(map[string]*active),
		lacks:   func(string) bool { return false },
		revoked: make(map[string][]proof.Interval), muffled: math.MaxInt64,
	}
	w.etcd = start(etcdtest.Defaults, func(cfg *embed.Config) {
		cfg.TickMs, cfg.ElectionMs = 50, 500
		peer := faultproxy.New(t, cfg.ListenPeerUrls[0].Host)
		w.peers[cfg.Name] = peer
		cfg.AdvertisePeerUrls = []url.URL{{Scheme: "http", Host: peer.Addr()}}
	})
	client := etcdtest.NewClient(t, w.etcd.Endpoints(), func(cfg *clientv3.Config) {
		cfg.DialKeepAliveTime, cfg.DialKeepAliveTimeout = ttl, ttl // as some members will be paused
	})
	var err error
	w.operator, err = etcdstore.New(client, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.operator.Close(context.WithoutCancel(t.Context()))) })
	name := titleOf(t)
	w.crew = crewOf(t, client, w.etcd.Endpoints(), "local/events/"+name, worldPartitions, func(config *member.Config) {
		config.FailOneIn, config.ReadBackOneIn = 4000, 10
		config.Stream.Every, config.CheckpointEvery = 40*time.Millisecond, 5
		config.DrainTimeout = time.Second
	})
	w.calls = crewOf(t, client, w.etcd.Endpoints(), "local/calls/"+name, callersPartitions, func(config *member.Config) {
		config.Callers, config.CallPause = 3, 20*time.Millisecond
	})
	w.crew.etcd = proof.Record(client, "", member.Now, func(changes []proof.Change) {
		w.follow(changes)
		w.calls.follow(changes)
	})
	w.calls.etcd = w.crew.etcd
	t.Cleanup(w.crew.etcd.Stop)
	w.cast, w.calls.cast = cast(t), cast(t)
	w.title = name + "-" + strconv.FormatUint(seed, 10)
	w.calls.title = w.title
	t.Cleanup(func() { // before the recorder and the client end
		if t.Failed() {
			w.tellAll()
		}
	})
	return w
}

// enter starts a process behind proxies of its own.
func (w *world) enter(c *crew, name string) {
	c.config.Endpoints = nil
	for _, endpoint := range w.etcd.Endpoints() {
		link := faultproxy.New(w.t, strings.TrimPrefix(endpoint, "http://"))
		w.links[name] = append(w.links[name], link)
		c.config.Endpoints = append(c.config.Endpoints, "http://"+link.Addr())
	}
	// Some clocks are fast or slow, within the margin.
	c.config.ClockRate = []float64{1, 1, 1.01, 0.99}[w.random.IntN(4)]
	c.start(name)
	w.story.tellf("%s starts, with a clock at %v", name, c.config.ClockRate)
}

func (w *world) join() {
	w.joined++
	w.config.Grace = 0
	if w.joined%3 == 0 {
		w.config.Grace = time.Second
	}
	name := fmt.Sprintf("m%d", w.joined)
	if w.anchor == "" {
		w.anchor = name
	}
	w.enter(w.crew, name)
}

func (w *world) joinCaller() {
	w.joined++
	w.enter(w.calls, fmt.Sprintf("c%d", w.joined))
}

// process returns a member's or a caller's.
func (w *world) process(name string) *member.Process {
	if p := w.members[name]; p != nil {
		return p
	}
	return w.calls.members[name]
}

// of returns the crew that a process belongs to.
func (w *world) of(name string) *crew {
	if w.members[name] != nil {
		return w.crew
	}
	return w.calls
}

// present returns the members that live, whatever has become of them.
func (w *world) present() []string { return w.living(w.crew) }

func (w *world) living(c *crew) []string {
	var names []string
	for name := range c.members {
		if !w.ended[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// well returns the members that can be expected to do something.
func (w *world) well() []string {
	return slices.DeleteFunc(w.present(), func(name string) bool { return w.offline[name] })
}

// within is try for what goes into the story: what an operator does may be in vain.
func (w *world) within(do func(context.Context) error) string {
	if err := w.try(do); err != nil {
		return ", in vain: " + err.Error()
	}
	return ""
}

// quit ends a process.
func (w *world) quit(name string, signal syscall.Signal) {
	w.ended[name] = true
	w.left[name] = signal == syscall.SIGTERM
	w.of(name).signal(name, signal)
}

// recovery is how soon everything must be owned again when all is healed: a lease's time and a second (G6), and before
// that an election, connections that are made again, and the patience with members that do not take what is theirs.
const recovery = ttl + time.Second + 5*time.Second

// calm heals everything, waits until all that lives shares all partitions, and tells how long that took.
func (w *world) calm() {
	w.t.Helper()
	for len(w.active) > 0 {
		w.heal(w.actives()[0])
	}
	w.settleRevocations()
	w.uncontrol()
	for name := range w.ended {
		w.of(name).await(name+" exits", func() bool { return hasExited(w.process(name)) })
	}
	healed := member.Now()
	names := w.present()
	w.await("every partition is owned", func() bool {
		owned := 0
		for _, owner := range w.owner {
			if slices.Contains(names, owner) {
				owned++
			}
		}
		return owned == w.config.Partitions
	})
	took := member.Now() - healed
	if took > recovery {
		w.story.found = append(w.story.found, proof.Violation{Check: proof.Recovered, Text: took.String()})
	}
	w.story.healed = append(w.story.healed, took)
	w.awaitShared(names...)
	w.story.tellf("all is healed: everything is owned after %v, and shared by %d members and handled after %v",
		took.Round(time.Millisecond), len(names), (member.Now() - healed).Round(time.Millisecond))
}

// actives returns what the active faults are about.
func (w *world) actives() []string { return slices.Sorted(maps.Keys(w.active)) }

func (w *world) heal(about string) {
	switch members := "etcd's members"; {
	case about == members:
		w.healPeers() // one that starts must hear the others
	case about == "etcd" && w.active[members] != nil:
		w.heal(members) // they are needed to end the rest
	}
	a := w.active[about]
	delete(w.active, about)
	a.heal()
	w.story.tellf("ends: %s %s", a.about, a.name)
}

// vitals asks a process what it holds.
func (w *world) vitals(name string) (told member.Report) {
	w.t.Helper()
	c := w.of(name)
	since := member.Now()
	c.members[name].Tell(member.TellVitals)
	c.await(name+" tells what it holds", func() bool {
		for _, r := range slices.Backward(c.reports[name]) {
			if r.Kind == member.Vitals && r.At > since {
				told = r
				return true
			}
		}
		return false
	})
	return told
}

// conclude ends a world in which all is healed, and checks what was recorded of it.
func (w *world) conclude(first member.Report) {
	w.t.Helper()
	var found proof.Violations
	found = append(found, w.rest()...)
	last := w.vitals(w.anchor)
	w.story.sumf("%s: %d goroutines and %d KiB at first, %d and %d KiB in the end", w.anchor,
		first.Goroutines, first.Heap>>10, last.Goroutines, last.Heap>>10)
	const moreGoroutines, moreHeap = 20, 8 << 20
	if last.Goroutines > first.Goroutines+moreGoroutines || last.Heap > first.Heap+moreHeap {
		found = append(found, proof.Violation{Check: proof.Leaks, Text: w.story.summary[len(w.story.summary)-1]})
	}
	callers := w.living(w.calls)
	for _, name := range callers {
		w.quit(name, syscall.SIGTERM)
	}
	w.leave(w.present()...)
	for _, name := range callers {
		w.calls.await(name+" exits", func() bool { return hasExited(w.process(name)) })
	}
	run, calls := w.run(), w.calls.run()
	run.TTL, run.Revoked, run.Woken, run.NoSpace, run.Left = ttl, w.revoked, w.woken, w.noSpace, w.left
	account, violations := proof.Check(run)
	called, more := proof.CheckCalls(calls)
	w.story.found = slices.Concat(w.story.found, found, violations, more)
	w.story.sumf("%d events, %d of them handled again; %d checkpoints written, %d answered, %d refused, %d unknown",
		account.Events, account.Repeated, account.Checkpoints, account.Answered, account.Refused, account.Unknown)
	w.story.sumf("%d transactions of members answered", account.Asked)
	w.story.sumf("%d calls of the store: %d claims won, %d lost; %d checkpoints, %d refused; %d outcomes unknown; "+
		"%d taken over, %d ended", called.Calls, called.Won, called.Lost, called.Written, called.Refused, called.Unknown,
		called.TakenOver, called.Expired)
	if len(w.story.healed) > 0 {
		w.story.sumf("owned again after %v at most, of %d times that all was healed",
			slices.Max(w.story.healed).Round(time.Millisecond), len(w.story.healed))
	}
	w.t.Logf("%v\n%s", w.story.counts, strings.Join(w.story.summary, "\n"))
	require.Empty(w.t, w.story.found, "%v", w.story.found)
	w.tellAll()
	require.Positive(w.t, account.Checkpoints)
	require.Positive(w.t, account.Asked)
	require.Positive(w.t, called.Won)
	require.Positive(w.t, called.Written)
}

// tellAll writes the story.
func (w *world) tellAll() {
	w.t.Helper()
	changes, _ := w.crew.etcd.Changes(w.prefix)
	if path := w.story.write(w.t, w.title, changes); path != "" {
		w.t.Logf("the report is %s", path)
	}
}

// rest ends all streams and calls, and checks that etcd is then at rest, and that callers own nothing.
func (w *world) rest() (found proof.Violations) {
	w.t.Helper()
	for _, name := range w.living(w.calls) {
		w.process(name).Tell(member.Rest)
	}
	for _, name := range w.present() {
		w.process(name).Tell(member.Rest)
	}
	for _, name := range w.living(w.calls) {
		w.calls.await(name+" has released what it held", func() bool {
			return slices.ContainsFunc(newest(w.calls.reports[name]), func(r member.Report) bool {
				return r.Kind == member.Finished
			})
		})
	}
	w.calls.await(proof.Strays, func() bool { return len(w.calls.shares()) == 0 })
	// Records by which members are passed over are removed after a minute, which would be a change.
	w.remove("control/avoid/")
	var before int64
	for {
		now, err := w.client.Get(w.t.Context(), w.prefix)
		require.NoError(w.t, err)
		if now.Header.Revision == before {
			break // the last checkpoints are written
		}
		before = now.Header.Revision
		hold(w.t, ttl/2)
	}
	hold(w.t, 2*ttl)
	after, err := w.client.Get(w.t.Context(), w.prefix)
	require.NoError(w.t, err)
	if after.Header.Revision != before {
		found = append(found, proof.Violation{Check: proof.Rests, Text: fmt.Sprintf("revision %d became %d within %v: %+v",
			before, after.Header.Revision, 2*ttl, w.crew.etcd.Since(before))})
	}
	return found
}

// uncontrol takes back all that operators have said, what is still on its way included.
func (w *world) uncontrol() {
	w.t.Helper()
	require.Eventually(w.t, func() bool { return w.try(w.takeBack) == nil }, patience, lookAgain)
}

// takeBack removes a control that there is not, after which nothing that was said before can come any more, and then
// those that there are.
func (w *world) takeBack(ctx context.Context) error {
	if err := w.operator.RemoveControl(ctx, w.group(), etcdstore.Cordon, "nobody"); err != nil {
		return err
	}
	groups, err := w.operator.ListGroups(ctx)
	for _, g := range groups {
		if g.Group != w.group() {
			continue
		}
		for kind, of := range map[etcdstore.ControlKind]map[string]etcdstore.Control{
			etcdstore.Cordon: g.Controls.Cordoned, etcdstore.Drain: g.Controls.Drained, etcdstore.Pin: g.Controls.Pinned,
			etcdstore.Pause: g.Controls.Paused,
		} {
			if names := slices.Collect(maps.Keys(of)); len(names) > 0 {
				err = errors.Join(err, w.operator.RemoveControl(ctx, g.Group, kind, names...))
			}
		}
	}
	return err
}

// group is that of the members.
func (w *world) group() etcdstore.Group {
	w.t.Helper()
	group, err := etcdstore.ParseGroup(w.config.Group)
	require.NoError(w.t, err)
	return group
}

// remove deletes records of the group. etcd may have been healed only now.
func (w *world) remove(from string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		return w.try(func(ctx context.Context) error {
			_, err := w.client.Delete(ctx, w.prefix+from, clientv3.WithPrefix())
			return err
		}) == nil
	}, patience, lookAgain)
}
