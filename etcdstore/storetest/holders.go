package storetest

import (
	"fmt"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

var holders = []test{
	{name: "an owner writes, over renewals", run: holdAndWrite, needs: []need{holder}},
	{name: "renewals do not disturb writes at the same time", run: renewAndWrite, needs: []need{holder}},
	{name: "nothing is written once another owner has the partition", run: holdLost, needs: []need{holder}},
	{name: "nobody but the owner writes while there is one", run: neverHeld, needs: []need{holder}},
	{name: "whoever held a partition last writes while nobody owns it", run: heldLast, needs: []need{holder, etcd}},
	{name: "a write from outside is told once", run: conflictOnce, needs: []need{holder, etcd}},
	{
		name: "the listing before the first write is where the owner starts", run: startFromListing,
		needs: []need{holder, etcd},
	},
	{name: "a reader left over from an earlier tenure is refused", run: leftOverReader, needs: []need{holder}},
	{name: "an owner may go back behind what it wrote itself", run: goBack, needs: []need{holder}},
	{
		name: "a partition whose checkpoint cannot be read is granted to nobody", run: unreadable,
		needs: []need{holder, etcd},
	},
	{name: "an unreadable checkpoint hides no other", run: unreadableListed, needs: []need{holder, etcd}},
	{
		name: "an unreadable or leaseless ownership counts as relinquished", run: corruptOwnership,
		needs: []need{holder, etcd},
	},
}

func holdAndWrite(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	for n := range int64(5) {
		require.NoError(t, t.update(t.a, "0", n))
		require.Equal(t, map[string]int64{"0": n}, t.positions())
		owned = t.winOne(t.a, owned)
	}
	owned = t.winOne(t.a, as("", owned))
	require.NoError(t, t.update(t.a, "0", 7), "the last events before it was relinquished")
	t.winOne(t.a, as("ann", owned))
	require.NoError(t, t.update(t.a, "0", 8))
	require.Equal(t, map[string]int64{"0": 8}, t.positions())
}

func renewAndWrite(t *scope) {
	const partitions, rounds = 8, 25
	owned := t.win(t.a, t.ownerships("ann", partitionIDs(partitions)...)...)
	done := make(chan struct{})
	errs := make([]error, partitions)
	last := make([]int64, partitions)
	var writers sync.WaitGroup
	for i, p := range partitionIDs(partitions) {
		writers.Go(func() {
			for n := int64(1); errs[i] == nil; n++ {
				select {
				case <-done:
					return
				default:
				}
				if errs[i] = t.update(t.a, p, n); errs[i] == nil {
					last[i] = n
				}
			}
		})
	}
	for range rounds {
		owned = t.win(t.a, owned...)
	}
	close(done)
	writers.Wait()
	for i, err := range errs {
		require.NoError(t, err)
		require.Equal(t, last[i], t.positions()[owned[i].PartitionID])
	}
}

func holdLost(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	require.NoError(t, t.update(t.a, "0", 1))
	stolen := t.winOne(t.b, as("bob", owned))
	for range 2 {
		require.ErrorIs(t, t.update(t.a, "0", 2), etcdstore.ErrOwnershipLost)
		require.Equal(t, map[string]int64{"0": 1}, t.positions())
	}
	require.NoError(t, t.update(t.b, "0", 3))
	t.winOne(t.b, as("", stolen))
	require.ErrorIs(t, t.update(t.a, "0", 4), etcdstore.ErrOwnershipLost, "it is not the record that it last got")
	require.NoError(t, t.update(t.b, "0", 5))
	require.Equal(t, map[string]int64{"0": 5}, t.positions())
}

func neverHeld(t *scope) {
	require.NoError(t, t.update(t.b, "0", 1), "seeded")
	owned := t.claim(t.a, "ann", "0")
	require.ErrorIs(t, t.update(t.b, "0", 2), etcdstore.ErrOwnershipLost)
	t.winOne(t.a, as("", owned))
	require.ErrorIs(t, t.update(t.b, "0", 3), etcdstore.ErrOwnershipLost)
	require.Equal(t, map[string]int64{"0": 1}, t.positions())
}

func heldLast(t *scope) {
	t.claim(t.a, "ann", "0")
	require.NoError(t, t.update(t.a, "0", 1))
	t.vanish("0")
	require.NoError(t, t.update(t.a, "0", 2))
	require.NoError(t, t.update(t.b, "0", 3), "one that never held it has no chain")
	require.ErrorIs(t, t.update(t.a, "0", 4), etcdstore.ErrCheckpointConflict)
	require.Equal(t, map[string]int64{"0": 3}, t.positions())
}

// position is a checkpoint's value as a tool may write it.
func position(sequenceNumber int64) string {
	return fmt.Sprintf(`{"sequence_number": %d}`, sequenceNumber)
}

func conflictOnce(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	require.NoError(t, t.update(t.a, "0", 1))
	t.put(checkpointKind, "0", position(50), false)
	t.winOne(t.a, owned)
	require.ErrorIs(t, t.update(t.a, "0", 2), etcdstore.ErrCheckpointConflict)
	require.Equal(t, map[string]int64{"0": 50}, t.positions())
	require.NoError(t, t.update(t.a, "0", 3))
	require.NoError(t, t.update(t.a, "0", 4))
	require.Equal(t, map[string]int64{"0": 4}, t.positions())
}

func startFromListing(t *scope) {
	t.win(t.a, t.ownerships("ann", "listed", "unlisted", "written")...)
	require.NoError(t, t.update(t.a, "written", 1))
	t.put(checkpointKind, "listed", position(50), false)
	t.put(checkpointKind, "written", position(50), false)
	_, err := t.a.ListCheckpoints(t.Context(), t.group)
	require.NoError(t, err)
	t.put(checkpointKind, "unlisted", position(50), false)
	require.NoError(t, t.update(t.a, "listed", 51))
	require.ErrorIs(t, t.update(t.a, "unlisted", 51), etcdstore.ErrCheckpointConflict)
	require.ErrorIs(t, t.update(t.a, "written", 51), etcdstore.ErrCheckpointConflict)
	require.Equal(t, map[string]int64{"listed": 51, "unlisted": 50, "written": 50}, t.positions())
}

func leftOverReader(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	require.NoError(t, t.update(t.a, "0", 10))
	owned = t.winOne(t.b, as("bob", owned))
	require.NoError(t, t.update(t.b, "0", 20))
	owned = t.winOne(t.a, as("ann", owned))
	require.ErrorIs(t, t.update(t.a, "0", 15), etcdstore.ErrOwnershipLost)
	t.winOne(t.a, owned)
	require.ErrorIs(t, t.update(t.a, "0", 19), etcdstore.ErrOwnershipLost)
	require.Equal(t, map[string]int64{"0": 20}, t.positions())
	require.NoError(t, t.update(t.a, "0", 20))
	require.NoError(t, t.update(t.a, "0", 21))
	require.Equal(t, map[string]int64{"0": 21}, t.positions())
}

func goBack(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	require.NoError(t, t.update(t.a, "0", 10))
	require.NoError(t, t.update(t.a, "0", 5))
	owned = t.winOne(t.a, as("", owned))
	t.winOne(t.a, as("ann", owned))
	require.NoError(t, t.update(t.a, "0", 3))
	require.Equal(t, map[string]int64{"0": 3}, t.positions())
}

func unreadable(t *scope) {
	t.put(checkpointKind, "1", "{", false)
	claims := t.ownerships("ann", "0", "1", "2")
	for range 2 { // first the claim's own read shows it, then it is known
		won := t.try(t.a, claims...)
		require.NotContains(t, partitionsOf(won), "1")
		require.Equal(t, []string{"0", "2"}, partitionsOf(t.owned()), "it is released again")
		claims = t.ownerships("ann", "1", "3")[:1]
	}
	_, err := t.b.ListCheckpoints(t.Context(), t.group)
	require.NoError(t, err)
	require.Empty(t, t.try(t.b, t.ownerships("bob", "1")...))
	t.put(checkpointKind, "1", position(7), false)
	owned := t.winOne(t.b, t.ownerships("bob", "1")[0])
	require.NoError(t, t.update(t.b, "1", 8))
	t.winOne(t.a, as("ann", owned))
}

func unreadableListed(t *scope) {
	require.NoError(t, t.update(t.a, "0", 7))
	for i, value := range corruptCheckpoints {
		t.put(checkpointKind, fmt.Sprint("corrupt ", i), value, false)
	}
	require.Equal(t, map[string]int64{"0": 7}, t.positions())
}

func corruptOwnership(t *scope) {
	good := t.claim(t.a, "ann", "good")
	partitions := []string{"good"}
	for i, value := range corruptOwnerships {
		partition := fmt.Sprint("corrupt ", i)
		t.put(ownershipKind, partition, value, true)
		partitions = append(partitions, partition)
	}
	t.put(ownershipKind, "leaseless", leaselessOwnership, false)
	partitions = append(partitions, "leaseless")

	listed := t.list(t.b, t.group)
	require.ElementsMatch(t, partitions, partitionsOf(listed))
	for i, o := range listed {
		if o.PartitionID == good.PartitionID {
			require.Equal(t, good.OwnerID, o.OwnerID)
		} else {
			require.Empty(t, o.OwnerID, o.PartitionID)
			require.Empty(t, t.try(t.b, t.ownerships("bob", o.PartitionID)...), "there is a record")
		}
		require.NotEmpty(t, o.ETag)
		if t.TimeOfListing {
			require.False(t, o.LastModifiedTime.IsZero())
		}
		listed[i].OwnerID = "bob"
	}
	won := t.win(t.b, listed...)
	t.requireOwned(won...)
	for _, p := range partitions {
		require.NotZero(t, t.record(ownershipKind, p).Lease)
	}
}
