package balancer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

// Members come and go while events are handled: none is handled twice, none is left out, and no two at once.
func TestPlannedMovesRepeatNothing(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 12)
	l := newLedger(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var here []*testMember
	join := func(i int) {
		id := memberName(i)
		here = append(here, f.start(id, l.handler(id)))
	}
	for i := range 3 {
		join(i)
	}
	f.await("three share", f.balanced(3))
	for i := 3; i < 9; i++ {
		if random.IntN(2) == 0 || len(here) < 2 {
			join(i)
		} else {
			j := random.IntN(len(here))
			here[j].leave()
			require.NoError(t, here[j].err)
			here = append(here[:j], here[j+1:]...)
		}
		f.await(fmt.Sprintf("%d share", len(here)), f.balanced(len(here)))
		l.awaitAll(f.ids)
	}
	for _, m := range here {
		m.end()
	}
	for _, m := range here {
		m.leave()
		require.NoError(t, m.err)
	}
	t.Logf("%d events", l.requireOnce())
	f.await("nobody is left", func(s *etcdstore.Snapshot) bool { return len(s.Ownerships)+len(s.Members) == 0 })
	for _, id := range f.ids {
		c := f.mirror.Snapshot().Checkpoints[id]
		require.Equal(t, l.handled[id][len(l.handled[id])-1], *c.SequenceNumber, "the last checkpoint of partition %s", id)
	}
}

// A handler that does not drain is cut off, and its later checkpoints are refused, whether it heeds its context or not.
func TestAHandlerThatDoesNotDrainIsCutOff(t *testing.T) {
	for name, heeds := range map[string]bool{"obedient": true, "deaf": false} {
		t.Run(name, func(t *testing.T) {
			etcd := etcdtest.Start(t, etcdtest.Defaults)
			f := newFleet(t, etcd.Endpoints(), 1)
			var events told
			late, causes := make(chan error, 1), make(chan error, 1)
			successor := make(chan struct{})
			f.start("a", func(ctx context.Context, p *Partition) error {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				if heeds {
					return context.Cause(ctx)
				}
				<-successor
				n := int64(1)
				late <- p.Checkpoint(context.WithoutCancel(ctx), &n, nil)
				return nil
			}, func(o *Options) { o.DrainTimeout = 100 * time.Millisecond }, listen(&events))
			f.await("one has it", f.balanced(1))
			f.put("control", "drain/a", `{"reason":"a test"}`)
			f.start("b", func(ctx context.Context, p *Partition) error {
				_, found := p.Start()
				if found {
					return errors.New("there is a checkpoint that nobody may have written")
				}
				close(successor)
				return idleHandler(ctx, p)
			})
			require.ErrorIs(t, <-causes, ErrDrainTimeout)
			f.await("the other has it", func(s *etcdstore.Snapshot) bool { return owners(s)["b"] == 1 })
			<-successor
			if !heeds {
				require.ErrorIs(t, <-late, etcdstore.ErrOwnershipLost)
				events.await(t, "rejected", 1)
			}
			events.await(t, "draining", 1)
			events.await(t, "released", 1)
		})
	}
}

// A member for which others plan although it does nothing is passed over after a while, and readmitted later.
func TestAStuckMemberIsPassedOver(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.Defaults)
	f := newFleet(t, etcd.Endpoints(), 4)
	f.put("member", "ghost", `{"owner_id":"ghost","instance":"x","weight":1}`)
	var events told
	m := f.make("a", etcd.Endpoints(), names(f.ids...), idleHandler, listen(&events))
	m.pace.patience = usualPace().patience
	m.pace.excluded = time.Second
	began := time.Now()
	m.run()
	f.await("two are claimed at once", func(s *etcdstore.Snapshot) bool { return owners(s)["a"] == 2 })
	f.await("and the ghost's when it had its time", func(s *etcdstore.Snapshot) bool { return owners(s)["a"] == 4 })
	require.GreaterOrEqual(t, time.Since(began), m.pace.patience)
	for _, e := range events.await(t, "excluded", 2) {
		require.Equal(t, "ghost", e.OwnerID)
		require.Contains(t, e.Reason, "did not take it within 2s")
	}
	s := f.await("records say so", func(s *etcdstore.Snapshot) bool { return len(s.Controls.Avoid) == 2 })
	for id := range s.Controls.Avoid {
		resp, err := f.client.Get(soon(t), f.key("control", "avoid/"+id+"/ghost"))
		require.NoError(t, err)
		require.NotZero(t, resp.Kvs[0].Lease, "and go with the one who wrote them")
	}
	f.await("and are removed in time", func(s *etcdstore.Snapshot) bool { return len(s.Controls.Avoid) == 0 })
}

// TestNobodyClaimsForThoseItHasNotHeardOf keeps a member from hearing of another one that joins before anything is
// owned. Once it hears of it, both take their halves, and nothing was claimed that has to move.
func TestNobodyClaimsForThoseItHasNotHeardOf(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t)
	f := newFleet(t, cluster.Endpoints(), 8)
	f.ttl = longTTL
	proxy := faultproxy.New(t, cluster.Member(0).Address())
	require.NoError(t, f.observer.AddPartitions(soon(t), f.group, f.ids)) // so that it knows them when it has joined
	joined := make(chan struct{})
	first := f.make("first", []string{"http://" + proxy.Addr()}, names(f.ids...), idleHandler, func(o *Options) {
		o.Settle = time.Second
		o.Events.Joined = func(Event) { close(joined) }
	})
	first.run()
	<-joined
	proxy.CutToClient()
	f.start("second", idleHandler, func(o *Options) { o.Settle = 5 * time.Second })
	for unsettled := time.After(2 * time.Second); unsettled != nil; {
		s := f.mirror.Snapshot()
		require.Empty(t, s.Ownerships)
		select {
		case <-s.Changed():
		case <-unsettled: // the first one's settling time has passed, and it has done nothing
			unsettled = nil
		}
	}
	proxy.Heal(faultproxy.DeliverHeld)
	f.await("both share", f.balanced(2))
	require.Equal(t, len(f.ids), f.claims(0))
}
