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
	{
		name: "what a store still holds survives a lapse, and nothing else", run: surviveLapse,
		needs: []need{lapse}, waits: true,
	},
}

func die(t *scope) {
	doomed := t.open(t.T)
	owned := t.win(t.a, t.ownerships("ann", "live")...)
	gone := t.win(doomed, t.ownerships("doomed", "0", "1", "2")...)
	require.NoError(t, t.update(doomed, "0", 7))
	gone[1] = t.winOne(doomed, as("", gone[1]))
	t.Kill(t.T, doomed)
	t.requireOwned(owned...)
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

func surviveLapse(t *scope) {
	store := t.open(t.T)
	held := t.win(store, t.ownerships("ann", partitionIDs(100)...)...)
	require.NoError(t, t.update(store, "99", 1))
	stolen := t.winOne(t.b, as("bob", held[0]))
	t.winOne(store, as("", held[1]))
	gone := held[:2]
	if t.Fences {
		require.NoError(t, t.fencer(store).Release(t.Context(), held[2]))
		gone = held[:3]
	}
	kept := held[len(gone):]

	t.Lapse(t.T, store)
	listed := t.list(store, t.group)
	require.ElementsMatch(t, append(partitionsOf(kept), stolen.PartitionID), partitionsOf(listed))
	before := make(map[string]string, len(held))
	for _, o := range held {
		before[o.PartitionID] = o.ETag
	}
	var mine []etcdstore.Ownership
	for _, o := range listed {
		if o.PartitionID == stolen.PartitionID {
			require.Equal(t, stolen.ETag, o.ETag)
			require.Equal(t, "bob", o.OwnerID)
			continue
		}
		require.NotEqual(t, before[o.PartitionID], o.ETag)
		require.Equal(t, "ann", o.OwnerID)
		mine = append(mine, o)
	}
	require.Empty(t, t.try(t.b, t.ownerships("bob", partitionsOf(kept)...)...))
	t.writeAfterLapse(store, held[99])
	t.win(store, mine...)
}

// writeAfterLapse requires that an owner writes again after a lapse: under the fence of its next claim, never under
// that of its last one, or at once if it names no fence.
func (t *scope) writeAfterLapse(store etcdstore.CheckpointStore, last etcdstore.Ownership) {
	if t.Fences {
		require.ErrorIs(t, t.updateUnder(store, last, 2), etcdstore.ErrOwnershipLost)
		require.EqualValues(t, 1, t.positions()[last.PartitionID])
		return
	}
	require.NoError(t, t.update(store, last.PartitionID, 2))
	require.EqualValues(t, 2, t.positions()[last.PartitionID])
}
