package etcdstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

// TestMovesAreToldAsFarBackAsEtcdRemembers claims, takes and releases a partition, and asks what has become of it.
func TestMovesAreToldAsFarBackAsEtcdRemembers(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	a, b := startMember(t, client, 10*time.Second), startMember(t, client, 10*time.Second)
	looking := startStore(t, client, nil, nil)
	o := Ownership{Group: group, PartitionID: "a/1", OwnerID: "a"}

	_, err := looking.Watch(soon(t), group, nil) // on the same connection
	require.NoError(t, err)

	moves, since, err := looking.ListMoves(soon(t), group, "a/1")
	require.NoError(t, err)
	require.Empty(t, moves)
	require.Equal(t, int64(1), since)

	first, err := a.ClaimOwnership(soon(t), []Ownership{o}, nil)
	require.NoError(t, err)
	o.OwnerID, o.ETag = "b", first[0].ETag
	_, err = b.ListOwnership(soon(t), group)
	require.NoError(t, err)
	second, err := b.ClaimOwnership(soon(t), []Ownership{o}, &ClaimOptions{Reason: "to balance"})
	require.NoError(t, err)
	require.NoError(t, b.Release(soon(t), second...))
	gone := revisionNow(t, client)

	want := []Move{
		{Revision: revisionOf(t, first[0]), Ownership: first[0]},
		{Revision: revisionOf(t, second[0]), Ownership: second[0]},
		{Revision: gone, Ownership: Ownership{Group: group, PartitionID: "a/1"}},
	}
	compare := func(want []Move) {
		t.Helper()
		moves, since, err = looking.ListMoves(soon(t), group, "a/1")
		require.NoError(t, err)
		require.Len(t, moves, len(want))
		for i := range want {
			require.WithinDuration(t, want[i].LastModifiedTime, moves[i].LastModifiedTime, 0)
			moves[i].LastModifiedTime = want[i].LastModifiedTime
		}
		require.Equal(t, want, moves)
	}
	compare(want)
	require.Equal(t, "a", moves[1].PreviousOwner)
	require.Equal(t, "to balance", moves[1].Reason)

	_, err = client.Put(soon(t), looking.keys.key(group, kindOwnership, "a/1"), "{", clientv3.WithLease(leaseOf(t, a)))
	require.NoError(t, err)
	corrupt := revisionNow(t, client)
	want = append(want, Move{Revision: corrupt, Ownership: Ownership{
		Group: group, PartitionID: "a/1", ETag: formatETag(corrupt),
	}})
	compare(want)

	_, err = client.Compact(soon(t), gone)
	require.NoError(t, err)
	compare(want[2:])
	require.Equal(t, gone, since)

	_, _, err = looking.ListMoves(soon(t), group, "")
	require.ErrorIs(t, err, ErrInvalidArgument)
	require.ErrorContains(t, err, "partitionID.PartitionID")
}

func revisionOf(t *testing.T, o Ownership) int64 {
	t.Helper()
	revision, ok := parseETag(o.ETag)
	require.True(t, ok)
	return revision
}
