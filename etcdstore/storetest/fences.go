package storetest

import (
	"encoding/json"
	"sync"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
)

var fencing = []test{
	{name: "an owner writes under its fence", run: writeFenced, needs: []need{fences}},
	{name: "a fence ends with its claim", run: renewFence, needs: []need{fences}},
	{name: "nothing is written once another owner has the partition", run: writeLost, needs: []need{fences}},
	{name: "a zombie is not mistaken for the owner that follows it", run: writeZombie, needs: []need{fences}},
	{name: "nothing is written after a release", run: writeReleased, needs: []need{fences}},
	{name: "nothing is written once the record has gone", run: writeGone, needs: []need{fences, etcd}},
	{name: "a fence of another store is none", run: writeForeign, needs: []need{fences}},
	{name: "a fence of another partition is refused", run: writeMismatched, needs: []need{fences}},
	{name: "a write without a fence breaks the owner's chain", run: breakChain, needs: []need{fences}},
	{name: "a renewal does not mend the chain", run: renewChain, needs: []need{fences}},
	{name: "a tenure starts at the checkpoint that its claim read", run: start, needs: []need{fences}},
	{name: "writes that wait under one fence all return", run: foldFenced, needs: []need{fences}},
	{name: "operations are applied with the checkpoint or not at all", run: operations, needs: []need{fences, etcd}},
	{name: "a fence guards a transaction of one's own", run: ownTransaction, needs: []need{fences, etcd}},
	{name: "a released partition is free", run: release, needs: []need{fences}},
	{name: "a release takes nothing from another owner", run: releaseStale, needs: []need{fences}},
	{name: "a record says why the partition moved", run: reasons, needs: []need{fences, etcd}},
}

func (t *scope) fencer(store etcdstore.CheckpointStore) Fencer { //nolint:ireturn // of whatever store is examined
	t.Helper()
	f, ok := store.(Fencer)
	require.True(t, ok, "the store declares Fences and is no Fencer: %T", store)
	return f
}

func writeFenced(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	given := owned
	for n := range int64(5) {
		require.NoError(t, t.updateUnder(t.a, owned, n))
		require.Equal(t, map[string]int64{"0": n}, t.positions())
	}
	require.NoError(t, t.updateUnder(t.a, owned, 2), "an owner may go back")
	require.Equal(t, map[string]int64{"0": 2}, t.positions())
	require.Equal(t, given, owned)
}

func renewFence(t *scope) {
	first := t.claim(t.a, "ann", "0")
	require.NoError(t, t.updateUnder(t.a, first, 1))
	second := t.winOne(t.a, first)
	require.ErrorIs(t, t.updateUnder(t.a, first, 2), etcdstore.ErrOwnershipLost)
	require.Equal(t, map[string]int64{"0": 1}, t.positions())
	require.NoError(t, t.updateUnder(t.a, second, 3))
	require.Equal(t, map[string]int64{"0": 3}, t.positions())
}

func writeLost(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	require.NoError(t, t.updateUnder(t.a, owned, 1))
	stolen := t.winOne(t.b, as("bob", owned))
	for range 2 {
		require.ErrorIs(t, t.updateUnder(t.a, owned, 2), etcdstore.ErrOwnershipLost)
		require.Equal(t, map[string]int64{"0": 1}, t.positions())
	}
	require.NoError(t, t.updateUnder(t.b, stolen, 3))
	relinquished := t.winOne(t.b, as("", stolen))
	require.ErrorIs(t, t.updateUnder(t.b, relinquished, 4), etcdstore.ErrOwnershipLost)
	require.ErrorIs(t, t.updateUnder(t.b, stolen, 4), etcdstore.ErrOwnershipLost)
	require.Equal(t, map[string]int64{"0": 3}, t.positions())
}

func writeZombie(t *scope) {
	zombie := t.open(t.T)
	first := t.claim(zombie, "ann", "0")
	second := t.winOne(t.b, as("bob", first))
	third := t.winOne(t.a, as("ann", second))
	require.NoError(t, t.updateUnder(t.a, third, 3))
	require.ErrorIs(t, t.updateUnder(zombie, first, 1), etcdstore.ErrOwnershipLost)
	require.ErrorIs(t, t.updateUnder(t.b, second, 2), etcdstore.ErrOwnershipLost)
	require.Equal(t, map[string]int64{"0": 3}, t.positions())

	own := t.claim(t.a, "ann", "1") // the same within one store
	other := t.winOne(t.b, as("bob", own))
	again := t.winOne(t.a, as("ann", other))
	require.ErrorIs(t, t.updateUnder(t.a, own, 1), etcdstore.ErrOwnershipLost)
	require.NoError(t, t.updateUnder(t.a, again, 2))
}

func writeReleased(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	require.NoError(t, t.updateUnder(t.a, owned, 1))
	require.NoError(t, t.fencer(t.a).Release(t.Context(), owned))
	require.ErrorIs(t, t.updateUnder(t.a, owned, 2), etcdstore.ErrOwnershipLost)
	require.Equal(t, map[string]int64{"0": 1}, t.positions())
}

