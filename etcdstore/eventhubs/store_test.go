package eventhubs_test

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/etcdstore/eventhubs"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/processtest"
)

const (
	namespace = "Contoso.servicebus.windows.net"
	hub       = "Orders"
	group     = "$Default"
)

// claimOf is a claim as a processor makes it of a partition that nobody has owned.
func claimOf(owner, partition string) azeventhubs.Ownership {
	return azeventhubs.Ownership{
		FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group, PartitionID: partition, OwnerID: owner,
	}
}

func checkpointOf(partition string, sequenceNumber int64) azeventhubs.Checkpoint {
	return azeventhubs.Checkpoint{
		FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group, PartitionID: partition,
		SequenceNumber: &sequenceNumber, Offset: new(strconv.FormatInt(10*sequenceNumber, 10)),
	}
}

func claim(t *testing.T, store azeventhubs.CheckpointStore, claims ...azeventhubs.Ownership) []azeventhubs.Ownership {
	t.Helper()
	won, err := store.ClaimOwnership(t.Context(), claims, nil)
	require.NoError(t, err)
	return won
}

func list(t *testing.T, store azeventhubs.CheckpointStore) []azeventhubs.Ownership {
	t.Helper()
	listed, err := store.ListOwnership(t.Context(), namespace, hub, group, nil)
	require.NoError(t, err)
	return listed
}

func listCheckpoints(t *testing.T, store azeventhubs.CheckpointStore) []azeventhubs.Checkpoint {
	t.Helper()
	listed, err := store.ListCheckpoints(t.Context(), namespace, hub, group, nil)
	require.NoError(t, err)
	return listed
}

// start gives a process on a fresh etcd the adapter.
func start(t *testing.T, options *eventhubs.Options) (*processtest.Process, *eventhubs.CheckpointStore) {
	t.Helper()
	p := processtest.Start(t, etcdtest.Start(t).Endpoints(), nil)
	return p, eventhubs.New(p.Store, options)
}

// TestClaimRounds is what the SDK's own tests of its stores expect over rounds of claiming and listing.
func TestClaimRounds(t *testing.T) {
	t.Parallel()
	_, store := start(t, nil)
	require.Empty(t, list(t, store))
	for _, nothing := range [][]azeventhubs.Ownership{nil, {}} {
		won, err := store.ClaimOwnership(t.Context(), nothing, nil)
		require.NoError(t, err)
		require.Empty(t, won)
	}

	last := new(azcore.ETag(""))
	for round := range 5 {
		o := claimOf("owner", "100")
		o.ETag = last
		won := claim(t, store, o)
		require.Len(t, won, 1)
		require.NotNil(t, won[0].ETag)
		require.NotEqual(t, *last, *won[0].ETag)
		require.NotZero(t, won[0].LastModifiedTime)
		want := claimOf("owner", "100")
		want.ETag, want.LastModifiedTime = won[0].ETag, won[0].LastModifiedTime
		require.Equal(t, want, won[0])

		listed := list(t, store)
		require.Len(t, listed, 1)
		require.NotZero(t, listed[0].LastModifiedTime)
		want.LastModifiedTime = listed[0].LastModifiedTime
		require.Equal(t, want, listed[0])
		last = listed[0].ETag
		if round == 0 {
			require.Empty(t, claim(t, store, o), "an empty etag is no etag, and there is a record now")
			o.ETag = nil
			require.Empty(t, claim(t, store, o))
		}
	}
	won := claim(t, store, list(t, store)...)
	require.Len(t, won, 1, "what is listed can be claimed as it is")
	require.NotEqual(t, *last, *won[0].ETag)
}

func TestClaimsWithBadETagsLose(t *testing.T) {
	t.Parallel()
	_, store := start(t, nil)
	won := claim(t, store, claimOf("ann", "owned"))
	for _, etag := range []string{
		"abc", "non-matching-etag", "007", "+7", "-1", "1e3", "0", "*", `"1"`, "1", " ", strconv.Itoa(math.MaxInt64),
		strconv.FormatUint(math.MaxUint64, 10), "0" + string(*won[0].ETag), string(azcore.ETagAny),
	} {
		o := claimOf("bob", "owned")
		o.ETag = new(azcore.ETag(etag))
		require.Empty(t, claim(t, store, o), "%q", etag)
	}
	require.Equal(t, "ann", list(t, store)[0].OwnerID)
	require.Equal(t, *won[0].ETag, *list(t, store)[0].ETag)
}

