package etcdstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
	"github.com/tenure-go/tenure/lease"
)

// TestTakeOverAfterEtcdWasDown stops etcd for longer than the lease and starts it again, which gives the lease its
// full time anew: the records still stand.
func TestTakeOverAfterEtcdWasDown(t *testing.T) {
	t.Parallel()
	cluster, group := etcdtest.Start(t), testGroup(t)
	client := cluster.Client(t)
	keeper := startKeeper(t, client, 4*time.Second)
	s := startStore(t, client, keeper, nil)
	won := claimAll(t, s, claimsOf(group, "owner", partitions(20)), nil)
	require.NoError(t, s.UpdateCheckpoint(soon(t), at(won[0], 1), &UpdateOptions{Fence: &won[0]}))
	old, err := keeper.Term(soon(t))
	require.NoError(t, err)
	// On the old lease and nobody's: it goes when that is revoked.
	canary, err := client.Put(soon(t), "/canary", "", clientv3.WithLease(old.ID()))
	require.NoError(t, err)

	cluster.Member(0).Stop()
	<-old.Done()
	listed := make(chan []Ownership, 1)
	go func() {
		ownerships, _ := s.Holder().ListOwnership(soon(t), group)
		listed <- ownerships
	}()
	cluster.Member(0).Restart()

	next, err := keeper.Term(soon(t))
	require.NoError(t, err)
	require.NotEqual(t, old.ID(), next.ID())
	held := s.held()
	require.ElementsMatch(t, idsOf(won), idsOf(held))
	etags := map[string]string{}
	for _, o := range held {
		etags[o.PartitionID] = o.ETag
	}
	for _, o := range <-listed {
		require.Equal(t, etags[o.PartitionID], o.ETag, "a listing is answered after the take-over")
		delete(etags, o.PartitionID)
	}
	require.Empty(t, etags)
	requireNobodyIdle(t, s, group)

	// In etcd's own order: each partition is put once, on the new lease, and only then does the old one go.
	moved := map[string]bool{}
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	for resp := range client.Watch(ctx, "/", clientv3.WithRange("0"), clientv3.WithRev(canary.Header.Revision+1)) {
		require.NoError(t, resp.Err())
		for _, e := range resp.Events {
			key := string(e.Kv.Key)
			if key == "/canary" {
				require.Equal(t, mvccpb.DELETE, e.Type)
				require.Len(t, moved, len(won), "the old lease was revoked before all was taken over")
				cancel()
				continue
			}
			require.Equal(t, mvccpb.PUT, e.Type, key)
			require.Equal(t, int64(next.ID()), e.Kv.Lease, key)
			require.False(t, moved[key], key)
			moved[key] = true
		}
	}
	require.Len(t, moved, len(won))

	// Fences of the old term are over; the chain goes on.
	require.ErrorIs(t, s.UpdateCheckpoint(soon(t), at(won[0], 2), &UpdateOptions{Fence: &won[0]}), ErrOwnershipLost)
	for _, o := range s.held() {
		require.NoError(t, s.UpdateCheckpoint(soon(t), at(o, 2), &UpdateOptions{Fence: &o}))
	}
}

// TestTakeOverAfterTheRecordsHaveGone cuts a store off until its lease has run out and others have some of its
// partitions.
func TestTakeOverAfterTheRecordsHaveGone(t *testing.T) {
	t.Parallel()
	cluster, group := etcdtest.Start(t), testGroup(t)
	direct := cluster.Client(t)
	proxy := faultproxy.New(t, cluster.Member(0).Address())
	far := etcdtest.NewClient(t, []string{"http://" + proxy.Addr()})
	keeper := startKeeper(t, far, time.Second)
	s := startStore(t, far, keeper, nil)
	other := startStore(t, direct, startKeeper(t, direct, 10*time.Second), nil)
	won := claimAll(t, s, claimsOf(group, "owner", partitions(10)), nil)
	relinquished := won[8]
	relinquished.OwnerID = ""
	claimAll(t, s, []Ownership{relinquished}, nil)
	require.NoError(t, s.Release(soon(t), won[9]))
	old, err := keeper.Term(soon(t))
	require.NoError(t, err)

	proxy.Cut()
	awaitOwnerships(t, other, group, 0)
	require.Error(t, old.Err(), "trust ends before the records go")
	taken := claimAll(t, other, claimsOf(group, "other", []string{"0", "1", "2"}), nil)
	require.NoError(t, other.UpdateCheckpoint(soon(t), at(taken[0], 5), &UpdateOptions{Fence: &taken[0]}))
	// This one came and went: its checkpoint is not what the store's readers know.
	gone := claimAll(t, other, claimsOf(group, "other", []string{"3"}), nil)[0]
	require.NoError(t, other.UpdateCheckpoint(soon(t), at(gone, 50), &UpdateOptions{Fence: &gone}))
	require.NoError(t, other.Release(soon(t), gone))
	proxy.Heal(faultproxy.DropHeld)

	_, err = keeper.Term(soon(t))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"3", "4", "5", "6", "7"}, idsOf(s.held()))
	listed, err := s.Holder().ListOwnership(soon(t), group)
	require.NoError(t, err)
	owners := map[string]string{}
	for _, o := range listed {
		owners[o.PartitionID] = o.OwnerID
	}
	require.Equal(t, map[string]string{
		"0": "other", "1": "other", "2": "other", "3": "owner", "4": "owner", "5": "owner", "6": "owner", "7": "owner",
	}, owners)
	require.ErrorIs(t, s.Holder().UpdateCheckpoint(soon(t), at(won[0], 99), nil), ErrOwnershipLost)
	require.ErrorIs(t, s.Holder().UpdateCheckpoint(soon(t), at(won[3], 49), nil), ErrOwnershipLost,
		"below what was left there")
	require.NoError(t, s.Holder().UpdateCheckpoint(soon(t), at(won[4], 1), nil))
}

