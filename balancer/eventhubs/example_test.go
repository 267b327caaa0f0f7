package eventhubs_test

import (
	"context"
	"fmt"
	"log"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/balancer/eventhubs"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

// A program reads its share of a hub until it is told to stop. Directory example has it as a command.
func Example() {
	connectionString, endpoint, stop := startHubAndEtcd()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background()) // in a program: signal.NotifyContext
	defer cancel()

	etcd, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		log.Panic(err)
	}
	defer func() { _ = etcd.Close() }()
	keeper, err := lease.NewKeeper(ctx, etcd, nil)
	if err != nil {
		log.Panic(err)
	}
	store, err := etcdstore.New(etcd, keeper, nil)
	if err != nil {
		log.Panic(err)
	}
	hub, err := azeventhubs.NewConsumerClientFromConnectionString(
		connectionString, "", azeventhubs.DefaultConsumerGroup, nil)
	if err != nil {
		log.Panic(err)
	}
	defer func() { _ = hub.Close(context.Background()) }()

	handle := func(ctx context.Context, p *balancer.Partition, events []*azeventhubs.ReceivedEventData) error {
		for _, event := range events {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			fmt.Printf("partition %s, event %d: %s\n", p.ID(), event.SequenceNumber, event.Body)
			if event.SequenceNumber == 2 {
				cancel() // the program is told to stop
			}
		}
		return nil
	}
	group := etcdstore.Group{
		FullyQualifiedNamespace: "contoso.servicebus.windows.net",
		EventHubName:            "orders",
		ConsumerGroup:           azeventhubs.DefaultConsumerGroup,
	}
	consumer, err := eventhubs.NewConsumer(store, group, hub, handle, &eventhubs.Options{
		StartPositions: azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: new(true)}},
	})
	if err != nil {
		log.Panic(err)
	}
	fmt.Println("stopped:", consumer.Run(ctx))

	// Whoever has the partition next goes on from here.
	reader, err := etcdstore.New(etcd, nil, nil)
	if err != nil {
		log.Panic(err)
	}
	checkpoints, err := reader.ListCheckpoints(context.Background(), group.Fold())
	if err != nil {
		log.Panic(err)
	}
	fmt.Println("checkpoint:", *checkpoints[0].SequenceNumber)

	// Output:
	// partition 0, event 0: {"partition":"0","n":0}
	// partition 0, event 1: {"partition":"0","n":1}
	// partition 0, event 2: {"partition":"0","n":2}
	// stopped: <nil>
	// checkpoint: 2
}
