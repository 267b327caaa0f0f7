package consume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/tenure-go/tenure/balancer/eventhubs"
	"github.com/tenure-go/tenure/etcdstore"
)

// Past is the last event of a partition before a time: what a checkpoint has to name for handling to go on with the
// first one that was enqueued then or later. A zero time stands for now: all that there is counts as handled. The
// offset is nil where only the sequence number is known.
func (c *Client) Past(ctx context.Context, partition string, at time.Time) (sequence int64, offset *string, err error) {
	bounded, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	properties, err := c.GetPartitionProperties(bounded, partition, nil)
	if err != nil {
		return 0, nil, c.explain(err)
	}
	last := properties.LastEnqueuedSequenceNumber
	switch {
	case properties.IsEmpty:
		return last, nil, nil
	case at.IsZero(), properties.LastEnqueuedOn.Before(at):
		return last, &properties.LastEnqueuedOffset, nil
	}
	// An inclusive position has not been seen to leave out an event of that very moment.
	link, err := c.NewPartitionClient(partition, &azeventhubs.PartitionClientOptions{
		StartPosition: azeventhubs.StartPosition{EnqueuedTime: &at, Inclusive: true},
	})
	if err != nil {
		return 0, nil, fmt.Errorf("make the partition's client: %w", err)
	}
	events, err := link.ReceiveEvents(bounded, 1, nil)
	closing, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	_ = link.Close(closing) // Nothing was written to it.
	switch {
	case err != nil:
		return 0, nil, c.explain(err)
	case len(events) == 0:
		return 0, nil, errors.New("partition " + partition + " has sent no event since then, and has one")
	}
	return events[0].SequenceNumber - 1, nil, nil
}

// Behind returns how many events of a partition come after a checkpoint, or how many there are if there is none.
func (c *Client) Behind(ctx context.Context, partition string, after *etcdstore.Checkpoint) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, hubTimeout)
	defer cancel()
	lag, err := eventhubs.Lag(ctx, c.ConsumerClient, partition, after)
	if err != nil {
		return 0, c.explain(err)
	}
	return lag, nil
}
