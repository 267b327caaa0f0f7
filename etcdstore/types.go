package etcdstore

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Group names what a fleet of consumers shares: one consumer group of one event hub in one namespace, or for another
// kind of stream one group of one topic in one cluster. Names are kept byte for byte; see [Group.Fold] for Event Hubs'
// own rule.
type Group struct {
	FullyQualifiedNamespace string
	EventHubName            string
	ConsumerGroup           string
}

// Ownership is one partition's owner.
type Ownership struct {
	Group

	PartitionID string

	// OwnerID is any non-empty string; empty means that nobody owns the partition.
	OwnerID string

	// ETag is the record's ModRevision in decimal. Empty means that no record exists.
	ETag string

	// LastModifiedTime is the claimer's wall clock at the claim, set by the store. It is for people: no decision rests
	// on it.
	LastModifiedTime time.Time

	// PreviousOwner is who had the partition before, as far as the claimer knew, and Reason why it came to its owner.
	// They are for people. The store sets both; claims take a reason from [ClaimOptions].
	PreviousOwner, Reason string
}

// Checkpoint is a position in one partition, up to which its events have been handled.
type Checkpoint struct {
	Group

	PartitionID string

	// OwnerID is the owner that wrote the checkpoint, for people. It may be empty.
	OwnerID string

	// SequenceNumber and Offset are nil when absent, which differs from zero and from empty. One of them at least is
	// needed.
	SequenceNumber *int64
	Offset         *string

	// LastModifiedTime is the writer's wall clock at the write, set by the store.
	LastModifiedTime time.Time
}

// CheckpointStore is what a consumer fleet needs of a store: Event Hubs' CheckpointStore in this package's types.
// [Store] and [Holder] implement it, and storetest examines whatever does.
type CheckpointStore interface {
	// ClaimOwnership claims partitions and returns the claims that were won, in input order, with their new etags and
	// times. A lost claim is left out and is no error.
	ClaimOwnership(ctx context.Context, ownerships []Ownership, options *ClaimOptions) ([]Ownership, error)

	// ListOwnership returns one record for each partition of the group that has one.
	ListOwnership(ctx context.Context, group Group) ([]Ownership, error)

	// ListCheckpoints returns the group's checkpoints.
	ListCheckpoints(ctx context.Context, group Group) ([]Checkpoint, error)

	// UpdateCheckpoint writes a checkpoint and returns when it is durable.
	UpdateCheckpoint(ctx context.Context, checkpoint Checkpoint, options *UpdateOptions) error
}

// ClaimOptions changes how claims are decided.
type ClaimOptions struct {
	// GrantIfGone grants a claim whose etag names a record that has meanwhile gone with its lease, since nobody holds it
	// then. Defaults to false: such a claim is lost.
	GrantIfGone bool

	// Reason is kept in the record, for people who ask why a partition moved. Defaults to what the
	// store knows: that it was free, relinquished or taken from its owner.
	Reason string

	// Anew begins a new tenure of partitions that the store holds already, for a consumer that starts over: [Store.Start]
	// then returns the checkpoint as it is now, and what was begun under the earlier claim can no longer write it.
	// Defaults to false: such a claim renews.
	Anew bool

	// Avoid is the owner id of a member that is to be passed over for the claimed partitions, because it has not taken
	// what the plan gives it, or has failed. Each claim that wins puts a record that says so on the claimer's lease, in
	// the same transaction. [Store.Readmit] removes it. Defaults to none.
	Avoid string

	// Ops are etcd operations that are sent along with the claims, in the same transaction as far as the server's limits
	// allow, and applied whichever claims win. Defaults to none.
	Ops []clientv3.Op
}

// UpdateOptions changes how checkpoints are written.
type UpdateOptions struct {
	// Fence is the ownership under which the checkpoint is written, as this store's latest claim returned it. etcd
	// itself then rejects the write once the ownership is lost. Defaults to nil: last write wins, and a late copy of a
	// write that timed out may overwrite a newer one.
	Fence *Ownership

	// Ops are etcd operations that are applied together with the checkpoint or not at all. They must not touch the
	// group's own keys. Defaults to none.
	Ops []clientv3.Op

	// Release gives the partition up in the same transaction: whoever claims it next starts from this checkpoint. It
	// needs a Fence. The partition counts as given up by this store even if that fails, as with [Store.Release].
	// Defaults to false.
	Release bool
}
