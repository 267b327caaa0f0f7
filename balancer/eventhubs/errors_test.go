package eventhubs

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

func TestStartRefusedError(t *testing.T) {
	t.Parallel()
	cause := errors.New("the supplied offset is invalid")
	group := etcdstore.Group{FullyQualifiedNamespace: "ns", EventHubName: "orders", ConsumerGroup: "billing"}
	refused := &StartRefusedError{
		Group: group, PartitionID: "3", Start: "after offset 99", CheckpointKey: "/t/k", Err: cause,
	}
	require.EqualError(t, refused, "event hubs refuses the start position: partition 3 of ns/orders/billing cannot start "+
		"after offset 99: the checkpoint may be of a hub that was deleted and made again; delete /t/k in etcd to begin at "+
		"Options.StartPositions instead: the supplied offset is invalid")
	require.ErrorIs(t, refused, ErrStartRefused)
	require.ErrorIs(t, refused, cause)

	refused.CheckpointKey = ""
	require.ErrorContains(t, refused, "Options.StartPositions names a position that the partition does not have")
}

func TestCheckpointKey(t *testing.T) {
	t.Parallel()
	require.Equal(t, "/tenure/v1/ns/orders/billing/checkpoint/3",
		checkpointKey("/tenure/v1/ns/orders/billing/ownership/3"))
	require.Equal(t, "/ownership/ownership/b/c/checkpoint/ownership",
		checkpointKey("/ownership/ownership/b/c/ownership/ownership"))
}
