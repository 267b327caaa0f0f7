// Command seed copies the checkpoints of a consumer group from the blob store to etcd. Run it while nobody reads the
// group: a checkpoint of a partition that somebody owns in etcd is refused.
//
//	export EVENTHUB_CONNECTION_STRING='Endpoint=sb://...;EntityPath=orders'
//	export STORAGE_CONNECTION_STRING='DefaultEndpointsProtocol=https;AccountName=...'
//	export ETCD_ENDPOINTS=localhost:2379
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/etcdstore/eventhubs"
)

func main() {
	err := run(context.Background(), os.Getenv("EVENTHUB_CONNECTION_STRING"), os.Getenv("STORAGE_CONNECTION_STRING"),
		strings.Split(os.Getenv("ETCD_ENDPOINTS"), ","))
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, connectionString, storage string, etcdEndpoints []string) error {
	blobs, err := container.NewClientFromConnectionString(storage, "checkpoints", nil)
	if err != nil {
		return fmt.Errorf("make the storage client: %w", err)
	}
	from, err := checkpoints.NewBlobStore(blobs, nil)
	if err != nil {
		return fmt.Errorf("make the blob store: %w", err)
	}
	etcd, err := clientv3.New(clientv3.Config{Endpoints: etcdEndpoints})
	if err != nil {
		return fmt.Errorf("make the etcd client: %w", err)
	}
	defer func() { _ = etcd.Close() }()
	store, err := etcdstore.New(etcd, nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = store.Close(ctx) }()
	to := eventhubs.New(store, nil)

	names, err := azeventhubs.ParseConnectionString(connectionString)
	if err != nil {
		return fmt.Errorf("read the connection string: %w", err)
	}
	found, err := from.ListCheckpoints(
		ctx, names.FullyQualifiedNamespace, *names.EntityPath, azeventhubs.DefaultConsumerGroup, nil)
	if err != nil {
		return fmt.Errorf("list the checkpoints: %w", err)
	}
	for _, checkpoint := range found {
		if err := to.SetCheckpoint(ctx, checkpoint, nil); err != nil {
			return fmt.Errorf("write the checkpoint of partition %s: %w", checkpoint.PartitionID, err)
		}
	}
	fmt.Printf("%d checkpoints copied\n", len(found))
	return nil
}