func TestClaimsLeaveTheirInputAlone(t *testing.T) {
	t.Parallel()
	_, store := start(t, nil)
	etag := azcore.ETag("")
	claims := []azeventhubs.Ownership{claimOf("ann", "0"), claimOf("ann", "1")}
	claims[1].ETag = &etag
	won := claim(t, store, claims...)
	require.Len(t, won, 2)
	require.Nil(t, claims[0].ETag)
	require.Same(t, &etag, claims[1].ETag)
	require.Empty(t, etag)
	require.True(t, claims[0].LastModifiedTime.IsZero())
	require.NotSame(t, won[0].ETag, won[1].ETag)
}

// TestRelinquish does what a processor does when it closes, with what it was last granted.
func TestRelinquish(t *testing.T) {
	t.Parallel()
	_, store := start(t, nil)
	owned := claim(t, store, claimOf("ann", "0"), claimOf("ann", "1"))
	stolen := owned[1]
	stolen.OwnerID = "bob"
	claim(t, store, stolen)
	for i := range owned {
		owned[i].OwnerID = ""
	}
	relinquished := claim(t, store, owned...)
	require.Len(t, relinquished, 1, "what was stolen meanwhile stays the thief's")
	require.Empty(t, relinquished[0].OwnerID)
	require.NotEmpty(t, *relinquished[0].ETag)
	require.Equal(t, "bob", list(t, store)[1].OwnerID)

	free := list(t, store)[0]
	require.Empty(t, free.OwnerID)
	free.OwnerID = "new owner!"
	won := claim(t, store, free)
	require.Len(t, won, 1)
	require.Equal(t, "new owner!", won[0].OwnerID)
}

func TestCheckpointsKeepNilAndZeroApart(t *testing.T) {
	t.Parallel()
	_, store := start(t, nil)
	none := azeventhubs.Checkpoint{
		FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group, PartitionID: "0",
	}
	require.ErrorIs(t, store.SetCheckpoint(t.Context(), none, nil), etcdstore.ErrInvalidArgument)
	for _, c := range []struct {
		sequenceNumber *int64
		offset         *string
	}{
		{new(int64(0)), nil}, {nil, new("")}, {nil, new("0")}, {new(int64(0)), new("")}, {new(int64(7)), new("3:7:abc")},
		{new(int64(math.MaxInt64)), new("007")},
	} {
		want := none
		want.SequenceNumber, want.Offset = c.sequenceNumber, c.offset
		require.NoError(t, store.SetCheckpoint(t.Context(), want, nil))
		require.Equal(t, []azeventhubs.Checkpoint{want}, listCheckpoints(t, store))
	}
}

func TestEmptyNamesAreRefused(t *testing.T) {
	t.Parallel()
	_, store := start(t, nil)
	for i := range 4 {
		names := []string{namespace, hub, group, "0"}
		names[i] = ""
		_, err := store.ClaimOwnership(t.Context(), []azeventhubs.Ownership{{
			FullyQualifiedNamespace: names[0], EventHubName: names[1], ConsumerGroup: names[2], PartitionID: names[3],
			OwnerID: "ann",
		}}, nil)
		require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
		err = store.SetCheckpoint(t.Context(), azeventhubs.Checkpoint{
			FullyQualifiedNamespace: names[0], EventHubName: names[1], ConsumerGroup: names[2], PartitionID: names[3],
			SequenceNumber: new(int64(7)),
		}, nil)
		require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
		if i == 3 {
			continue
		}
		_, err = store.ListOwnership(t.Context(), names[0], names[1], names[2], nil)
		require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
		_, err = store.ListCheckpoints(t.Context(), names[0], names[1], names[2], nil)
		require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
	}
	require.Empty(t, list(t, store))
}

// TestListingIsDatedAfterTheAnswer holds a listing up, and requires that its records look no older for that: the SDK
// would take them for expired.
func TestListingIsDatedAfterTheAnswer(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t)
	p := processtest.Start(t, cluster.Endpoints(), nil)
	store := eventhubs.New(p.Store, nil)
	claim(t, store, claimOf("ann", "0"))
	cluster.Member(0).Stop()

	var listed []azeventhubs.Ownership
	var err error
	var listing sync.WaitGroup
	begun := make(chan struct{})
	listing.Go(func() {
		close(begun)
		listed, err = store.ListOwnership(t.Context(), namespace, hub, group, nil)
	})
	<-begun
	requireUnanswered(t, store)
	down := time.Now()
	cluster.Member(0).Restart()
	listing.Wait()
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.False(t, listed[0].LastModifiedTime.Before(down), "listed %v, when etcd was down at %v",
		listed[0].LastModifiedTime, down)
}

