package storetest

import (
	"crypto/rand"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
)

// scope is what one test has: two stores, as two processes would, and a group to itself.
type scope struct {
	*testing.T
	Capabilities

	open  Open
	a, b  etcdstore.CheckpointStore
	group etcdstore.Group
}

func newGroup() etcdstore.Group {
	return etcdstore.Group{
		FullyQualifiedNamespace: strings.ToLower(rand.Text()) + ".servicebus.windows.net",
		EventHubName:            "orders",
		ConsumerGroup:           "$default",
	}
}

// ownerships returns a claim of each of the partitions, without etags.
func (t *scope) ownerships(owner string, partitions ...string) []etcdstore.Ownership {
	ownerships := make([]etcdstore.Ownership, len(partitions))
	for i, p := range partitions {
		ownerships[i] = etcdstore.Ownership{Group: t.group, PartitionID: p, OwnerID: owner}
	}
	return ownerships
}

// try claims and returns the winners. It checks what holds for every claim that does not fail.
func (t *scope) try(store etcdstore.CheckpointStore, claims ...etcdstore.Ownership) []etcdstore.Ownership {
	t.Helper()
	return t.tryWith(store, nil, claims...)
}

func (t *scope) tryWith(
	store etcdstore.CheckpointStore, options *etcdstore.ClaimOptions, claims ...etcdstore.Ownership,
) []etcdstore.Ownership {
	t.Helper()
	given := slices.Clone(claims)
	won, err := store.ClaimOwnership(t.Context(), claims, options)
	require.NoError(t, err)
	require.Equal(t, given, claims, "the caller's slice was modified")
	left := given
	for _, w := range won {
		i := slices.IndexFunc(left, func(o etcdstore.Ownership) bool {
			return o.Group == w.Group && o.PartitionID == w.PartitionID
		})
		require.GreaterOrEqual(t, i, 0, "winners out of order, or never asked for: %v", w)
		require.Equal(t, left[i].OwnerID, w.OwnerID)
		require.NotEmpty(t, w.ETag)
		require.NotEqual(t, left[i].ETag, w.ETag, "the etag did not change")
		require.False(t, w.LastModifiedTime.IsZero())
		left = left[i+1:]
	}
	return won
}

// win claims and requires that every claim wins.
func (t *scope) win(store etcdstore.CheckpointStore, claims ...etcdstore.Ownership) []etcdstore.Ownership {
	t.Helper()
	won := t.try(store, claims...)
	require.Len(t, won, len(claims), "claims were lost")
	return won
}

// winOne is win for one claim.
func (t *scope) winOne(store etcdstore.CheckpointStore, claim etcdstore.Ownership) etcdstore.Ownership {
	t.Helper()
	return t.win(store, claim)[0]
}

// claim claims a free partition.
func (t *scope) claim(store etcdstore.CheckpointStore, owner, partition string) etcdstore.Ownership {
	t.Helper()
	return t.winOne(store, t.ownerships(owner, partition)[0])
}

// lose claims and requires that every claim is lost and that the group's records stay as they are.
func (t *scope) lose(store etcdstore.CheckpointStore, claims ...etcdstore.Ownership) {
	t.Helper()
	before := t.owned()
	require.Empty(t, t.try(store, claims...))
	require.Equal(t, before, t.owned(), "a lost claim changed something")
}

// as returns an ownership's record as the next owner claims it.
func as(owner string, o etcdstore.Ownership) etcdstore.Ownership {
	o.OwnerID = owner
	return o
}

// list lists the group's ownerships, in order of their partitions.
func (t *scope) list(store etcdstore.CheckpointStore, group etcdstore.Group) []etcdstore.Ownership {
	t.Helper()
	listed, err := store.ListOwnership(t.Context(), group)
	require.NoError(t, err)
	return inOrder(listed)
}

// inOrder returns ownerships in the order of their partitions.
func inOrder(ownerships []etcdstore.Ownership) []etcdstore.Ownership {
	return slices.SortedFunc(slices.Values(ownerships), func(a, b etcdstore.Ownership) int {
		return strings.Compare(a.PartitionID, b.PartitionID)
	})
}

// requireListed requires that a store lists exactly those ownerships, apart from their times.
func (t *scope) requireListed(store etcdstore.CheckpointStore, group etcdstore.Group, want ...etcdstore.Ownership) {
	t.Helper()
	require.Equal(t, inOrder(withoutTimes(want)), withoutTimes(t.list(store, group)))
}

// requireOwned is requireListed for the test's group.
func (t *scope) requireOwned(want ...etcdstore.Ownership) {
	t.Helper()
	t.requireListed(t.b, t.group, want...)
}

