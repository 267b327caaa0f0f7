// Command processor prints the events of an event hub. Start it as often as you like, anywhere: the processes share the
// hub's partitions.
//
//	export EVENTHUB_CONNECTION_STRING='Endpoint=sb://...;EntityPath=orders'
//	export STORAGE_CONNECTION_STRING='DefaultEndpointsProtocol=https;AccountName=...'
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv("EVENTHUB_CONNECTION_STRING"), os.Getenv("STORAGE_CONNECTION_STRING"))
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, connectionString, storage string) error {
	hub, err := azeventhubs.NewConsumerClientFromConnectionString(
		connectionString, "", azeventhubs.DefaultConsumerGroup, nil)
	if err != nil {
		return fmt.Errorf("make the Event Hubs client: %w", err)
	}
	defer func() { _ = hub.Close(context.Background()) }()

	blobs, err := container.NewClientFromConnectionString(storage, "checkpoints", nil)
	if err != nil {
		return fmt.Errorf("make the storage client: %w", err)
	}
	store, err := checkpoints.NewBlobStore(blobs, nil)
	if err != nil {
		return fmt.Errorf("make the checkpoint store: %w", err)
	}

	processor, err := azeventhubs.NewProcessor(hub, store, nil)
	if err != nil {
		return fmt.Errorf("make the processor: %w", err)
	}
	go func() {
		for {
			partition := processor.NextPartitionClient(ctx)
			if partition == nil {
				return
			}
			go consume(ctx, partition)
		}
	}()
	return processor.Run(ctx)
}

func consume(ctx context.Context, p *azeventhubs.ProcessorPartitionClient) {
	defer func() { _ = p.Close(context.Background()) }()
	for {
		waiting, cancel := context.WithTimeout(ctx, time.Second)
		events, err := p.ReceiveEvents(waiting, 300, nil)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			log.Printf("partition %s: %v", p.PartitionID(), err)
			return
		}
		if len(events) == 0 {
			continue
		}
		if err := handle(ctx, p, events); err != nil {
			log.Printf("partition %s: %v", p.PartitionID(), err)
			return
		}
		if err := p.UpdateCheckpoint(ctx, events[len(events)-1], nil); err != nil {
			log.Printf("partition %s: %v", p.PartitionID(), err)
			return
		}
	}
}

func handle(ctx context.Context, p *azeventhubs.ProcessorPartitionClient, events []*azeventhubs.ReceivedEventData) error {
	for _, event := range events {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fmt.Printf("%s %d %s\n", p.PartitionID(), event.SequenceNumber, event.Body)
	}
	return nil
}
