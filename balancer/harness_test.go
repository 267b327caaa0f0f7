package balancer

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/lease"
)

// longEnough bounds what a test waits for. It is no measure of how long that takes.
const longEnough = 60 * time.Second

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longEnough)
	t.Cleanup(cancel)
	return ctx
}

// fleet is members of one group on one etcd, and an observer that sees the group as etcd has it.
type fleet struct {
	t         testing.TB
	endpoints []string
	group     etcdstore.Group
	observer  *etcdstore.Store
	mirror    *etcdstore.Mirror
	client    *clientv3.Client
	ids       []string
}

func newFleet(t testing.TB, endpoints []string, partitions int) *fleet {
	t.Helper()
	f := &fleet{
		t: t, endpoints: endpoints, ids: numbered(partitions),
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

// worker of a fleet.
type testMember struct {
	*Member

	t      testing.TB
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

// ttl is that of the fleet's leases.
const ttl = 2 * time.Second

func (f *fleet) make(
	id string, endpoints []string, source Source, handler Handler, change ...func(*Options),
) *testMember {
	f.t.Helper()
	client := etcdtest.NewClient(f.t, endpoints)
	log := zaptest.NewLogger(f.t, zaptest.Level(zap.WarnLevel))
	keeper, err := lease.NewKeeper(soon(f.t), client, &lease.Options{TTL: ttl, Logger: log})
	require.NoError(f.t, err)
	store, err := etcdstore.New(client, keeper, &etcdstore.Options{Logger: log})
	require.NoError(f.t, err)
	options := Options{OwnerID: id, Logger: log}
	for _, c := range change {
		c(&options)
	}
	member, err := New(store, f.group, source, handler, &options)
	require.NoError(f.t, err)
	m := &testMember{Member: member, t: f.t, keeper: keeper, done: make(chan struct{})}
	f.t.Cleanup(func() {
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

// leave has the member leave and waits until it has.
func (m *testMember) leave() {
	if m.stop == nil {
		return
	}
	m.stop()
	<-m.done
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

// balanced reports whether all partitions are owned by that many members, none of which has more than one above another.
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

// record keeps what a fleet's handlers did.
type record struct {
	mu     sync.Mutex
	starts map[string]int // by partition
	moves  int
}

func (r *record) handler(ctx context.Context, p *Partition) error {
	r.mu.Lock()
	if r.starts == nil {
		r.starts = make(map[string]int)
	}
	r.starts[p.ID()]++
	r.mu.Unlock()
	return idleHandler(ctx, p)
}

func memberName(i int) string { return fmt.Sprintf("member-%03d", i) }