func writeGone(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	t.vanish("0")
	require.ErrorIs(t, t.updateUnder(t.a, owned, 1), etcdstore.ErrOwnershipLost)
	require.Empty(t, t.positions())
}

func writeForeign(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	require.ErrorIs(t, t.updateUnder(t.b, owned, 1), etcdstore.ErrOwnershipLost)
	for _, etag := range []string{"", "abc", "0" + owned.ETag} {
		forged := owned
		forged.ETag = etag
		require.ErrorIs(t, t.updateUnder(t.a, forged, 1), etcdstore.ErrOwnershipLost, "%q", etag)
	}
	require.Empty(t, t.positions())
}

func writeMismatched(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	err := t.a.UpdateCheckpoint(t.Context(), t.checkpoint("1", 1), &etcdstore.UpdateOptions{Fence: &owned})
	require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
	elsewhere := t.checkpoint("0", 1)
	elsewhere.EventHubName = "invoices"
	err = t.a.UpdateCheckpoint(t.Context(), elsewhere, &etcdstore.UpdateOptions{Fence: &owned})
	require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
	require.Empty(t, t.positions())
}

func breakChain(t *scope) {
	owned := t.win(t.a, t.ownerships("ann", "none", "some")...)
	require.NoError(t, t.updateUnder(t.a, owned[1], 1))
	for _, o := range owned {
		require.NoError(t, t.update(t.b, o.PartitionID, 50)) // an operator's tool
		require.ErrorIs(t, t.updateUnder(t.a, o, 2), etcdstore.ErrCheckpointConflict)
		require.ErrorIs(t, t.updateUnder(t.a, o, 60), etcdstore.ErrCheckpointConflict, "it stays broken")
	}
	require.Equal(t, map[string]int64{"none": 50, "some": 50}, t.positions())
	require.NoError(t, t.fencer(t.a).Release(t.Context(), owned...))
	for _, o := range t.win(t.a, t.ownerships("ann", "none", "some")...) {
		from, found, err := t.fencer(t.a).Start(o)
		require.NoError(t, err)
		require.True(t, found)
		require.EqualValues(t, 50, *from.SequenceNumber)
		require.NoError(t, t.updateUnder(t.a, o, 51))
	}
}

func renewChain(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	require.NoError(t, t.updateUnder(t.a, owned, 1))
	owned = t.winOne(t.a, owned)
	require.NoError(t, t.updateUnder(t.a, owned, 2), "it holds over a renewal")
	require.NoError(t, t.update(t.b, "0", 50))
	owned = t.winOne(t.a, owned)
	require.ErrorIs(t, t.updateUnder(t.a, owned, 3), etcdstore.ErrCheckpointConflict)
	require.Equal(t, map[string]int64{"0": 50}, t.positions())
}

func start(t *scope) {
	f := t.fencer(t.a)
	owned := t.claim(t.a, "ann", "0")
	_, found, err := f.Start(owned)
	require.NoError(t, err)
	require.False(t, found)
	require.NoError(t, t.updateUnder(t.a, owned, 7))

	stolen := t.winOne(t.b, as("bob", owned))
	from, found, err := t.fencer(t.b).Start(stolen)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, t.group, from.Group)
	require.Equal(t, "0", from.PartitionID)
	require.Equal(t, "ann", from.OwnerID)
	require.EqualValues(t, 7, *from.SequenceNumber)
	require.Nil(t, from.Offset)
	require.False(t, from.LastModifiedTime.IsZero())
	require.NoError(t, t.updateUnder(t.b, stolen, 8))

	renewed := t.winOne(t.b, stolen)
	from, _, err = t.fencer(t.b).Start(renewed)
	require.NoError(t, err)
	require.EqualValues(t, 7, *from.SequenceNumber, "a renewal begins no tenure")
	_, _, err = t.fencer(t.b).Start(stolen)
	require.ErrorIs(t, err, etcdstore.ErrOwnershipLost)
	_, _, err = f.Start(renewed)
	require.ErrorIs(t, err, etcdstore.ErrOwnershipLost)
}

func foldFenced(t *scope) {
	const callers = 64
	owned := t.claim(t.a, "ann", "0")
	errs := make([]error, callers)
	var calls sync.WaitGroup
	for i := range callers {
		calls.Go(func() { errs[i] = t.updateUnder(t.a, owned, int64(i)) })
	}
	calls.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.NoError(t, t.updateUnder(t.a, owned, callers))
	require.Equal(t, map[string]int64{"0": callers}, t.positions())
	t.winOne(t.b, as("bob", owned))
	for i := range callers {
		calls.Go(func() { errs[i] = t.updateUnder(t.a, owned, int64(i)) })
	}
	calls.Wait()
	for _, err := range errs {
		require.ErrorIs(t, err, etcdstore.ErrOwnershipLost)
	}
	require.Equal(t, map[string]int64{"0": callers}, t.positions())
}

