package storetest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

var listings = []test{
	{name: "a group without records lists nothing", run: listNothing},
	{name: "each partition is listed once, as its last claim left it", run: listLastClaim},
	{name: "listing changes nothing", run: listTwice},
	{name: "ownerships are dated as declared", run: listTimes},
	{name: "an empty name is refused", run: listUnnamed},
}

func listNothing(t *scope) {
	require.Empty(t, t.list(t.a, t.group))
	require.Empty(t, t.positions())
	t.claim(t.a, "ann", "0")
	require.Empty(t, t.positions(), "an ownership is no checkpoint")
	require.NoError(t, t.update(t.a, "1", 1))
	require.Equal(t, []string{"0"}, partitionsOf(t.owned()), "a checkpoint is no ownership")
}

func listLastClaim(t *scope) {
	won := t.win(t.a, t.ownerships("ann", "0", "1", "2", "3")...)
	won[1] = t.winOne(t.a, won[1])
	won[2] = t.winOne(t.b, as("bob", won[2]))
	won[3] = t.winOne(t.b, as("", won[3]))
	for _, store := range []etcdstore.CheckpointStore{t.a, t.b} {
		listed := t.list(store, t.group)
		require.Equal(t, withoutTimes(won), withoutTimes(listed))
		for _, o := range listed {
			require.False(t, o.LastModifiedTime.IsZero())
		}
	}
}

func listTwice(t *scope) {
	won := t.win(t.a, t.ownerships("ann", "0", "1")...)
	require.NoError(t, t.update(t.a, "0", 7))
	for range 3 {
		t.requireOwned(won...)
		require.Equal(t, map[string]int64{"0": 7}, t.positions())
	}
	t.win(t.a, won...)
}

func listTimes(t *scope) {
	won := t.claim(t.a, "ann", "0")
	for range 2 {
		before := time.Now()
		listed := t.list(t.b, t.group)[0].LastModifiedTime
		after := time.Now()
		require.Equal(t, time.UTC, listed.Location())
		if !t.TimeOfListing {
			require.True(t, listed.Equal(won.LastModifiedTime), "listed %v, claimed %v", listed, won.LastModifiedTime)
			continue
		}
		require.False(t, listed.Before(before), "listed %v, before the listing at %v", listed, before)
		require.False(t, listed.After(after), "listed %v, after the listing at %v", listed, after)
	}
}

func listUnnamed(t *scope) {
	for field, empty := range map[string]func(*etcdstore.Group){
		"FullyQualifiedNamespace": func(g *etcdstore.Group) { g.FullyQualifiedNamespace = "" },
		"EventHubName":            func(g *etcdstore.Group) { g.EventHubName = "" },
		"ConsumerGroup":           func(g *etcdstore.Group) { g.ConsumerGroup = "" },
	} {
		unnamed := t.group
		empty(&unnamed)
		_, err := t.a.ListOwnership(t.Context(), unnamed)
		t.refused(err, field)
		_, err = t.a.ListCheckpoints(t.Context(), unnamed)
		t.refused(err, field)
	}
}