// requireUnanswered requires that a call waits for as long as it may while etcd is down.
func requireUnanswered(t *testing.T, store azeventhubs.CheckpointStore) {
	t.Helper()
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := store.ListOwnership(short, namespace, hub, group, nil)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestOutageIsWaitedOut(t *testing.T) {
	t.Parallel()
	cluster := etcdtest.Start(t)
	p := processtest.Start(t, cluster.Endpoints(), nil)
	store := eventhubs.New(p.Store, nil)
	owned := claim(t, store, claimOf("ann", "0"), claimOf("ann", "1"))
	cluster.Member(0).Stop()

	requireUnanswered(t, store)

	var calls sync.WaitGroup
	errs := make([]error, 4)
	var won []azeventhubs.Ownership
	calls.Go(func() { won, errs[0] = store.ClaimOwnership(t.Context(), owned[:1], nil) })
	calls.Go(func() { _, errs[1] = store.ListOwnership(t.Context(), namespace, hub, group, nil) })
	calls.Go(func() { _, errs[2] = store.ListCheckpoints(t.Context(), namespace, hub, group, nil) })
	calls.Go(func() { errs[3] = store.SetCheckpoint(t.Context(), checkpointOf("1", 7), nil) })
	cluster.Member(0).Restart()
	calls.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, won, 1)
	require.Equal(t, []azeventhubs.Checkpoint{checkpointOf("1", 7)}, listCheckpoints(t, store))
}

func TestClosedStoreSaysSo(t *testing.T) {
	t.Parallel()
	p, store := start(t, nil)
	owned := claim(t, store, claimOf("ann", "0"))
	require.NoError(t, p.Store.Close(t.Context()))
	_, err := store.ClaimOwnership(t.Context(), owned, nil)
	require.ErrorIs(t, err, etcdstore.ErrClosed)
	_, err = store.ListOwnership(t.Context(), namespace, hub, group, nil)
	require.ErrorIs(t, err, etcdstore.ErrClosed)
	_, err = store.ListCheckpoints(t.Context(), namespace, hub, group, nil)
	require.ErrorIs(t, err, etcdstore.ErrClosed)
	require.ErrorIs(t, store.SetCheckpoint(t.Context(), checkpointOf("0", 7), nil), etcdstore.ErrClosed)
}

func TestUnfencedCheckpoints(t *testing.T) {
	t.Parallel()
	endpoints := etcdtest.Start(t).Endpoints()
	owner := eventhubs.New(processtest.Start(t, endpoints, nil).Store, nil)
	unfenced := eventhubs.New(processtest.Start(t, endpoints, nil).Store, &eventhubs.Options{UnfencedCheckpoints: true})
	claim(t, owner, claimOf("ann", "0"))
	require.NoError(t, owner.SetCheckpoint(t.Context(), checkpointOf("0", 1), nil))
	require.NoError(t, unfenced.SetCheckpoint(t.Context(), checkpointOf("0", 9), nil), "the last write wins")
	require.ErrorIs(t, owner.SetCheckpoint(t.Context(), checkpointOf("0", 2), nil), etcdstore.ErrCheckpointConflict)
	require.NoError(t, owner.SetCheckpoint(t.Context(), checkpointOf("0", 3), nil), "which is said once")
}

// TestDeadConsumerIsReleased lets a consumer stop using its store, for real.
func TestDeadConsumerIsReleased(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zapcore.ErrorLevel)
	p, store := start(t, &eventhubs.Options{IdleLimit: 100 * time.Millisecond, Logger: zap.New(core)})
	deleted := p.Client.Watch(t.Context(), "/tenure/v1/", clientv3.WithPrefix(), clientv3.WithFilterPut())
	list(t, store)
	claim(t, store, claimOf("ann", "0"), claimOf("ann", "1"), claimOf("", "2"))
	require.NoError(t, store.SetCheckpoint(t.Context(), checkpointOf("0", 7), nil))
	list(t, store)

	gone := 0
	for gone < 2 {
		resp, ok := <-deleted
		require.True(t, ok)
		gone += len(resp.Events)
	}
	p.Lapse(t)
	require.Empty(t, list(t, store), "neither the next lease nor a take-over brings them back")
	require.NoError(t, store.SetCheckpoint(t.Context(), checkpointOf("0", 8), nil), "a late reader, and no other owner")
	require.Len(t, claim(t, store, claimOf("ann", "0")), 1, "it was only slow")
	require.NoError(t, store.SetCheckpoint(t.Context(), checkpointOf("0", 9), nil))

	entries := logged.FilterField(zap.Int("partitions", 2)).All()
	require.Len(t, entries, 1)
	require.Contains(t, entries[0].Message, "taken for dead")
}

