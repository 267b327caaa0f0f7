package balancer

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestAColdStartIsBalancedWithinASecond(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 128)
	members := make([]*testMember, 8)
	for i := range members {
		members[i] = f.make(memberName(i), etcd.Endpoints(), names(f.ids...), idleHandler)
	}
	began := time.Now()
	for _, m := range members {
		m.run()
	}
	f.await("a balanced group", f.balanced(8))
	took := time.Since(began)
	t.Logf("balanced after %v", took)
	require.Less(t, took, time.Second)
	require.Equal(t, 128, f.claims(0), "each partition is claimed once")
}

func TestOneMoreMemberMovesNoMoreThanItsShare(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 1024)
	f.ttl = longTTL
	members := make([]*testMember, 32)
	for i := range members {
		members[i] = f.make(memberName(i), etcd.Endpoints(), names(f.ids...), idleHandler)
	}
	for _, m := range members[:31] {
		m.run()
	}
	before := f.await("a balanced group", f.balanced(31))
	began := time.Now()
	members[31].run()
	after := f.await("a balanced group with one more", f.balanced(32))
	t.Logf("balanced again after %v", time.Since(began))
	moved := 0
	for id, o := range after.Ownerships {
		if before.Ownerships[id].OwnerID != o.OwnerID {
			moved++
		}
	}
	require.Equal(t, 32, moved)
	require.Equal(t, 32, f.claims(before.Revision), "and each of them once")
}

func TestAStormOfMembersSettlesIntoOnePlan(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 200)
	f.ttl = longTTL
	members := make([]*testMember, 50)
	for i := range members {
		members[i] = f.make(memberName(i), etcd.Endpoints(), names(f.ids...), idleHandler)
	}
	tick := time.NewTicker(time.Second / 50)
	defer tick.Stop()
	for _, m := range members {
		<-tick.C
		m.run()
	}
	f.await("a balanced group", f.balanced(50))
	claimed := make(map[string]int)
	for _, e := range f.history(0) {
		if e.owned {
			claimed[e.partition]++
		}
	}
	for id, n := range claimed {
		require.LessOrEqual(t, n, 2, "partition %s is claimed once, and moves at most once after that", id)
	}
}

func TestAGroupAtRestWritesNothing(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 3)
	for i := range 5 { // two have nothing to own
		f.start(memberName(i), idleHandler, func(o *Options) { o.SourceInterval = 100 * time.Millisecond })
	}
	f.await("a balanced group", f.balanced(3))
	resp, err := f.client.Get(soon(t), "any")
	require.NoError(t, err)
	watched, cancel := context.WithTimeout(t.Context(), 3*ttl)
	defer cancel()
	for w := range f.client.Watch(watched, "", clientv3.WithPrefix(), clientv3.WithRev(resp.Header.Revision+1)) {
		require.Empty(t, w.Events)
	}
	after, err := f.client.Get(soon(t), "any")
	require.NoError(t, err)
	require.Equal(t, resp.Header.Revision, after.Header.Revision)
}

func TestMembersThatKnowDifferentPartitionsLeaveNoneUnowned(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 8)
	var mu sync.Mutex
	more := f.ids[:4]
	growing := func(context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		return more, nil
	}
	a := f.make("a", etcd.Endpoints(), growing, idleHandler)
	a.run()
	f.ids = f.ids[:4]
	f.await("the four that it knows", f.balanced(1))
	f.ids = numbered(8)
	b := f.make("b", etcd.Endpoints(), names(f.ids...), idleHandler)
	b.run()
	f.await("all eight, though one member knows but four", func(s *etcdstore.Snapshot) bool {
		return len(s.Ownerships) == 8 && owners(s)["a"] == 4
	})
	// The one that knows less asks its source again as soon as it is given what it does not know.
	mu.Lock()
	more = f.ids
	mu.Unlock()
	b.leave()
	f.await("all eight on the one that is left", f.balanced(1))
}

func TestPartitionsGrow(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 4)
	var mu sync.Mutex
	ids := f.ids
	source := func(context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		return ids, nil
	}
	for i := range 2 {
		m := f.make(memberName(i), etcd.Endpoints(), source, idleHandler, func(o *Options) {
			o.SourceInterval = 50 * time.Millisecond
		})
		m.run()
	}
	before := f.await("a balanced group", f.balanced(2))
	mu.Lock()
	ids = numbered(7)
	mu.Unlock()
	f.ids = numbered(7)
	after := f.await("the new ones too", f.balanced(2))
	for id, o := range before.Ownerships {
		require.Equal(t, o.ETag, after.Ownerships[id].ETag, "what was there stays where it was")
	}
}

func TestALiveDuplicateIsRefusedAndADeadOneWaitedFor(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 2)
	first := f.start("a", idleHandler)
	f.await("a member with all", f.balanced(1))
	started := f.mirror.Snapshot().Members["a"].StartedAt

	second := f.start("a", idleHandler)
	<-second.done
	require.ErrorIs(t, second.err, etcdstore.ErrOwnerInUse)
	var inUse *etcdstore.OwnerInUseError
	require.ErrorAs(t, second.err, &inUse)
	require.Equal(t, started, inUse.Member.StartedAt)

	// One that is dead is not renewed any more.
	first.leave()
	granted, err := f.client.Grant(soon(t), 3)
	require.NoError(t, err)
	f.put("member", "a", `{"owner_id":"a","instance":"dead"}`, clientv3.WithLease(granted.ID))
	third := f.start("a", idleHandler)
	f.await("the one that has waited", f.balanced(1))
	third.leave()
	require.NoError(t, third.err)
}
