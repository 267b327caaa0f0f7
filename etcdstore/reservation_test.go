package etcdstore

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/faultproxy"
)

// reserves tells whether a record keeps those partitions.
func reserves(ids ...string) func(*mvccpb.KeyValue) bool {
	return func(kv *mvccpb.KeyValue) bool { return kv != nil && string(kv.Value) == string(encodePartitions(ids)) }
}

// TestAReservationOutlivesItsOwner leaves a group and looks at what is kept.
func TestAReservationOutlivesItsOwner(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	const grace = 3 * time.Second
	keeper := startKeeper(t, client, time.Second)
	s, looking := startStore(t, client, keeper, nil), startStore(t, client, nil, nil)
	mirror, err := looking.Watch(soon(t), group, nil)
	require.NoError(t, err)
	r, err := s.Reserve(soon(t), group, "pod/1", grace, []string{"0", "a/b"})
	require.NoError(t, err)
	snapshot := awaitMirror(t, mirror, func(s *Snapshot) bool { return len(s.Reserved) == 1 })
	require.Equal(t, map[string][]string{"pod/1": {"0", "a/b"}}, snapshot.Reserved)
	key := s.keys.key(group, kindReserved, "pod/1")
	found := recordAt(t, client, key)
	require.NotEqual(t, int64(leaseOf(t, s)), found.Lease, "on a lease of its own")
	granted, err := client.TimeToLive(soon(t), clientv3.LeaseID(found.Lease))
	require.NoError(t, err)
	require.Equal(t, int64((time.Second+grace)/time.Second), granted.GrantedTTL)

	// With a claim, in its transaction.
	ownerships := claimsOf(group, "pod/1", []string{"0", "1"})
	won, err := s.ClaimOwnership(soon(t), ownerships, &ClaimOptions{Ops: r.Ops([]string{"0", "1"})})
	require.NoError(t, err)
	require.Len(t, won, 2)
	found = recordAt(t, client, key)
	require.True(t, reserves("0", "1")(found))
	require.Equal(t, won[0].ETag, formatETag(found.ModRevision))
	won, err = s.ClaimOwnership(soon(t), ownerships, &ClaimOptions{Ops: r.Ops([]string{"2"})})
	require.NoError(t, err)
	require.Empty(t, won)
	require.True(t, reserves("2")(recordAt(t, client, key)), "whichever claims win")
	require.NoError(t, r.Put(soon(t), []string{"3"}))
	snapshot = awaitMirror(t, mirror, func(s *Snapshot) bool { return s.Reserved["pod/1"][0] == "3" })
	require.Len(t, snapshot.Ownerships, 2)

	require.NoError(t, keeper.Close(soon(t)))
	left := time.Now()
	found = recordAt(t, client, key)
	require.True(t, reserves("3")(found), "the owner's lease is gone")
	awaitRecord(t, client, key, isGone)
	require.GreaterOrEqual(t, time.Since(left), grace)
	awaitMirror(t, mirror, func(s *Snapshot) bool { return len(s.Reserved) == 0 })
	require.ErrorIs(t, r.Put(soon(t), nil), ErrClosed)
}

// TestAtAnyTimeTheGraceIsLeft looks at a reservation's lease again and again: whenever its owner goes, the reservation
// must last for the grace.
func TestAtAnyTimeTheGraceIsLeft(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	const ttl, grace = time.Second, 8 * time.Second
	s := startMember(t, client, ttl)
	_, err := s.Reserve(soon(t), group, "a", grace, nil)
	require.NoError(t, err)
	id := clientv3.LeaseID(recordAt(t, client, s.keys.key(group, kindReserved, "a")).Lease)
	least, until := int64(ttl+grace), time.Now().Add((ttl+grace)/2)
	require.Eventually(t, func() bool {
		left, err := client.TimeToLive(soon(t), id)
		require.NoError(t, err)
		least = min(least, left.TTL)
		return time.Now().After(until)
	}, patience, 20*time.Millisecond)
	require.GreaterOrEqual(t, least, int64(grace/time.Second)-1, "whole seconds are cut off")
}

// TestAReservationComesBack takes the lease away that a reservation is on. Nobody may come to harm by that: neither
// the claims that are sent along with it, nor what was to be kept.
func TestAReservationComesBack(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	r, err := s.Reserve(soon(t), group, "a", time.Second, []string{"0"})
	require.NoError(t, err)
	key := s.keys.key(group, kindReserved, "a")
	old := recordAt(t, client, key).Lease
	_, err = client.Revoke(soon(t), clientv3.LeaseID(old))
	require.NoError(t, err)
	claims := claimsOf(group, "a", partitions(3))
	won, err := s.ClaimOwnership(soon(t), claims, &ClaimOptions{Ops: r.Ops([]string{"0", "1", "2"})})
	require.NoError(t, err)
	require.Len(t, won, len(claims))
	found := awaitRecord(t, client, key, reserves("0", "1", "2"))
	require.NotEqual(t, old, found.Lease)
	require.NoError(t, r.Put(soon(t), []string{"1"}))
	awaitRecord(t, client, key, reserves("1"))
}

