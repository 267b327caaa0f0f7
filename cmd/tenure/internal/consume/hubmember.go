package consume

import (
	"context"
	"fmt"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/balancer/eventhubs"
)

// HubConfig says which event hub a member is to consume and how. Its group is the hub's, [Client.Group].
type HubConfig struct {
	MemberConfig

	Client *Client

	// From is where a partition without a checkpoint begins, as [ParsePosition] reads it.
	From string
}

// RunHub consumes an event hub as a member of its group until ctx ends and returns nil then, when everything printed
// has been checkpointed and the partitions have been given up. It ends by itself with the error of the output, or with
// that of [eventhubs.Consumer.Run].
func RunHub(ctx context.Context, config HubConfig) error {
	from, err := ParsePosition(config.From)
	if err != nil {
		return err
	}
	c := &hubConsumer{memberConsumer{MemberConfig: config.MemberConfig}}
	c.Balancer.Events.CheckpointRejected = func(balancer.Event) { c.printer.rejected.Add(1) }
	consumer, err := eventhubs.NewConsumer(config.Store, config.Group, config.Client.ConsumerClient, c.handle,
		&eventhubs.Options{
			Balancer:           c.Balancer,
			StartPositions:     azeventhubs.StartPositions{Default: from},
			CheckpointCount:    c.CheckpointCount,
			CheckpointInterval: c.CheckpointInterval,
		})
	if err != nil {
		return fmt.Errorf("make the consumer: %w", err)
	}
	config.Made(consumer.Member())
	return c.run(ctx, consumer.Run)
}

// hubConsumer is one RunHub.
type hubConsumer struct{ memberConsumer }

// handle prints a batch, which is done with, and may be checkpointed, when the reader of a pipe has taken it.
func (c *hubConsumer) handle(
	ctx context.Context, owned *balancer.Partition, received []*azeventhubs.ReceivedEventData,
) error {
	if err := c.printer.printAll(fromHubAll(owned.ID(), received)); err != nil {
		return err
	}
	return c.printer.out.awaitRead(ctx)
}