// owned lists the test's group without times, which a listing may have made itself.
func (t *scope) owned() []etcdstore.Ownership {
	t.Helper()
	return withoutTimes(t.list(t.b, t.group))
}

func withoutTimes(ownerships []etcdstore.Ownership) []etcdstore.Ownership {
	timeless := slices.Clone(ownerships)
	for i := range timeless {
		timeless[i].LastModifiedTime = time.Time{}
	}
	return timeless
}

// checkpoint returns a checkpoint of a partition.
func (t *scope) checkpoint(partition string, sequenceNumber int64) etcdstore.Checkpoint {
	return etcdstore.Checkpoint{Group: t.group, PartitionID: partition, SequenceNumber: &sequenceNumber}
}

// update writes a checkpoint.
func (t *scope) update(store etcdstore.CheckpointStore, partition string, sequenceNumber int64) error {
	return store.UpdateCheckpoint(t.Context(), t.checkpoint(partition, sequenceNumber), nil)
}

// updateUnder writes a checkpoint under a fence.
func (t *scope) updateUnder(
	store etcdstore.CheckpointStore, fence etcdstore.Ownership, sequenceNumber int64, ops ...clientv3.Op,
) error {
	return store.UpdateCheckpoint(t.Context(), t.checkpoint(fence.PartitionID, sequenceNumber),
		&etcdstore.UpdateOptions{Fence: &fence, Ops: ops})
}

// positions lists the group's checkpoints as partitions and sequence numbers.
func (t *scope) positions() map[string]int64 {
	t.Helper()
	listed, err := t.b.ListCheckpoints(t.Context(), t.group)
	require.NoError(t, err)
	positions := make(map[string]int64, len(listed))
	for _, c := range listed {
		require.NotContains(t, positions, c.PartitionID, "listed twice")
		require.NotNil(t, c.SequenceNumber)
		positions[c.PartitionID] = *c.SequenceNumber
	}
	return positions
}

// requireCheckpoints requires that both stores list exactly those checkpoints. Who wrote them and when is for people.
func (t *scope) requireCheckpoints(group etcdstore.Group, want ...etcdstore.Checkpoint) {
	t.Helper()
	for _, store := range []etcdstore.CheckpointStore{t.a, t.b} {
		listed, err := store.ListCheckpoints(t.Context(), group)
		require.NoError(t, err)
		diff := cmp.Diff(want, listed,
			cmpopts.EquateEmpty(),
			cmpopts.IgnoreFields(etcdstore.Checkpoint{}, "OwnerID", "LastModifiedTime"),
			cmpopts.SortSlices(func(a, b etcdstore.Checkpoint) bool { return a.PartitionID < b.PartitionID }))
		require.Empty(t, diff)
	}
}

// The kinds of records that tests look at, as they stand in keys.
const (
	ownershipKind  = "ownership"
	checkpointKind = "checkpoint"
)

// key is where a record lies in etcd: wire format version 1.
func (t *scope) key(kind, partition string) string {
	return strings.Join([]string{t.Prefix, t.group.String(), kind, url.PathEscape(partition)}, "/")
}

// record reads a record from etcd; nil if there is none.
func (t *scope) record(kind, partition string) *mvccpb.KeyValue {
	t.Helper()
	resp, err := t.Etcd.Get(t.Context(), t.key(kind, partition))
	require.NoError(t, err)
	if len(resp.Kvs) == 0 {
		return nil
	}
	return resp.Kvs[0]
}

// etag is a record's ModRevision in decimal.
func (t *scope) etag(kind, partition string) string {
	t.Helper()
	return strconv.FormatInt(t.record(kind, partition).ModRevision, 10)
}

// put puts a record into etcd that no store wrote, on a lease for as long as the test runs if it is to have one.
func (t *scope) put(kind, partition, value string, leased bool) {
	t.Helper()
	var options []clientv3.OpOption
	if leased {
		granted, err := t.Etcd.Grant(t.Context(), 60)
		require.NoError(t, err)
		options = append(options, clientv3.WithLease(granted.ID))
	}
	_, err := t.Etcd.Put(t.Context(), t.key(kind, partition), value, options...)
	require.NoError(t, err)
}

// vanish takes an ownership away, as the end of its lease would.
func (t *scope) vanish(partition string) {
	t.Helper()
	resp, err := t.Etcd.Delete(t.Context(), t.key(ownershipKind, partition))
	require.NoError(t, err)
	require.EqualValues(t, 1, resp.Deleted)
}
