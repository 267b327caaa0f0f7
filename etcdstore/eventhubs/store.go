package eventhubs

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
)

// Options configures [New].
type Options struct {
	// IdleLimit is how long a consumer may go without any store call before it is taken for dead and its partitions are
	// released, although its process lives. Set it to at least four of the processor's update intervals. A consumer that
	// has shown longer gaps gets three times the longest. Defaults to 60 s.
	IdleLimit time.Duration

	// UnfencedCheckpoints writes checkpoints as other stores do: the last write wins, whoever makes it. Defaults to false:
	// a consumer that lost a partition to another cannot write its checkpoint any more.
	UnfencedCheckpoints bool

	// Logger receives what is no error to the SDK and still has to be known: consumers found dead. The store logs corrupt
	// records and lost partitions itself. Defaults to no logging.
	Logger *zap.Logger
}

// CheckpointStore is an [azeventhubs.CheckpointStore] in etcd. It is safe for concurrent use.
type CheckpointStore struct {
	holder   *etcdstore.Holder
	write    func(context.Context, etcdstore.Checkpoint, *etcdstore.UpdateOptions) error
	watchdog *watchdog
}

var _ azeventhubs.CheckpointStore = (*CheckpointStore)(nil)

// New returns the store as the SDK's processor takes it. One processor uses it, and it is done with when the store is
// closed.
func New(store *etcdstore.Store, options *Options) *CheckpointStore {
	if options == nil {
		options = &Options{}
	}
	log := options.Logger
	if log == nil {
		log = zap.NewNop()
	}
	holder := store.Holder()
	c := &CheckpointStore{holder: holder, write: holder.UpdateCheckpoint}
	if options.UnfencedCheckpoints {
		c.write = store.UpdateCheckpoint
	}
	c.watchdog = newWatchdog(options.IdleLimit, func(idle time.Duration) {
		released, err := holder.ReleaseAll(context.Background())
		if len(released) == 0 {
			return
		}
		log.Error("the consumer has stopped using its store and is taken for dead; its partitions were released",
			zap.Duration("idle", idle), zap.Int("partitions", len(released)), zap.Error(err))
	})
	return c
}

// ClaimOwnership claims each of the given partitions for its OwnerID, and renews those that the store holds. It returns
// the claims that were won, in input order, with new etags and times. Lost claims are left out: those whose etag is not
// the record's, or who have none although there is a record. An etag whose record has gone with its owner's lease wins.
// The owner id "" relinquishes.
//
// It waits for etcd until ctx ends. Errors: [etcdstore.ErrInvalidArgument], before anything is sent, for an empty name
// or a partition named twice; ctx's error, with [etcdstore.ErrOutcomeUnknown] if a claim may have been won; those of
// [etcdstore.Store.ClaimOwnership] that waiting does not cure. Beside an error the claims that were won are returned.
func (c *CheckpointStore) ClaimOwnership(
	ctx context.Context, partitionOwnership []azeventhubs.Ownership, _ *azeventhubs.ClaimOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	defer c.watchdog.call()()
	type partition struct {
		group etcdstore.Group
		id    string
	}
	claims := make([]etcdstore.Ownership, len(partitionOwnership))
	asked := make(map[partition]azeventhubs.Ownership, len(partitionOwnership))
	for i, o := range partitionOwnership {
		group := groupOf(o.FullyQualifiedNamespace, o.EventHubName, o.ConsumerGroup)
		claims[i] = etcdstore.Ownership{Group: group, PartitionID: o.PartitionID, OwnerID: o.OwnerID}
		if o.ETag != nil {
			claims[i].ETag = string(*o.ETag)
		}
		asked[partition{group, o.PartitionID}] = o
	}
	won, err := c.holder.ClaimOwnership(ctx, claims, &etcdstore.ClaimOptions{GrantIfGone: true})
	claimed := make([]azeventhubs.Ownership, len(won))
	for i, o := range won {
		claimed[i] = asked[partition{o.Group, o.PartitionID}]
		claimed[i].ETag, claimed[i].LastModifiedTime = etagOf(o), o.LastModifiedTime
	}
	return claimed, err
}