func operations(t *scope) {
	effect := "/storetest/" + t.group.String()
	read := func() string {
		resp, err := t.Etcd.Get(t.Context(), effect)
		require.NoError(t, err)
		if len(resp.Kvs) == 0 {
			return ""
		}
		return string(resp.Kvs[0].Value)
	}
	owned := t.claim(t.a, "ann", "0")
	require.NoError(t, t.updateUnder(t.a, owned, 1, clientv3.OpPut(effect, "one")))
	require.Equal(t, "one", read())
	require.NoError(t, t.updateUnder(t.a, owned, 2), "the chain goes on")
	require.NoError(t, t.updateUnder(t.a, owned, 3, clientv3.OpPut(effect, "three"), clientv3.OpPut(effect+"/more", "")))
	require.Equal(t, "three", read())

	twice := []clientv3.Op{clientv3.OpPut(effect, "four"), clientv3.OpPut(effect, "five")}
	require.Error(t, t.updateUnder(t.a, owned, 4, twice...), "etcd takes a key once")
	require.Equal(t, "three", read())
	require.Equal(t, map[string]int64{"0": 3}, t.positions())
	require.NoError(t, t.updateUnder(t.a, owned, 5, clientv3.OpPut(effect, "five")))

	t.winOne(t.b, as("bob", owned))
	require.ErrorIs(t, t.updateUnder(t.a, owned, 6, clientv3.OpPut(effect, "six")), etcdstore.ErrOwnershipLost)
	require.Equal(t, "five", read())
	require.Equal(t, map[string]int64{"0": 5}, t.positions())

	err := t.b.UpdateCheckpoint(t.Context(), t.checkpoint("1", 7),
		&etcdstore.UpdateOptions{Ops: []clientv3.Op{clientv3.OpPut(effect, "seven")}})
	require.NoError(t, err, "without a fence")
	require.Equal(t, "seven", read())
	require.Equal(t, map[string]int64{"0": 5, "1": 7}, t.positions())
}

func ownTransaction(t *scope) {
	effect := "/storetest/" + t.group.String()
	holds := func(o etcdstore.Ownership) bool {
		resp, err := t.Etcd.Txn(t.Context()).If(t.fencer(t.a).Fence(o)).Then(clientv3.OpPut(effect, "")).Commit()
		require.NoError(t, err)
		return resp.Succeeded
	}
	first := t.claim(t.a, "ann", "0")
	require.True(t, holds(first))
	second := t.winOne(t.a, first)
	require.False(t, holds(first))
	require.True(t, holds(second))
	third := t.winOne(t.b, as("bob", second))
	require.False(t, holds(second))
	require.True(t, holds(third), "anybody can check it")
	require.NoError(t, t.fencer(t.b).Release(t.Context(), third))
	for _, etag := range []string{third.ETag, "", "0", "-1", "abc"} {
		forged := third
		forged.ETag = etag
		require.False(t, holds(forged), "%q", etag)
	}
}

func release(t *scope) {
	owned := t.win(t.a, t.ownerships("ann", partitionIDs(200)...)...)
	require.NoError(t, t.fencer(t.a).Release(t.Context(), owned[:150]...))
	t.requireOwned(owned[150:]...)
	require.NoError(t, t.fencer(t.a).Release(t.Context(), owned[:150]...), "releasing again does nothing")
	require.NoError(t, t.fencer(t.a).Release(t.Context()))
	t.win(t.b, t.ownerships("bob", partitionIDs(150)...)...)
	t.win(t.a, owned[150:]...)
}

func releaseStale(t *scope) {
	owned := t.claim(t.a, "ann", "0")
	t.winOne(t.b, as("bob", owned))
	unclaimed := t.ownerships("ann", "1")[0]
	malformed := t.ownerships("ann", "2")[0]
	malformed.ETag = "abc"
	before := t.owned()
	require.NoError(t, t.fencer(t.a).Release(t.Context(), owned, unclaimed, malformed))
	require.Equal(t, before, t.owned())
	unnamed := t.ownerships("ann", "")[0]
	require.ErrorIs(t, t.fencer(t.a).Release(t.Context(), unnamed), etcdstore.ErrInvalidArgument)
}

func reasons(t *scope) {
	type moved struct {
		PreviousOwner string `json:"previous_owner"`
		Reason        string `json:"reason"`
	}
	read := func() (m moved) {
		require.NoError(t, json.Unmarshal(t.record(ownershipKind, "0").Value, &m))
		return m
	}
	because := func(reason string) *etcdstore.ClaimOptions { return &etcdstore.ClaimOptions{Reason: reason} }
	won := t.tryWith(t.a, because("it was free"), t.ownerships("ann", "0")...)
	require.Equal(t, moved{Reason: "it was free"}, read())
	t.list(t.b, t.group)
	won = t.tryWith(t.b, because("to balance"), as("bob", won[0]))
	require.Equal(t, moved{PreviousOwner: "ann", Reason: "to balance"}, read())
	t.tryWith(t.b, nil, won...)
	require.Equal(t, moved{PreviousOwner: "ann", Reason: "to balance"}, read(), "a renewal leaves it")
}
