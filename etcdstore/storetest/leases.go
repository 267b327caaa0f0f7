package storetest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

var leases = []test{
	{name: "the partitions of a dead owner are free, its checkpoints remain", run: die, needs: []need{kill}, waits: true},
	{name: "a store cut off from its backend says so", run: cutOff, needs: []need{kill}, waits: true},
	{name: "what a store still holds survives a lapse", run: keepOverLapse, needs: []need{lapse}, waits: true},
	{name: "what a store gave up does not come back after a lapse", run: gaveUpOverLapse, needs: []need{lapse, fences}, waits: true},
	{name: "no fence outlives a lapse", run: fenceOverLapse, needs: []need{lapse, fences}, waits: true},
	{name: "an owner goes on writing after a lapse", run: writeOverLapse, needs: []need{lapse, holder}, waits: true},
}

func die(t *scope) {
	doomed := t.open(t.T)
	owned := t.win(t.a, t.ownerships("ann", "live")...)
	gone := t.win(doomed, t.ownerships("doomed", "0", "1", "2")...)
	require.NoError(t, t.update(doomed, "0", 7))
	gone[1] = t.winOne(doomed, as("", gone[1]))
	t.Kill(t.T, doomed)
	require.Equal(t, withoutTimes(owned), t.owned(), "the relinquished record has gone too")
	require.Equal(t, map[string]int64{"0": 7}, t.positions())
	won := t.tryWith(t.b, &etcdstore.ClaimOptions{GrantIfGone: true}, as("bob", gone[0]))
	require.Len(t, won, 1)
	t.win(t.b, t.ownerships("bob", "1", "2")...)
	require.NoError(t, t.update(t.b, "0", 8))
}

func cutOff(t *scope) {
	dead := t.open(t.T)
	owned := t.claim(dead, "ann", "0")
	t.Kill(t.T, dead)
	soon := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	won, err := dead.ClaimOwnership(soon(), []etcdstore.Ownership{owned}, nil)
	require.Error(t, err, "a failure is not a loss")
	require.Empty(t, won)
	_, err = dead.ListOwnership(soon(), t.group)
	require.Error(t, err)
	_, err = dead.ListCheckpoints(soon(), t.group)
	require.Error(t, err)
	require.Error(t, dead.UpdateCheckpoint(soon(), t.checkpoint("0", 1), nil))
	require.Empty(t, t.positions())
}

func keepOverLapse(t *scope) {
	store := t.open(t.T)
	held := t.win(store, t.ownerships("ann", partitionIDs(100)...)...)
	stolen := t.winOne(t.b, as("bob", held[0]))
	relinquished := t.winOne(store, as("", held[1]))
	t.Lapse(t.T, store)
	listed := t.list(store, t.group)
	mine := 0
	for _, o := range listed {
		require.NotEqual(t, relinquished.PartitionID, o.PartitionID, "it was given up")
		if o.PartitionID == stolen.PartitionID {
			require.Equal(t, withoutTimes([]etcdstore.Ownership{stolen}), withoutTimes([]etcdstore.Ownership{o}))
			continue
		}
		require.Equal(t, "ann", o.OwnerID)
		mine++
	}
	require.Equal(t, len(held)-2, mine)
	for _, o := range held[2:] {
		require.NotContains(t, withoutTimes(listed), withoutTimes([]etcdstore.Ownership{o})[0], "the etag is the old one")
	}
	require.Empty(t, t.try(t.b, t.ownerships("bob", "5")...))
	for i := range listed {
		listed[i].OwnerID = "ann"
	}
	require.Len(t, t.try(store, listed...), len(listed))
}

func gaveUpOverLapse(t *scope) {
	store := t.open(t.T)
	held := t.win(store, t.ownerships("ann", "0", "1")...)
	require.NoError(t, t.fencer(store).Release(t.Context(), held[1]))
	t.Lapse(t.T, store)
	require.Equal(t, []string{"0"}, partitionsOf(t.list(store, t.group)))
}

func fenceOverLapse(t *scope) {
	store := t.open(t.T)
	held := t.claim(store, "ann", "0")
	require.NoError(t, t.updateUnder(store, held, 1))
	t.Lapse(t.T, store)
	require.ErrorIs(t, t.updateUnder(store, held, 2), etcdstore.ErrOwnershipLost)
	require.Equal(t, map[string]int64{"0": 1}, t.positions())
	again := t.winOne(store, t.list(store, t.group)[0])
	require.NoError(t, t.updateUnder(store, again, 3))
}

func writeOverLapse(t *scope) {
	store := t.open(t.T)
	t.claim(store, "ann", "0")
	require.NoError(t, t.update(store, "0", 1))
	t.Lapse(t.T, store)
	require.NoError(t, t.update(store, "0", 2))
	require.Equal(t, map[string]int64{"0": 2}, t.positions())
}