// ListOwnership returns the group's ownerships. LastModifiedTime is the time of listing: a record that exists is live,
// and its owner's clock does not matter. One that cannot be read, or that has no lease, is listed as relinquished.
//
// It waits for etcd until ctx ends. Errors: [etcdstore.ErrInvalidArgument] for an empty name; ctx's error; those of
// [etcdstore.Store.ListOwnership] that waiting does not cure.
func (c *CheckpointStore) ListOwnership(
	ctx context.Context, fullyQualifiedNamespace, eventHubName, consumerGroup string,
	_ *azeventhubs.ListOwnershipOptions,
) ([]azeventhubs.Ownership, error) {
	defer c.watchdog.listing()()
	listed, err := c.holder.ListOwnership(ctx, groupOf(fullyQualifiedNamespace, eventHubName, consumerGroup))
	if err != nil {
		return nil, err
	}
	// After the answer, which may have taken long: what has just been seen to live must not look a minute old. The SDK
	// asks for the age, so Go's monotonic reading is left in, which jumps of the clock do not touch.
	now := time.Now().UTC()
	ownerships := make([]azeventhubs.Ownership, len(listed))
	for i, o := range listed {
		ownerships[i] = azeventhubs.Ownership{
			FullyQualifiedNamespace: fullyQualifiedNamespace,
			EventHubName:            eventHubName,
			ConsumerGroup:           consumerGroup,
			PartitionID:             o.PartitionID,
			OwnerID:                 o.OwnerID,
			LastModifiedTime:        now,
			ETag:                    etagOf(o),
		}
	}
	return ownerships, nil
}

// ListCheckpoints returns the group's checkpoints. One that cannot be read is left out, logged, and its partition is
// granted to nobody.
//
// It waits for etcd until ctx ends. Errors: [etcdstore.ErrInvalidArgument] for an empty name; ctx's error; those of
// [etcdstore.Store.ListCheckpoints] that waiting does not cure.
func (c *CheckpointStore) ListCheckpoints(
	ctx context.Context, fullyQualifiedNamespace, eventHubName, consumerGroup string,
	_ *azeventhubs.ListCheckpointsOptions,
) ([]azeventhubs.Checkpoint, error) {
	defer c.watchdog.call()()
	listed, err := c.holder.ListCheckpoints(ctx, groupOf(fullyQualifiedNamespace, eventHubName, consumerGroup))
	if err != nil {
		return nil, err
	}
	checkpoints := make([]azeventhubs.Checkpoint, len(listed))
	for i, cp := range listed {
		checkpoints[i] = azeventhubs.Checkpoint{
			FullyQualifiedNamespace: fullyQualifiedNamespace,
			EventHubName:            eventHubName,
			ConsumerGroup:           consumerGroup,
			PartitionID:             cp.PartitionID,
			Offset:                  cp.Offset,
			SequenceNumber:          cp.SequenceNumber,
		}
	}
	return checkpoints, nil
}

// SetCheckpoint writes a checkpoint and returns when it is durable.
//
// It waits for etcd until ctx ends. Errors: [etcdstore.ErrInvalidArgument], before anything is sent, for an empty name
// or a checkpoint with neither offset nor sequence number; unless [Options.UnfencedCheckpoints] is set,
// [etcdstore.ErrOwnershipLost] if another consumer has the partition, or had it since this reader started, and
// [etcdstore.ErrCheckpointConflict] once if somebody else wrote the checkpoint meanwhile; ctx's error, with
// [etcdstore.ErrOutcomeUnknown] if the checkpoint may have been written; those of [etcdstore.Store.UpdateCheckpoint]
// that waiting does not cure.
func (c *CheckpointStore) SetCheckpoint(
	ctx context.Context, checkpoint azeventhubs.Checkpoint, _ *azeventhubs.SetCheckpointOptions,
) error {
	defer c.watchdog.call()()
	return c.write(ctx, etcdstore.Checkpoint{
		Group:          groupOf(checkpoint.FullyQualifiedNamespace, checkpoint.EventHubName, checkpoint.ConsumerGroup),
		PartitionID:    checkpoint.PartitionID,
		Offset:         checkpoint.Offset,
		SequenceNumber: checkpoint.SequenceNumber,
	}, nil)
}

// groupOf is the group as it stands in keys: Event Hubs' names ignore case.
func groupOf(namespace, hub, consumerGroup string) etcdstore.Group {
	return etcdstore.Group{
		FullyQualifiedNamespace: namespace,
		EventHubName:            hub,
		ConsumerGroup:           consumerGroup,
	}.Fold()
}

func etagOf(o etcdstore.Ownership) *azcore.ETag {
	etag := azcore.ETag(o.ETag)
	return &etag
}
