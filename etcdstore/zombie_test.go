package etcdstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// TestZombieAfterABA lets a partition go from A to B and back to A, and the reader of A's first tenure write then.
func TestZombieAfterABA(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	a := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)
	b := startStore(t, client, startKeeper(t, client, 10*time.Second), nil)

	first := claimAll(t, a, claimsOf(group, "a", []string{"0"}), nil)[0]
	require.NoError(t, a.UpdateCheckpoint(soon(t), at(first, 1), &UpdateOptions{Fence: &first}))
	key := a.keys.key(group, kindOwnership, "0")
	resp, err := client.Get(soon(t), key)
	require.NoError(t, err)
	before := resp.Kvs[0]
	take := func(s *Store, owner string, from Ownership) Ownership {
		from.OwnerID = owner
		return claimAll(t, s, []Ownership{from}, nil)[0]
	}
	taken := take(b, "b", first)
	require.NoError(t, b.UpdateCheckpoint(soon(t), at(taken, 20), &UpdateOptions{Fence: &taken}))
	again := take(a, "a", taken)

	// Every fence but the record's ModRevision takes the zombie for the owner.
	for _, fence := range []struct {
		name  string
		cmp   clientv3.Cmp
		holds bool
	}{
		{name: "lease", cmp: clientv3.Compare(clientv3.LeaseValue(key), "=", before.Lease), holds: true},
		{name: "created", cmp: clientv3.Compare(clientv3.CreateRevision(key), "=", before.CreateRevision), holds: true},
		{name: "ModRevision", cmp: clientv3.Compare(clientv3.ModRevision(key), "=", before.ModRevision), holds: false},
		{name: "Fence of the first tenure", cmp: a.Fence(first), holds: false},
		{name: "Fence of the second", cmp: a.Fence(again), holds: true},
	} {
		resp, err := client.Txn(soon(t)).If(fence.cmp).Commit()
		require.NoError(t, err)
		require.Equal(t, fence.holds, resp.Succeeded, fence.name)
	}
	resp, err = client.Get(soon(t), key)
	require.NoError(t, err)
	owner, err := decodeOwnership(resp.Kvs[0].Value)
	require.NoError(t, err)
	require.Equal(t, first.OwnerID, owner.OwnerID, "the owner's name is the same, too")

	require.ErrorIs(t, a.UpdateCheckpoint(soon(t), at(first, 2), &UpdateOptions{Fence: &first}), ErrOwnershipLost)
	numbers, _ := sequences(t, client, a, group)
	require.Equal(t, map[string]int64{"0": 20}, numbers)

	// The Event Hubs SDK names no fence. What tells its old reader is that it is behind what b left.
	require.ErrorIs(t, a.Holder().UpdateCheckpoint(soon(t), at(first, 2), nil), ErrOwnershipLost)
	require.NoError(t, a.UpdateCheckpoint(soon(t), at(again, 21), &UpdateOptions{Fence: &again}))
	numbers, _ = sequences(t, client, a, group)
	require.Equal(t, map[string]int64{"0": 21}, numbers)
}

// TestOldReaderDoesNotDragTheNewOneDown has a left-over reader and the new one write to one partition at once, as
// waiting writes that are folded into one.
func TestOldReaderDoesNotDragTheNewOneDown(t *testing.T) {
	t.Parallel()
	cluster, group := etcdtest.Start(t), testGroup(t)
	direct := cluster.Client(t)
	road := newRoad(t, cluster)
	a := startStore(t, road.client, startKeeper(t, direct, 10*time.Second), nil)
	b := startStore(t, direct, startKeeper(t, direct, 10*time.Second), nil)
	first := claimAll(t, a, claimsOf(group, "a", []string{"0"}), nil)[0]
	first.OwnerID = "b"
	taken := claimAll(t, b, []Ownership{first}, nil)[0]
	require.NoError(t, b.UpdateCheckpoint(soon(t), at(taken, 20), &UpdateOptions{Fence: &taken}))
	taken.OwnerID = "a"
	again := claimAll(t, a, []Ownership{taken}, nil)[0]

	road.cut()
	var done [4]chan error
	for i, sequence := range []int64{21, 22, 3, 4} {
		done[i] = make(chan error, 1)
		go func() { done[i] <- a.Holder().UpdateCheckpoint(soon(t), at(again, sequence), nil) }()
		key := a.keys.key(group, kindCheckpoint, "0")
		awaitWriter(t, a, func(w *writer) bool {
			return i == 0 && w.lanes[key] != nil && w.lanes[key].busy || i > 0 && len(w.lanes[key].queue) == i
		})
	}
	road.deliver()
	require.NoError(t, <-done[0])
	require.NoError(t, <-done[1], "the new reader's write, although older ones came after it")
	require.ErrorIs(t, <-done[2], ErrOwnershipLost)
	require.ErrorIs(t, <-done[3], ErrOwnershipLost)
	numbers, _ := sequences(t, direct, a, group)
	require.Equal(t, map[string]int64{"0": 22}, numbers)
}