// takeOverTest is a store behind a bad network and the term that its partitions are to be moved to.
func takeOverTest(t *testing.T) (d *distant, next *lease.Keeper, term *lease.Term, won []Ownership) {
	t.Helper()
	d = startDistant(t)
	won = claimAll(t, d.Store, claimsOf(d.group, "owner", partitions(20)), nil)
	next = startKeeper(t, d.direct, 3*time.Second)
	term, err := next.Term(soon(t))
	require.NoError(t, err)
	return d, next, term, won
}

// TestTakeOverCutOff lets etcd move the partitions and loses the answer, and the keeper try again.
func TestTakeOverCutOff(t *testing.T) {
	t.Parallel()
	d, _, term, won := takeOverTest(t)
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	var err error
	returned := d.dropAnswers(t, len(won), func() { err = d.takeOver(ctx, term, lease.ErrUnreachable) })
	cancel()
	returned.Wait()
	require.ErrorIs(t, err, ErrOutcomeUnknown)
	resp, err := d.direct.Get(soon(t), "/now")
	require.NoError(t, err)
	d.road.lose()
	require.NoError(t, d.takeOver(soon(t), term, lease.ErrUnreachable))
	require.ElementsMatch(t, idsOf(won), idsOf(d.held()))
	requireNobodyIdle(t, d.Store, d.group)
	for _, e := range ownershipEvents(t, d, resp.Header.Revision+1) {
		require.Equal(t, mvccpb.PUT, e.Type, "nothing was free in between")
	}
}

// ownershipEvents returns what happened to a group's ownerships from a revision on up to now.
func ownershipEvents(t *testing.T, d *distant, revision int64) (events []*clientv3.Event) {
	t.Helper()
	end := d.keys.key(d.group, kindOwnership, "~end")
	_, err := d.direct.Put(soon(t), end, "")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	prefix := d.keys.key(d.group, kindOwnership, "")
	for resp := range d.direct.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithRev(revision)) {
		require.NoError(t, resp.Err())
		for _, e := range resp.Events {
			if string(e.Kv.Key) == end {
				return events
			}
			events = append(events, e)
		}
	}
	return events
}

// TestReleaseDuringTakeOver gives partitions up while they are being taken over, before or after etcd has moved
// them. Either way the caller is done with them and nobody may be left who holds them.
func TestReleaseDuringTakeOver(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			d, _, term, won := takeOverTest(t)
			var once atomic.Bool
			var releasing error
			release := func(*pb.TxnRequest) {
				if once.CompareAndSwap(false, true) {
					releasing = d.Release(soon(t), won[:5]...)
				}
			}
			if when == "before" {
				d.sent.hook(release, nil)
			} else {
				d.sent.hook(nil, release)
			}
			require.NoError(t, d.takeOver(soon(t), term, lease.ErrUnreachable))
			require.NoError(t, releasing)
			awaitOwnerships(t, d.near, d.group, len(won)-5)
			require.ElementsMatch(t, idsOf(won[5:]), idsOf(d.held()))
			requireNobodyIdle(t, d.Store, d.group)
		})
	}
}

