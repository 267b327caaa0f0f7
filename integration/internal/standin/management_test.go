package standin_test

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/standin"
)

func TestProperties(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Hub: "Payments", Partitions: 3})
	server.Append("1", 2)
	ctx := testContext(t)
	client := newConsumer(t, server, "PAYMENTS", azeventhubs.DefaultConsumerGroup, noRetry) // names ignore case

	hub, err := client.GetEventHubProperties(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, "Payments", hub.Name)
	require.Equal(t, []string{"0", "1", "2"}, hub.PartitionIDs)
	require.False(t, hub.GeoReplicationEnabled)
	require.WithinDuration(t, time.Now(), hub.CreatedOn, time.Minute)

	events := receive(t, newReceiver(t, client, "1", fromEarliest), 2)
	partition, err := client.GetPartitionProperties(ctx, "1", nil)
	require.NoError(t, err)
	require.Equal(t, azeventhubs.PartitionProperties{
		EventHubName:               "Payments",
		PartitionID:                "1",
		LastEnqueuedSequenceNumber: 1,
		LastEnqueuedOffset:         events[1].Offset,
		LastEnqueuedOn:             *events[1].EnqueuedTime,
	}, partition)

	empty, err := client.GetPartitionProperties(ctx, "2", nil)
	require.NoError(t, err)
	require.True(t, empty.IsEmpty)
	require.Equal(t, int64(-1), empty.LastEnqueuedSequenceNumber)
	require.Equal(t, "-1", empty.LastEnqueuedOffset)
	require.True(t, empty.LastEnqueuedOn.IsZero())
}

func TestGrow(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 1, Events: 1})
	ctx := testContext(t)
	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, noRetry)
	server.Grow(3)
	hub, err := client.GetEventHubProperties(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"0", "1", "2"}, hub.PartitionIDs)
	server.Append("2", 1)
	requireGenerated(t, "2", 0, receive(t, newReceiver(t, client, "2", fromEarliest), 1))
	requireGenerated(t, "0", 0, receive(t, newReceiver(t, client, "0", fromEarliest), 1))
}

func TestHubConnectionString(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 1})
	client, err := azeventhubs.NewConsumerClientFromConnectionString(server.HubConnectionString(), "",
		azeventhubs.DefaultConsumerGroup, nil)
	require.NoError(t, err)
	ctx := testContext(t)
	hub, err := client.GetEventHubProperties(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, server.Hub(), hub.Name)
	require.NoError(t, client.Close(ctx))
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 2})
	ctx := testContext(t)
	const notFound = "The messaging entity"

	// The SDK takes these for fatal, so it does not try again although it may.
	stranger := newConsumer(t, server, "strangers", azeventhubs.DefaultConsumerGroup, retry)
	_, err := stranger.GetEventHubProperties(ctx, nil)
	require.ErrorContains(t, err, notFound)
	_, err = stranger.GetPartitionProperties(ctx, "0", nil)
	require.ErrorContains(t, err, notFound)
	_, err = newReceiver(t, stranger, "0", azeventhubs.PartitionClientOptions{}).ReceiveEvents(ctx, 1, nil)
	require.ErrorContains(t, err, notFound)
	require.ErrorContains(t, err, "amqp:not-found")
	producer := newProducer(t, server, "strangers")
	_, err = producer.NewEventDataBatch(ctx, nil)
	require.ErrorContains(t, err, "amqp:not-found")

	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, retry)
	_, err = client.GetPartitionProperties(ctx, "2", nil)
	require.ErrorContains(t, err, "between 0 and 1")
	_, err = newReceiver(t, client, "2", azeventhubs.PartitionClientOptions{}).ReceiveEvents(ctx, 1, nil)
	require.ErrorContains(t, err, "com.microsoft:argument-out-of-range")
}
