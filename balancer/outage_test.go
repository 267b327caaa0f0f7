package balancer

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/server/v3/embed"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

// etcd is away for longer than the leases last: handlers run on until trust ends, then stop; when it is back each
// member has what it had, and no event was left out.
func TestEtcdIsAwayForLongerThanTheLeases(t *testing.T) {
	etcd := etcdtest.StartProcesses(t, 1, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 6)
	l := newLedger(t)
	var mu sync.Mutex
	ended := make(map[string]error) // by partition: why the first handler's context ended
	counted := func(id string) Handler {
		handle := l.handler(id)
		return func(ctx context.Context, p *Partition) error {
			err := handle(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			if ended[p.ID()] == nil {
				ended[p.ID()] = context.Cause(ctx)
			}
			return err
		}
	}
	var members []*testMember
	for _, id := range []string{"a", "b", "c"} {
		members = append(members, f.start(id, counted(id)))
	}
	before := f.await("three share", f.balanced(3))
	l.awaitAll(f.ids)

	etcd.Kill(0) // one that is stopped in good order may see the leases end before it ends itself
	stopped := time.Now()
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(ended) == len(f.ids)
	}, longEnough, time.Millisecond, "every handler ends")
	took := time.Since(stopped)
	t.Logf("the last handler ended after %v", took)
	require.Less(t, took, f.ttl, "before anybody else could have the partition")
	require.Greater(t, took, f.ttl/4, "they go on at first")
	for id, err := range ended {
		require.ErrorIs(t, err, ErrTrustEnded, "partition %s", id)
	}
	<-time.After(f.ttl) // that they stay away longer than the leases is what this is about

	etcd.Restart(0)
	f.await("each has back what it had", func(s *etcdstore.Snapshot) bool {
		for _, id := range f.ids {
			was, is := before.Ownerships[id], s.Ownerships[id]
			if is.OwnerID != was.OwnerID || is.ETag == was.ETag {
				return false
			}
		}
		return true
	})
	l.awaitAll(f.ids)
	for _, m := range members {
		m.end()
	}
	for _, m := range members {
		m.leave()
		require.NoError(t, m.err)
	}
	t.Logf("%d events were repeated", l.repeated())
}

// One member is cut off from etcd, the others take over when its lease has run out, and it comes back as one that has
// nothing. No two handle a partition at once.
func TestAMemberIsCutOff(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	proxy := faultproxy.New(t, etcd.Member(0).Address())
	f := newFleet(t, etcd.Endpoints(), 4)
	l := newLedger(t)
	cut := f.make("a", []string{"http://" + proxy.Addr()}, names(f.ids...), l.handler("a"))
	cut.run()
	other := f.start("b", l.handler("b"))
	f.await("two share", f.balanced(2))
	l.awaitAll(f.ids)
	proxy.Silence()
	began := time.Now()
	f.await("the other has all", func(s *etcdstore.Snapshot) bool { return owners(s)["b"] == 4 })
	took := time.Since(began)
	t.Logf("taken over after %v", took)
	require.Less(t, took, f.ttl+time.Second)
	l.awaitAll(f.ids)
	proxy.Heal(faultproxy.DropHeld)
	f.await("two share again", f.balanced(2))
	l.awaitAll(f.ids)
	cut.leave()
	other.leave()
	t.Logf("%d events were repeated", l.repeated())
}

// An etcd out of space moves nothing, and a member that leaves does so by deletions alone. When there is space again
// all goes on.
func TestNothingMovesWithoutSpace(t *testing.T) {
	etcd := etcdtest.Start(t, func(cfg *embed.Config) { cfg.QuotaBackendBytes = 1 << 20 })
	f := newFleet(t, etcd.Endpoints(), 4)
	f.ttl = longTTL
	l := newLedger(t)
	// The handlers' checkpoints wait for space, too, and so the handlers do.
	impatient := func(o *Options) { o.DrainTimeout = 500 * time.Millisecond }
	f.put("control", "drain/b", `{"reason":"a test"}`)
	first := f.start("a", l.handler("a"), impatient)
	f.start("b", l.handler("b"), impatient)
	f.await("one has all", func(s *etcdstore.Snapshot) bool { return owners(s)["a"] == 4 && len(s.Members) == 2 })
	l.awaitAll(f.ids)

	etcd.FillUp(t)
	_, err := f.client.Delete(soon(t), f.key("control", "drain/b"))
	require.NoError(t, err)
	<-time.After(4 * first.options.Settle) // longer than moves take to begin
	require.Equal(t, map[string]int{"a": 4}, owners(f.mirror.Snapshot()), "nothing is given up")
	began := time.Now()
	first.leave()
	require.NoError(t, first.err)
	require.Less(t, time.Since(began), f.ttl)
	f.await("all is free", func(s *etcdstore.Snapshot) bool { return len(s.Ownerships) == 0 })

	etcd.FreeSpace(t)
	f.await("the other has all", func(s *etcdstore.Snapshot) bool { return owners(s)["b"] == 4 })
	l.awaitAll(f.ids)
	t.Logf("%d events were repeated", l.repeated())
}