// TestTakeOverWithoutALease moves partitions to a lease that has gone and whose term has not noticed.
func TestTakeOverWithoutALease(t *testing.T) {
	t.Parallel()
	d, next, term, won := takeOverTest(t)
	_, err := d.direct.Revoke(soon(t), term.ID())
	require.NoError(t, err)
	require.ErrorIs(t, d.takeOver(soon(t), term, lease.ErrUnreachable), lease.ErrLeaseGone)
	require.ElementsMatch(t, idsOf(won), idsOf(d.held()), "the old lease must not be revoked yet")
	<-term.Done()
	term, err = next.Term(soon(t))
	require.NoError(t, err)
	require.NoError(t, d.takeOver(soon(t), term, lease.ErrUnreachable))
	require.ElementsMatch(t, idsOf(won), idsOf(d.held()))
	requireNobodyIdle(t, d.Store, d.group)
}

// TestClaimsUnderWayCountInATakeOver has a claim won under the old lease while the take-over begins.
func TestClaimsUnderWayCountInATakeOver(t *testing.T) {
	t.Parallel()
	d, _, term, won := takeOverTest(t)
	var claimed []Ownership
	var claiming, takingOver error
	var begun sync.WaitGroup
	returned := d.dropAnswers(t, 1, func() {
		claimed, claiming = d.ClaimOwnership(soon(t), claimsOf(d.group, "owner", []string{"more"}), nil)
	})
	begun.Go(func() { takingOver = d.takeOver(soon(t), term, lease.ErrUnreachable) })
	require.Eventually(t, func() bool { // a take-over that waits keeps others from beginning
		if d.takeover.TryAcquire(claimsPart) {
			d.takeover.Release(claimsPart)
			return false
		}
		return true
	}, patience, time.Millisecond)
	d.road.deliver()
	returned.Wait()
	begun.Wait()
	require.NoError(t, claiming)
	require.Len(t, claimed, 1)
	require.NoError(t, takingOver)
	require.ElementsMatch(t, append(idsOf(won), "more"), idsOf(d.held()))
	requireNobodyIdle(t, d.Store, d.group)
	resp, err := d.direct.Get(soon(t), d.keys.key(d.group, kindOwnership, "more"))
	require.NoError(t, err)
	require.Equal(t, int64(term.ID()), resp.Kvs[0].Lease)
}

// A take-over that waits for claims under way does not outlast its context: the keeper may be closing, or have lost the
// next lease as well.
func TestATakeOverWaitsNoLongerThanItMay(t *testing.T) {
	t.Parallel()
	d, _, term, won := takeOverTest(t)
	returned := d.dropAnswers(t, 1, func() {
		_, err := d.ClaimOwnership(soon(t), claimsOf(d.group, "owner", []string{"more"}), nil)
		require.NoError(t, err)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, d.takeOver(ctx, term, lease.ErrUnreachable), context.DeadlineExceeded)
	d.road.deliver()
	returned.Wait()
	require.NoError(t, d.takeOver(soon(t), term, lease.ErrUnreachable))
	require.ElementsMatch(t, append(idsOf(won), "more"), idsOf(d.held()))
}

// TestAnotherClusterIsForgotten leads a store to another etcd, whose revisions are far behind.
func TestAnotherClusterIsForgotten(t *testing.T) {
	t.Parallel()
	first, second, group := etcdtest.Start(t), etcdtest.Start(t), testGroup(t)
	direct := first.Client(t)
	for i := range 200 {
		_, err := direct.Put(soon(t), fmt.Sprint("/filler/", i), "")
		require.NoError(t, err)
	}
	proxy := faultproxy.New(t, first.Member(0).Address())
	client := etcdtest.NewClient(t, []string{"http://" + proxy.Addr()})
	keeper := startKeeper(t, client, 5*time.Second)
	s := startStore(t, client, keeper, nil)
	won := claimAll(t, s, claimsOf(group, "owner", partitions(5)), nil)
	term, err := keeper.Term(soon(t))
	require.NoError(t, err)

	proxy.SetTarget(second.Member(0).Address())
	proxy.Reset()
	<-term.Done()
	_, err = keeper.Term(soon(t))
	require.NoError(t, err)
	require.Empty(t, s.held())
	listed, err := s.ListOwnership(soon(t), group)
	require.NoError(t, err)
	require.Empty(t, listed, "nothing was taken over")
	require.ErrorIs(t, s.UpdateCheckpoint(soon(t), at(won[0], 1), &UpdateOptions{Fence: &won[0]}), ErrOwnershipLost)

	// Here it begins anew, however low the revisions are.
	again := claimAll(t, s, claimsOf(group, "owner", partitions(5)), nil)
	requireNobodyIdle(t, s, group)
	for _, o := range again {
		_, found, err := s.Start(o)
		require.NoError(t, err)
		require.False(t, found)
		require.NoError(t, s.UpdateCheckpoint(soon(t), at(o, 1), &UpdateOptions{Fence: &o}))
	}
}
