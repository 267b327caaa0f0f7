package eventhubs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
)

// Handler handles events of one partition, in their order and never none, and returns nil when all of them are done. It
// is called for one batch of a partition at a time, and for several partitions at once.
//
// When ctx ends it must begin nothing more and return within a tenth of the lease's TTL, at least 200 ms. ctx.Err looks
// at the clock: ask it before each event. [context.Cause] tells why it ended. [balancer.Partition.Draining] says that
// the next owner waits for the batch to be done; to return early with nil would count the rest as handled.
//
// If it returns an error, what it handled before is checkpointed, and the batch that failed comes again after a while.
// If it panics, the partition begins again after its last checkpoint.
type Handler func(ctx context.Context, p *balancer.Partition, events []*azeventhubs.ReceivedEventData) error

// Consumer reads its share of an event hub's partitions and hands their events to a handler.
type Consumer struct {
	client  *azeventhubs.ConsumerClient
	group   etcdstore.Group
	handler Handler
	options Options
	log     *zap.Logger
	member  *balancer.Member
	readers sync.WaitGroup
}

// NewConsumer returns a consumer that is to work in a group. The store has a keeper that nothing else uses. The group
// names what the client was made for, which the SDK does not tell: its namespace in full, its hub and its consumer
// group. Their case does not matter. Nothing is sent before [Consumer.Run].
//
// Bad arguments are reported together, as [etcdstore.ErrInvalidArgument].
func NewConsumer(
	store *etcdstore.Store, group etcdstore.Group, client *azeventhubs.ConsumerClient, handler Handler, options *Options,
) (*Consumer, error) {
	filled, err := options.withDefaults(client)
	if client == nil {
		err = errors.Join(err, &etcdstore.ArgumentError{Field: "client", Value: "nil", Want: "an Event Hubs client"})
	}
	if handler == nil {
		err = errors.Join(err, &etcdstore.ArgumentError{Field: "handler", Value: "nil", Want: "a function"})
	}
	c := &Consumer{
		client:  client,
		group:   group.Fold(),
		handler: handler,
		options: filled,
		log:     filled.Balancer.Logger,
	}
	if filled.Balancer.Lag == nil && client != nil {
		filled.Balancer.Lag = func(ctx context.Context, partition string, after *etcdstore.Checkpoint) (int64, error) {
			return Lag(ctx, client, partition, after)
		}
	}
	member, memberErr := balancer.New(store, c.group, c.partitions, c.handle, &filled.Balancer)
	if err = errors.Join(err, memberErr); err != nil {
		return nil, err
	}
	c.member = member
	return c, nil
}

// Member returns the consumer as a member of its group: its owner id, its metrics and its health. Running it is up to
// [Consumer.Run].
func (c *Consumer) Member() *balancer.Member { return c.member }

// Run joins the group and consumes until ctx ends, then finishes the batches in hand, checkpoints them, gives its
// partitions up, closes the store's keeper and returns nil. The client stays open and is the caller's to close.
//
// It returns an error if it cannot go on: those of [balancer.Member.Run], such as [etcdstore.ErrOwnerInUse], and at the
// start what Event Hubs says when it is asked for the hub's partitions.
func (c *Consumer) Run(ctx context.Context) error {
	defer c.readers.Wait()
	return c.member.Run(ctx)
}

// partitions is the balancer's source.
func (c *Consumer) partitions(ctx context.Context) ([]string, error) {
	hub, err := c.client.GetEventHubProperties(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the partitions of event hub %s: %w", c.group.EventHubName, err)
	}
	if !strings.EqualFold(hub.Name, c.group.EventHubName) {
		return nil, fmt.Errorf("the group names event hub %s, but the client is for %s", c.group.EventHubName, hub.Name)
	}
	return hub.PartitionIDs, nil
}

// handle is the balancer's handler.
func (c *Consumer) handle(ctx context.Context, p *balancer.Partition) error {
	r, err := c.newReader(p)
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	c.readers.Go(func() { r.run(reading) })
	return c.newDelivery(p, r).run(ctx)
}
