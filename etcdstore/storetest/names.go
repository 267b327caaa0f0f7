package storetest

import (
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

var names = []test{
	{name: "a partition id is any string", run: anyPartition},
	{name: "groups whose names begin alike are apart", run: groupsApart},
	{name: "a namespace may name a port", run: namespaceWithPort},
	{name: "names in another case mean another group", run: caseKept, needs: []need{keepsCase}},
	{name: "names in another case mean the same group and come back as written", run: caseFolded, needs: []need{folds}},
	{name: "partition ids in another case are other partitions", run: partitionCase},
}

func anyPartition(t *scope) {
	ids := []string{
		"0", "00", "-1", "a/b", "a", "a%2Fb", "a%2fb", "%", "%25", " ", "  ", "a b", "a+b", ":", "::", ".", "..", "...",
		"/", "//", "?", "#", "a?b#c", "*", "\\", "'", `"`, "ü", "u\u0308", "\u65e5\u672c", "🙂", "\x00", "\n", "\t", "\u2028",
		"checkpoint", "ownership/0", "control", strings.Repeat("x", 1000),
	}
	won := t.win(t.a, t.ownerships("ann", ids...)...)
	require.Equal(t, ids, partitionsOf(won))
	t.requireOwned(won...)
	want := make([]etcdstore.Checkpoint, len(ids))
	for i, id := range ids {
		require.NoError(t, t.update(t.a, id, int64(i)))
		want[i] = t.checkpoint(id, int64(i))
	}
	t.requireCheckpoints(t.group, want...)
	renewed := t.win(t.a, won...)
	t.requireOwned(renewed...)
}

func groupsApart(t *scope) {
	unique := t.group.EventHubName + t.group.FullyQualifiedNamespace
	var groups []etcdstore.Group
	for _, name := range []string{"a", "a/b", "ab", "a%2fb", "b", "a ", "a/checkpoint", "a/ownership/0"} {
		groups = append(groups,
			etcdstore.Group{FullyQualifiedNamespace: name, EventHubName: unique, ConsumerGroup: "c"},
			etcdstore.Group{FullyQualifiedNamespace: unique, EventHubName: name, ConsumerGroup: "c"},
			etcdstore.Group{FullyQualifiedNamespace: unique, EventHubName: "h", ConsumerGroup: name},
		)
	}
	won := make([]etcdstore.Ownership, len(groups))
	for i, group := range groups {
		claim := etcdstore.Ownership{Group: group, PartitionID: "0", OwnerID: "ann"}
		won[i] = t.winOne(t.a, claim)
		at := etcdstore.Checkpoint{Group: group, PartitionID: "0", SequenceNumber: new(int64(i))}
		require.NoError(t, t.a.UpdateCheckpoint(t.Context(), at, nil))
	}
	for i, group := range groups {
		t.requireListed(t.b, group, won[i])
		t.requireCheckpoints(group, etcdstore.Checkpoint{Group: group, PartitionID: "0", SequenceNumber: new(int64(i))})
	}
}

func namespaceWithPort(t *scope) {
	t.group.FullyQualifiedNamespace = "localhost:" + t.group.FullyQualifiedNamespace + ":5672"
	won := t.claim(t.a, "ann", "0")
	t.requireOwned(won)
}

// spellings are a group and the same with each of its names in upper case.
func spellings(g etcdstore.Group) []etcdstore.Group {
	namespace, hub, group := g, g, g
	namespace.FullyQualifiedNamespace = strings.ToUpper(g.FullyQualifiedNamespace)
	hub.EventHubName = strings.ToUpper(g.EventHubName)
	group.ConsumerGroup = strings.ToUpper(g.ConsumerGroup)
	return []etcdstore.Group{g, namespace, hub, group}
}

func caseKept(t *scope) {
	for i, group := range spellings(t.group) {
		won := t.winOne(t.a, etcdstore.Ownership{Group: group, PartitionID: "0", OwnerID: "ann"})
		at := etcdstore.Checkpoint{Group: group, PartitionID: "0", SequenceNumber: new(int64(i))}
		require.NoError(t, t.a.UpdateCheckpoint(t.Context(), at, nil))
		t.requireListed(t.b, group, won)
		t.requireCheckpoints(group, at)
	}
}

func caseFolded(t *scope) {
	won := t.claim(t.a, "Ann", "0")
	for i, group := range spellings(t.group) {
		claim := etcdstore.Ownership{Group: group, PartitionID: "0", OwnerID: "Bob"}
		require.Empty(t, t.try(t.b, claim), "there is an ownership")
		claim.OwnerID, claim.ETag = won.OwnerID, won.ETag
		won = t.winOne(t.a, claim)
		require.Equal(t, group, won.Group)
		t.requireListed(t.b, group, won)

		at := etcdstore.Checkpoint{Group: group, PartitionID: "0", SequenceNumber: new(int64(i))}
		require.NoError(t, t.a.UpdateCheckpoint(t.Context(), at, nil))
		for _, other := range spellings(t.group) {
			at.Group = other
			t.requireCheckpoints(other, at)
		}
	}
	twice := t.ownerships("Ann", "1", "1")
	twice[1].Group = spellings(t.group)[1]
	_, err := t.a.ClaimOwnership(t.Context(), twice, nil)
	require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
}

func partitionCase(t *scope) {
	t.claim(t.a, "ann", "p")
	t.claim(t.a, "bob", "P")
	require.Equal(t, []string{"P", "p"}, partitionsOf(t.owned()))
	require.NoError(t, t.update(t.a, "p", 1))
	require.NoError(t, t.update(t.a, "P", 2))
	require.Equal(t, map[string]int64{"p": 1, "P": 2}, t.positions())
}
