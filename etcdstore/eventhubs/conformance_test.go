package eventhubs_test

import (
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/etcdstore/eventhubs"
	"github.com/tenure-go/tenure/etcdstore/storetest"
	"github.com/tenure-go/tenure/internal/etcdtest"
	"github.com/tenure-go/tenure/internal/processtest"
)

// adapted is the adapter in the types of the conformance suite.
type adapted struct {
	store   azeventhubs.CheckpointStore
	process *processtest.Process
}

var _ etcdstore.CheckpointStore = (*adapted)(nil)

func (a *adapted) ClaimOwnership(
	ctx context.Context, ownerships []etcdstore.Ownership, _ *etcdstore.ClaimOptions,
) ([]etcdstore.Ownership, error) {
	var claims []azeventhubs.Ownership
	for _, o := range ownerships {
		claim := azeventhubs.Ownership{
			FullyQualifiedNamespace: o.FullyQualifiedNamespace,
			EventHubName:            o.EventHubName,
			ConsumerGroup:           o.ConsumerGroup,
			PartitionID:             o.PartitionID,
			OwnerID:                 o.OwnerID,
			LastModifiedTime:        o.LastModifiedTime,
		}
		if o.ETag != "" {
			claim.ETag = new(azcore.ETag(o.ETag))
		}
		claims = append(claims, claim)
	}
	won, err := a.store.ClaimOwnership(ctx, claims, nil)
	return ownershipsOf(won), err
}

func (a *adapted) ListOwnership(ctx context.Context, g etcdstore.Group) ([]etcdstore.Ownership, error) {
	listed, err := a.store.ListOwnership(ctx, g.FullyQualifiedNamespace, g.EventHubName, g.ConsumerGroup, nil)
	return ownershipsOf(listed), err
}

func ownershipsOf(all []azeventhubs.Ownership) []etcdstore.Ownership {
	var ownerships []etcdstore.Ownership
	for _, o := range all {
		ownerships = append(ownerships, etcdstore.Ownership{
			Group:            groupOf(o.FullyQualifiedNamespace, o.EventHubName, o.ConsumerGroup),
			PartitionID:      o.PartitionID,
			OwnerID:          o.OwnerID,
			ETag:             string(*o.ETag),
			LastModifiedTime: o.LastModifiedTime,
		})
	}
	return ownerships
}

func (a *adapted) ListCheckpoints(ctx context.Context, g etcdstore.Group) ([]etcdstore.Checkpoint, error) {
	listed, err := a.store.ListCheckpoints(ctx, g.FullyQualifiedNamespace, g.EventHubName, g.ConsumerGroup, nil)
	var checkpoints []etcdstore.Checkpoint
	for _, c := range listed {
		checkpoints = append(checkpoints, etcdstore.Checkpoint{
			Group:          groupOf(c.FullyQualifiedNamespace, c.EventHubName, c.ConsumerGroup),
			PartitionID:    c.PartitionID,
			SequenceNumber: c.SequenceNumber,
			Offset:         c.Offset,
		})
	}
	return checkpoints, err
}

func (a *adapted) UpdateCheckpoint(ctx context.Context, c etcdstore.Checkpoint, _ *etcdstore.UpdateOptions) error {
	return a.store.SetCheckpoint(ctx, azeventhubs.Checkpoint{
		FullyQualifiedNamespace: c.FullyQualifiedNamespace,
		EventHubName:            c.EventHubName,
		ConsumerGroup:           c.ConsumerGroup,
		PartitionID:             c.PartitionID,
		SequenceNumber:          c.SequenceNumber,
		Offset:                  c.Offset,
	}, nil)
}

func groupOf(namespace, hub, group string) etcdstore.Group {
	return etcdstore.Group{FullyQualifiedNamespace: namespace, EventHubName: hub, ConsumerGroup: group}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for name, members := range map[string]int{"one member": 1, "three members": 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := etcdtest.StartCluster(t, members)
			process := func(t *testing.T, store etcdstore.CheckpointStore) *processtest.Process {
				t.Helper()
				a, ok := store.(*adapted)
				require.True(t, ok)
				return a.process
			}
			open := func(t *testing.T) etcdstore.CheckpointStore {
				t.Helper()
				p := processtest.Start(t, cluster.Endpoints(), nil)
				// A busy machine must not make the suite's own pauses look like a dead consumer.
				return &adapted{eventhubs.New(p.Store, &eventhubs.Options{IdleLimit: time.Hour}), p}
			}
			storetest.Run(t, open, storetest.Capabilities{
				AlwaysGrantsIfGone: true,
				FoldsCase:          true,
				TimeOfListing:      true,
				Holder:             true,
				Etcd:               cluster.Client(t),
				Kill: func(t *testing.T, store etcdstore.CheckpointStore) {
					t.Helper()
					process(t, store).Kill(t)
				},
				Lapse: func(t *testing.T, store etcdstore.CheckpointStore) {
					t.Helper()
					process(t, store).Lapse(t)
				},
			})
		})
	}
}
