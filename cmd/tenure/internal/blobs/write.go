package blobs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"golang.org/x/sync/errgroup"

	"github.com/tenure-go/tenure/etcdstore"
)

// writesAtOnce is how many blobs are written at a time.
const writesAtOnce = 16

// Check reports checkpoints that no client could read.
func Check(all []etcdstore.Checkpoint) error {
	var problems []error
	for _, c := range all {
		switch {
		case c.SequenceNumber == nil:
			problems = append(problems, fmt.Errorf("the checkpoint of partition %q has no sequence number", c.PartitionID))
		case c.Offset == nil:
			problems = append(problems, fmt.Errorf("the checkpoint of partition %q has no offset", c.PartitionID))
		}
	}
	return errors.Join(problems...)
}

// Write writes checkpoints as the client for Go does, in names that are those of the group as they are given. progress
// is told how many are written. What was written before an error stays: each blob stands for itself.
func (c *Container) Write(
	ctx context.Context, names etcdstore.Group, all []etcdstore.Checkpoint, progress func(done int),
) error {
	store, err := checkpoints.NewBlobStore(c.client, nil)
	if err != nil {
		return fmt.Errorf("make the blob store: %w", err)
	}
	var done atomic.Int64
	writing, ctx := errgroup.WithContext(ctx)
	writing.SetLimit(writesAtOnce)
	for _, one := range all {
		writing.Go(func() error {
			err := store.SetCheckpoint(ctx, azeventhubs.Checkpoint{
				FullyQualifiedNamespace: names.FullyQualifiedNamespace,
				EventHubName:            names.EventHubName,
				ConsumerGroup:           names.ConsumerGroup,
				PartitionID:             one.PartitionID,
				SequenceNumber:          one.SequenceNumber,
				Offset:                  one.Offset,
			}, nil)
			if err != nil {
				return fmt.Errorf("partition %s: %w", one.PartitionID, c.explain(ctx, err))
			}
			progress(int(done.Add(1)))
			return nil
		})
	}
	return writing.Wait() //nolint:wrapcheck // The error names the partition.
}
