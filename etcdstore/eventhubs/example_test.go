package eventhubs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/url"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/etcdstore/eventhubs"
	"github.com/tenure-go/tenure/lease"
)

// Two consumers share a partition's ownership as the SDK's processors do. The one that lost it can no longer write its
// checkpoint.
func Example() {
	ctx := context.Background()
	endpoint, stop := startEtcd()
	defer stop()
	first, closeFirst := openStore(ctx, endpoint)
	defer closeFirst()
	second, closeSecond := openStore(ctx, endpoint)
	defer closeSecond()

	partition := azeventhubs.Ownership{
		FullyQualifiedNamespace: "contoso.servicebus.windows.net",
		EventHubName:            "orders",
		ConsumerGroup:           "billing",
		PartitionID:             "0",
		OwnerID:                 "first",
	}
	won, err := first.ClaimOwnership(ctx, []azeventhubs.Ownership{partition}, nil)
	fmt.Println("first claims:", len(won), err)

	sequenceNumber, offset := int64(41), "4100"
	checkpoint := azeventhubs.Checkpoint{
		FullyQualifiedNamespace: partition.FullyQualifiedNamespace,
		EventHubName:            partition.EventHubName,
		ConsumerGroup:           partition.ConsumerGroup,
		PartitionID:             partition.PartitionID,
		SequenceNumber:          &sequenceNumber,
		Offset:                  &offset,
	}
	fmt.Println("first writes:", first.SetCheckpoint(ctx, checkpoint, nil))

	// A claim without an etag loses, since there is an owner. One with the listed etag takes the partition away.
	partition.OwnerID = "second"
	won, err = second.ClaimOwnership(ctx, []azeventhubs.Ownership{partition}, nil)
	fmt.Println("second claims:", len(won), err)
	listed, err := second.ListOwnership(ctx, partition.FullyQualifiedNamespace, "Orders", "Billing", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("listed:", listed[0].EventHubName, listed[0].PartitionID, listed[0].OwnerID)
	listed[0].OwnerID = "second"
	won, err = second.ClaimOwnership(ctx, listed, nil)
	fmt.Println("second claims with the etag:", len(won), err)

	sequenceNumber, offset = 42, "4200"
	err = first.SetCheckpoint(ctx, checkpoint, nil)
	fmt.Println("first has lost the partition:", errors.Is(err, etcdstore.ErrOwnershipLost))
	checkpoints, err := second.ListCheckpoints(ctx, partition.FullyQualifiedNamespace, "orders", "billing", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("second starts after:", *checkpoints[0].SequenceNumber, *checkpoints[0].Offset)

	// Output:
	// first claims: 1 <nil>
	// first writes: <nil>
	// second claims: 0 <nil>
	// listed: Orders 0 first
	// second claims with the etag: 1 <nil>
	// first has lost the partition: true
	// second starts after: 41 4100
}

// The SDK's processor, unmodified, on etcd.
func ExampleNew() { //nolint:testableexamples // it needs an event hub
	ctx := context.Background()
	client, err := clientv3.New(clientv3.Config{
		Endpoints:            []string{"localhost:2379"},
		DialKeepAliveTime:    10 * time.Second,
		DialKeepAliveTimeout: 3 * time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = client.Close() }()
	keeper, err := lease.NewKeeper(ctx, client, &lease.Options{TTL: 10 * time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = keeper.Close(context.Background()) }()
	store, err := etcdstore.New(client, keeper, &etcdstore.Options{Prefix: "/tenure/v1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	consumerClient, err := azeventhubs.NewConsumerClientFromConnectionString(
		os.Getenv("EVENTHUB_CONNECTION_STRING"), "orders", azeventhubs.DefaultConsumerGroup, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = consumerClient.Close(context.Background()) }()

	checkpoints := eventhubs.New(store, nil)
	processor, err := azeventhubs.NewProcessor(consumerClient, checkpoints, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		for {
			partition := processor.NextPartitionClient(ctx)
			if partition == nil {
				return
			}
			go handle(ctx, partition)
		}
	}()
	if err := processor.Run(ctx); err != nil {
		fmt.Println(err)
		return
	}
}

func handle(ctx context.Context, partition *azeventhubs.ProcessorPartitionClient) {
	defer func() { _ = partition.Close(context.Background()) }()
	for {
		waiting, cancel := context.WithTimeout(ctx, time.Second)
		events, err := partition.ReceiveEvents(waiting, 100, nil)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if len(events) == 0 {
			continue
		}
		for _, event := range events {
			fmt.Printf("%s\n", event.Body)
		}
		if err := partition.UpdateCheckpoint(ctx, events[len(events)-1], nil); err != nil {
			log.Print(err) // of the errors, etcdstore.ErrCheckpointConflict alone leaves the partition ours
			return
		}
	}
}

// openStore is what each process does.
func openStore(ctx context.Context, endpoint string) (store *eventhubs.CheckpointStore, closeAll func()) {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		log.Fatal(err)
	}
	keeper, err := lease.NewKeeper(ctx, client, nil)
	if err != nil {
		log.Fatal(err)
	}
	records, err := etcdstore.New(client, keeper, nil)
	if err != nil {
		log.Fatal(err)
	}
	return eventhubs.New(records, nil), func() {
		_ = keeper.Close(ctx)
		_ = client.Close()
	}
}

// startEtcd runs an etcd for the example.
func startEtcd() (endpoint string, stop func()) {
	dir, err := os.MkdirTemp("", "tenure-example")
	if err != nil {
		log.Fatal(err)
	}
	cfg := embed.NewConfig()
	cfg.Dir = dir
	anyPort := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	cfg.ListenClientUrls, cfg.ListenPeerUrls = anyPort, anyPort
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(cfg)
	if err != nil {
		log.Fatal(err)
	}
	<-server.Server.ReadyNotify()
	return server.Clients[0].Addr().String(), func() {
		server.Close()
		_ = os.RemoveAll(dir)
	}
}
