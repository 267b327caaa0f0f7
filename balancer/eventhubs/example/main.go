// Command example prints the events of an event hub. Start it as often as you like, anywhere: the processes share the
// hub's partitions.
//
//	export EVENTHUB_CONNECTION_STRING='Endpoint=sb://...;EntityPath=orders'
//	export ETCD_ENDPOINTS=localhost:2379
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/balancer/eventhubs"
	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/lease"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv("EVENTHUB_CONNECTION_STRING"), strings.Split(os.Getenv("ETCD_ENDPOINTS"), ","))
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, connectionString string, etcdEndpoints []string) error {
	hub, err := azeventhubs.NewConsumerClientFromConnectionString(
		connectionString, "", azeventhubs.DefaultConsumerGroup, nil)
	if err != nil {
		return fmt.Errorf("make the Event Hubs client: %w", err)
	}
	defer func() { _ = hub.Close(context.Background()) }()

	etcd, err := clientv3.New(clientv3.Config{
		Endpoints:            etcdEndpoints,
		DialKeepAliveTime:    10 * time.Second, // notices a connection that has died without a sign
		DialKeepAliveTimeout: 3 * time.Second,
	})
	if err != nil {
		return fmt.Errorf("make the etcd client: %w", err)
	}
	defer func() { _ = etcd.Close() }()
	keeper, err := lease.NewKeeper(ctx, etcd, nil)
	if err != nil {
		return err
	}
	defer func() { _ = keeper.Close(context.Background()) }()
	store, err := etcdstore.New(etcd, keeper, nil)
	if err != nil {
		return err
	}

	names, err := azeventhubs.ParseConnectionString(connectionString)
	if err != nil {
		return fmt.Errorf("read the connection string: %w", err)
	}
	consumer, err := eventhubs.NewConsumer(store, etcdstore.Group{
		FullyQualifiedNamespace: names.FullyQualifiedNamespace,
		EventHubName:            *names.EntityPath,
		ConsumerGroup:           azeventhubs.DefaultConsumerGroup,
	}, hub, handle, nil)
	if err != nil {
		return err
	}
	return consumer.Run(ctx)
}

func handle(ctx context.Context, p *balancer.Partition, events []*azeventhubs.ReceivedEventData) error {
	for _, event := range events {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fmt.Printf("%s %d %s\n", p.ID(), event.SequenceNumber, event.Body)
	}
	return nil
}