// TestCorruptRecordsAreNoErrors mixes good and bad records in one group.
func TestCorruptRecordsAreNoErrors(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zapcore.ErrorLevel)
	p := processtest.Start(t, etcdtest.Start(t).Endpoints(), &etcdstore.Options{Logger: zap.New(core)})
	store := eventhubs.New(p.Store, nil)
	prefix := "/tenure/v1/" + groupOf(namespace, hub, group).Fold().String()
	put := func(key, value string) {
		_, err := p.Client.Put(t.Context(), prefix+key, value)
		require.NoError(t, err)
	}
	put("/ownership/0", "not a record")
	put("/ownership/1", `{"owner_id":"mirrored","last_modified_time":"2026-01-02T03:04:05Z"}`)
	put("/checkpoint/2", "not a record")
	put("/checkpoint/3", `{"sequence_number":7,"offset":70}`)

	before := time.Now()
	listed := list(t, store)
	require.Len(t, listed, 2)
	for _, o := range listed {
		require.Empty(t, o.OwnerID, "relinquished")
		require.Equal(t, hub, o.EventHubName)
		require.NotEmpty(t, *o.ETag)
		require.False(t, o.LastModifiedTime.Before(before))
	}
	require.NotZero(t, logged.FilterMessageSnippet("ownership").Len())
	require.Equal(t, []azeventhubs.Checkpoint{checkpointOf("3", 7)}, listCheckpoints(t, store))
	require.NotZero(t, logged.FilterMessageSnippet("checkpoint").Len())

	claims := append(slices.Clone(listed), claimOf("", "2"), claimOf("", "3"))
	for i := range claims {
		claims[i].OwnerID = "ann"
	}
	var won []string
	for _, o := range claim(t, store, claims...) {
		won = append(won, o.PartitionID)
	}
	require.ElementsMatch(t, []string{"0", "1", "3"}, won, "all but the one whose checkpoint nobody can read")
	require.Len(t, list(t, store), 3)
}

func TestNamesMeetInAnyCase(t *testing.T) {
	t.Parallel()
	endpoints := etcdtest.Start(t).Endpoints()
	ann := eventhubs.New(processtest.Start(t, endpoints, nil).Store, nil)
	bob := eventhubs.New(processtest.Start(t, endpoints, nil).Store, nil)
	won := claim(t, ann, claimOf("Ann", "0"))
	require.Equal(t, namespace, won[0].FullyQualifiedNamespace)
	require.NoError(t, ann.SetCheckpoint(t.Context(), checkpointOf("0", 7), nil))

	const otherNamespace, otherHub, otherGroup = "CONTOSO.ServiceBus.windows.NET", "ORDERS", "$DEFAULT"
	listed, err := bob.ListOwnership(t.Context(), otherNamespace, otherHub, otherGroup, nil)
	require.NoError(t, err)
	require.Len(t, listed, 1)
	require.Equal(t, otherNamespace, listed[0].FullyQualifiedNamespace)
	require.Equal(t, otherHub, listed[0].EventHubName)
	require.Equal(t, otherGroup, listed[0].ConsumerGroup)
	require.Equal(t, "Ann", listed[0].OwnerID)
	require.Equal(t, *won[0].ETag, *listed[0].ETag)
	checkpoints, err := bob.ListCheckpoints(t.Context(), otherNamespace, otherHub, otherGroup, nil)
	require.NoError(t, err)
	want := checkpointOf("0", 7)
	want.FullyQualifiedNamespace, want.EventHubName, want.ConsumerGroup = otherNamespace, otherHub, otherGroup
	require.Equal(t, []azeventhubs.Checkpoint{want}, checkpoints)

	listed[0].OwnerID = "Bob"
	stolen := claim(t, bob, listed...)
	require.Len(t, stolen, 1)
	require.Equal(t, otherHub, stolen[0].EventHubName)
	require.ErrorIs(t, ann.SetCheckpoint(t.Context(), checkpointOf("0", 8), nil), etcdstore.ErrOwnershipLost)
}