// TestAReservationIsMadeOnALeaseThatLasts takes the first lease away before the record can be put on it, as it goes
// when etcd is out of reach for that long just then.
func TestAReservationIsMadeOnALeaseThatLasts(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t)
	direct, group := cluster.Client(t), testGroup(t)
	proxy := faultproxy.New(t, cluster.Member(0).Address())
	s := startMember(t, etcdtest.NewClient(t, []string{"http://" + proxy.Addr()}), 10*time.Second)
	before, err := direct.Leases(soon(t))
	require.NoError(t, err)
	proxy.Delay(100 * time.Millisecond) // the answer to the grant is that late, and not given up
	revoked := make(chan clientv3.LeaseID, 1)
	go func() {
		for {
			now, err := direct.Leases(t.Context())
			if err != nil {
				return // the test has ended
			}
			for _, l := range now.Leases {
				if !slices.Contains(before.Leases, l) {
					_, _ = direct.Revoke(t.Context(), l.ID)
					revoked <- l.ID
					return
				}
			}
		}
	}()
	_, err = s.Reserve(soon(t), group, "a", time.Second, []string{"0"})
	require.NoError(t, err)
	found := recordAt(t, direct, s.keys.key(group, kindReserved, "a"))
	require.True(t, reserves("0")(found))
	require.NotEqual(t, int64(<-revoked), found.Lease)
}

// TestTheLatestIsReserved changes what is kept while the record is being put on a new lease.
func TestTheLatestIsReserved(t *testing.T) {
	t.Parallel()
	sent := newTally()
	cluster, group := etcdtest.Start(t), testGroup(t)
	direct, client := cluster.Client(t), cluster.Client(t, sent.onClient)
	s := startMember(t, client, 3*time.Second)
	r, err := s.Reserve(soon(t), group, "a", time.Second, []string{"old"})
	require.NoError(t, err)
	key := s.keys.key(group, kindReserved, "a")
	before := recordAt(t, direct, key)

	var once atomic.Bool
	done := make(chan struct{})
	latest := func(*pb.TxnRequest) {
		if once.CompareAndSwap(false, true) {
			if ops := r.Ops([]string{"new"}); len(ops) > 0 {
				_, err := direct.Txn(soon(t)).Then(ops...).Commit()
				require.NoError(t, err)
			}
		}
	}
	sent.hook(latest, func(*pb.TxnRequest) {
		if once.Load() {
			sent.hook(nil, nil)
			close(done)
		}
	})
	_, err = direct.Revoke(soon(t), clientv3.LeaseID(before.Lease))
	require.NoError(t, err)
	<-done
	awaitRecord(t, direct, key, reserves("new"))
	require.NoError(t, s.Close(soon(t))) // what is under way has ended
	require.True(t, reserves("new")(recordAt(t, direct, key)))
}

// TestWhoReturnsReservesAnew restarts an owner: its reservation goes on under the new process.
func TestWhoReturnsReservesAnew(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	keeper := startKeeper(t, client, time.Second)
	s := startStore(t, client, keeper, nil)
	_, err := s.Reserve(soon(t), group, "a", time.Second, []string{"0"})
	require.NoError(t, err)
	key := s.keys.key(group, kindReserved, "a")
	first := recordAt(t, client, key)
	require.NoError(t, keeper.Close(soon(t)))

	next := startMember(t, client, 10*time.Second)
	_, err = next.Reserve(soon(t), group, "a", time.Second, []string{"0"})
	require.NoError(t, err)
	canary, err := client.Put(soon(t), "/canary", "", clientv3.WithLease(clientv3.LeaseID(first.Lease)))
	require.NoError(t, err)
	require.NotZero(t, canary.Header.Revision)
	awaitRecord(t, client, "/canary", isGone)
	require.True(t, reserves("0")(recordAt(t, client, key)), "the old lease has taken nothing with it")
}

func TestReserveRefusesWhatNoRecordCanHold(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	for field, given := range map[string]struct {
		owner string
		grace time.Duration
		ids   []string
	}{
		"ownerID.OwnerID":    {owner: "", grace: time.Second},
		"grace.Grace":        {owner: "a", grace: 1500 * time.Millisecond},
		"ids[1].PartitionID": {owner: "a", grace: time.Second, ids: []string{"0", ""}},
	} {
		_, err := s.Reserve(soon(t), group, given.owner, given.grace, given.ids)
		require.ErrorIs(t, err, ErrInvalidArgument, field)
		var argument *ArgumentError
		require.ErrorAs(t, err, &argument)
		require.Equal(t, field, argument.Field)
	}
	_, err := startStore(t, client, nil, nil).Reserve(soon(t), group, "a", time.Second, nil)
	require.ErrorIs(t, err, ErrNoKeeper)
	r, err := s.Reserve(soon(t), group, "a", time.Second, nil)
	require.NoError(t, err)
	require.ErrorIs(t, r.Put(soon(t), []string{"\xff"}), ErrInvalidArgument)
	require.True(t, reserves()(recordAt(t, client, s.keys.key(group, kindReserved, "a"))))
}
