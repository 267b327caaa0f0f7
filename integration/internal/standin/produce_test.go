package standin_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/standin"
)

func newProducer(t *testing.T, server *standin.Server, hub string) *azeventhubs.ProducerClient {
	t.Helper()
	producer, err := azeventhubs.NewProducerClientFromConnectionString(server.ConnectionString(), hub,
		&azeventhubs.ProducerClientOptions{RetryOptions: retry})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, producer.Close(context.Background())) })
	return producer
}

func send(
	t *testing.T, producer *azeventhubs.ProducerClient, options azeventhubs.EventDataBatchOptions,
	events ...*azeventhubs.EventData,
) {
	t.Helper()
	ctx := testContext(t)
	batch, err := producer.NewEventDataBatch(ctx, &options)
	require.NoError(t, err)
	for _, event := range events {
		require.NoError(t, batch.AddEventData(event, nil))
	}
	require.NoError(t, producer.SendEventDataBatch(ctx, batch, nil))
}

func TestProduceToPartition(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 2, Events: 2})
	producer := newProducer(t, server, "orders")
	sent := []*azeventhubs.EventData{
		{
			Body:          []byte("first"),
			ContentType:   new("text/plain"),
			CorrelationID: "c",
			MessageID:     new("m"),
			// Types that JavaScript has no match for arrive as they were sent.
			Properties: map[string]any{"long": int64(1 << 60), "int": int32(-1), "float": 1.5, "text": "t", "on": true},
		},
		{Body: bytes.Repeat([]byte("large "), 100_000)}, // many frames
		{Body: []byte{}},
	}
	send(t, producer, azeventhubs.EventDataBatchOptions{PartitionID: new("1")}, sent...)

	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, noRetry)
	got := receive(t, newReceiver(t, client, "1", fromEarliest), 1+len(sent))
	for i, event := range sent {
		received := got[1+i]
		require.Equal(t, int64(1+i), received.SequenceNumber)
		require.WithinDuration(t, time.Now(), *received.EnqueuedTime, time.Minute)
		require.Empty(t, received.PartitionKey)
		require.Equal(t, event.Properties, received.Properties)
		require.True(t, bytes.Equal(event.Body, received.Body))
		require.Equal(t, event.ContentType, received.ContentType)
		require.Equal(t, event.CorrelationID, received.CorrelationID)
		if event.MessageID != nil {
			require.Equal(t, event.MessageID, received.MessageID)
		}
	}
}

func TestProduceToHub(t *testing.T) {
	t.Parallel()
	const partitions, keys = 4, 32
	server := standin.Start(t, standin.Options{Partitions: partitions})
	producer := newProducer(t, server, "orders")
	for i := range 2 * partitions {
		send(t, producer, azeventhubs.EventDataBatchOptions{}, &azeventhubs.EventData{Body: fmt.Append(nil, i)})
	}
	for _, stats := range server.Stats() {
		require.Equal(t, int64(1), stats.LastSequenceNumber, "in turn")
	}

	for i := range 2 * keys {
		key := fmt.Sprint("key ", i%keys)
		event := &azeventhubs.EventData{Body: []byte(key)}
		send(t, producer, azeventhubs.EventDataBatchOptions{PartitionKey: &key}, event, event)
	}
	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, noRetry)
	home := map[string]string{}
	total := 0
	for _, stats := range server.Stats() {
		count := int(stats.LastSequenceNumber) + 1
		receiver := newReceiver(t, client, stats.ID, fromEarliest)
		for _, event := range receive(t, receiver, count)[2:] {
			require.Equal(t, string(event.Body), *event.PartitionKey)
			if at, known := home[*event.PartitionKey]; known {
				require.Equal(t, at, stats.ID, "events of one key belong in one partition")
			}
			home[*event.PartitionKey] = stats.ID
			total++
		}
	}
	require.Equal(t, 4*keys, total)
	require.Len(t, home, keys)
}
