package eventhubs

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/tenure-go/tenure/etcdstore"
)

// Lag asks Event Hubs how many events of a partition come after a checkpoint, or how many there are if it is nil. What
// the service has dropped does not count: nobody can catch up with it. A checkpoint that has only an offset counts as
// none. The client may be of any consumer group.
func Lag(
	ctx context.Context, client *azeventhubs.ConsumerClient, partition string, after *etcdstore.Checkpoint,
) (int64, error) {
	properties, err := client.GetPartitionProperties(ctx, partition, nil)
	switch {
	case err != nil:
		return 0, fmt.Errorf("ask for the end of partition %s: %w", partition, err)
	case properties.IsEmpty:
		return 0, nil
	}
	before := properties.BeginningSequenceNumber - 1
	if after != nil && after.SequenceNumber != nil {
		before = max(before, *after.SequenceNumber)
	}
	return max(0, properties.LastEnqueuedSequenceNumber-before), nil
}
