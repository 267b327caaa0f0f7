package balancer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/clock"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// longEnough bounds what a test waits for. It is no measure of how long that takes.
const longEnough = 60 * time.Second

func soon(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), longEnough)
	tb.Cleanup(cancel)
	return ctx
}

// fleet is members of one group on one etcd, and an observer that sees the group as etcd has it.
type fleet struct {
	t         *testing.T
	endpoints []string
	group     etcdstore.Group
	observer  *etcdstore.Store
	mirror    *etcdstore.Mirror
	client    *clientv3.Client
	ids       []string
	ttl       time.Duration // of the members' leases
	clock     clock.Clock   // that they trust them by, nil for the machine's
	members   []*testMember
}

func newFleet(t *testing.T, endpoints []string, partitions int) *fleet {
	t.Helper()
	f := &fleet{
		t: t, endpoints: endpoints, ids: numbered(partitions), ttl: ttl,
		group: etcdstore.Group{FullyQualifiedNamespace: "ns", EventHubName: t.Name(), ConsumerGroup: "group"},
	}
	f.client = etcdtest.NewClient(t, endpoints)
	var err error
	f.observer, err = etcdstore.New(f.client, nil, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.observer.Close(context.Background())) })
	f.mirror, err = f.observer.Watch(soon(t), f.group, &etcdstore.WatchOptions{Checkpoints: true})
	require.NoError(t, err)
	return f
}

func numbered(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = strconv.Itoa(i)
	}
	return ids
}

// names returns a source that names those partitions.
func names(ids ...string) Source {
	return func(context.Context) ([]string, error) { return ids, nil }
}

// testMember is a member that runs in the test's process.
type testMember struct {
	*Member

	t      *testing.T
	keeper *lease.Keeper
	stop   context.CancelFunc
	done   chan struct{}
	err    error
}

// idleHandler does nothing until it is to end.
func idleHandler(ctx context.Context, p *Partition) error {
	select {
	case <-ctx.Done():
	case <-p.Draining():
	}
	return nil
}

// start starts a member named id. Its options may be changed by change.
func (f *fleet) start(id string, handler Handler, change ...func(*Options)) *testMember {
	f.t.Helper()
	m := f.make(id, f.endpoints, names(f.ids...), handler, change...)
	m.run()
	return m
}

// ttl is that of a fleet's leases. Where the race detector makes many members in one process slow, they have longTTL.
const (
	ttl     = 2 * time.Second
	longTTL = 10 * time.Second
)

func (f *fleet) make(
	id string, endpoints []string, source Source, handler Handler, change ...func(*Options),
) *testMember {
	f.t.Helper()
	client := etcdtest.NewClient(f.t, endpoints)
	log := zaptest.NewLogger(f.t, zaptest.Level(zap.WarnLevel))
	ctx := soon(f.t)
	if f.clock != nil {
		ctx = clock.With(ctx, f.clock)
	}
	keeper, err := lease.NewKeeper(ctx, client, &lease.Options{TTL: f.ttl, Logger: log})
	require.NoError(f.t, err)
	store, err := etcdstore.New(client, keeper, &etcdstore.Options{Logger: log})
	require.NoError(f.t, err)
	options := Options{OwnerID: id, Logger: log}
	for _, c := range change {
		c(&options)
	}
	member, err := New(store, f.group, source, handler, &options)
	require.NoError(f.t, err)
	// Nobody is stuck unless a test says so, however slow many members are on few processors under the race detector.
	member.pace.patience = longEnough
	m := &testMember{Member: member, t: f.t, keeper: keeper, done: make(chan struct{})}
	f.members = append(f.members, m)
	f.t.Cleanup(func() {
		// All of them at once: one after the other they would hand on what they have.
		for _, other := range f.members {
			other.end()
		}
		m.leave()
		_ = keeper.Close(context.Background())
	})
	return m
}

func (m *testMember) run() {
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	go func() {
		defer close(m.done)
		m.err = m.Run(ctx)
	}()
}

// end tells the member to leave.
func (m *testMember) end() {
	if m.stop != nil {
		m.stop()
	}
}

// leave has the member leave and waits until it has.
func (m *testMember) leave() {
	m.end()
	if m.stop != nil {
		<-m.done
	}
}

// await waits until the group as the observer sees it is as it should be, and returns it.
func (f *fleet) await(what string, is func(*etcdstore.Snapshot) bool) *etcdstore.Snapshot {
	f.t.Helper()
	limit := time.NewTimer(longEnough)
	defer limit.Stop()
	for {
		s := f.mirror.Snapshot()
		if is(s) {
			return s
		}
		select {
		case <-s.Changed():
		case <-limit.C:
			f.t.Fatalf("not seen within %v: %s; owners: %v", longEnough, what, owners(s))
		}
	}
}

func owners(s *etcdstore.Snapshot) map[string]int {
	count := make(map[string]int)
	for _, o := range s.Ownerships {
		count[o.OwnerID]++
	}
	return count
}

// balanced reports whether all partitions are owned by that many members, none of which has two more than another.
func (f *fleet) balanced(members int) func(*etcdstore.Snapshot) bool {
	return func(s *etcdstore.Snapshot) bool {
		counts := owners(s)
		if len(counts) != min(members, len(f.ids)) || len(s.Ownerships) != len(f.ids) {
			return false
		}
		least, most := len(f.ids), 0
		for _, n := range counts {
			least, most = min(least, n), max(most, n)
		}
		return most-least <= 1
	}
}

func memberName(i int) string { return fmt.Sprintf("member-%03d", i) }

// change is one change of an ownership, as etcd has kept it.
type change struct {
	revision  int64
	partition string
	owned     bool
}

// history returns how the group's ownerships have changed after a revision.
func (f *fleet) history(after int64) []change {
	f.t.Helper()
	ctx := soon(f.t)
	// What is told before this is all that there was. Members do not know this control, and leave it alone.
	const last = "last"
	f.put("control", last, "")
	var changes []change
	prefix, end := f.key("ownership", ""), f.key("control", last)
	watch := f.client.Watch(ctx, f.key("", ""), clientv3.WithPrefix(), clientv3.WithRev(after+1))
	for resp := range watch {
		require.NoError(f.t, resp.Err())
		for _, e := range resp.Events {
			key := string(e.Kv.Key)
			if partition, is := strings.CutPrefix(key, prefix); is {
				changes = append(changes, change{e.Kv.ModRevision, partition, e.Type == clientv3.EventTypePut})
			}
		}
		if n := len(resp.Events); n > 0 && string(resp.Events[n-1].Kv.Key) == end {
			return changes
		}
	}
	f.t.Fatalf("etcd did not tell what happened after revision %d: %v", after, ctx.Err())
	return nil
}

// claims counts the claims that were won after a revision.
func (f *fleet) claims(after int64) int {
	f.t.Helper()
	n := 0
	for _, c := range f.history(after) {
		if c.owned {
			n++
		}
	}
	return n
}

func (f *fleet) key(kind, name string) string {
	prefix := "/tenure/v1/" + f.group.String() + "/"
	if kind == "" {
		return prefix
	}
	return prefix + kind + "/" + name
}

// put writes a control, or whatever else a test needs.
func (f *fleet) put(kind, name, value string, options ...clientv3.OpOption) {
	f.t.Helper()
	_, err := f.client.Put(soon(f.t), f.key(kind, name), value, options...)
	require.NoError(f.t, err)
}
