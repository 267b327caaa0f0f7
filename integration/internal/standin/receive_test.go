package standin_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/standin"
)

var (
	earliest     = azeventhubs.StartPosition{Earliest: new(true)}
	fromEarliest = azeventhubs.PartitionClientOptions{StartPosition: earliest}
)

func TestReceiveEarliest(t *testing.T) {
	t.Parallel()
	const partitions, each = 4, 2500
	server := standin.Start(t, standin.Options{Partitions: partitions, Events: partitions * each, BodySize: 200})
	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, noRetry)
	for p := range partitions {
		partition := strconv.Itoa(p)
		events := receive(t, newReceiver(t, client, partition, fromEarliest), each)
		requireGenerated(t, partition, 0, events)
		require.Len(t, events[0].Body, 200)
		require.Equal(t, map[string]any{"source": "standin", "tens": int64(3)}, events[30].Properties)
		require.Nil(t, events[30].PartitionKey)
		require.Equal(t, int64(each), server.Stats()[p].Sent)
	}
}

func TestStartPositions(t *testing.T) {
	t.Parallel()
	const last = 499
	server := standin.Start(t, standin.Options{Partitions: 1, Events: last + 1})
	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, noRetry)
	all := receive(t, newReceiver(t, client, "0", fromEarliest), last+1)
	at := all[100]
	require.NotEqual(t, "100", at.Offset) // an offset is not a sequence number

	for name, start := range map[string]struct {
		position azeventhubs.StartPosition
		first    int64
	}{
		"offset":               {azeventhubs.StartPosition{Offset: &at.Offset}, 101},
		"offset inclusive":     {azeventhubs.StartPosition{Offset: &at.Offset, Inclusive: true}, 100},
		"sequence":             {azeventhubs.StartPosition{SequenceNumber: new(int64(100))}, 101},
		"sequence inclusive":   {azeventhubs.StartPosition{SequenceNumber: new(int64(100)), Inclusive: true}, 100},
		"sequence beginning":   {azeventhubs.StartPosition{SequenceNumber: new(int64(-1))}, 0},
		"time":                 {azeventhubs.StartPosition{EnqueuedTime: at.EnqueuedTime}, 101},
		"time inclusive":       {azeventhubs.StartPosition{EnqueuedTime: at.EnqueuedTime, Inclusive: true}, 100},
		"time long ago":        {azeventhubs.StartPosition{EnqueuedTime: new(time.Unix(0, 0))}, 0},
		"last offset included": {azeventhubs.StartPosition{Offset: &all[last].Offset, Inclusive: true}, last},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := newReceiver(t, client, "0", azeventhubs.PartitionClientOptions{StartPosition: start.position})
			requireGenerated(t, "0", start.first, receive(t, receiver, 1))
		})
	}

	// As after the hub was deleted and made again, with the old checkpoints still there.
	for name, position := range map[string]azeventhubs.StartPosition{
		"offset past the end":   {Offset: new("99999999")},
		"sequence past the end": {SequenceNumber: new(int64(last + 1))},
		"opaque offset":         {Offset: new("opaque")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			receiver := newReceiver(t, client, "0", azeventhubs.PartitionClientOptions{StartPosition: position})
			_, err := receiver.ReceiveEvents(testContext(t), 1, nil)
			require.ErrorContains(t, err, "com.microsoft:argument-error")
		})
	}
}

func TestReceiveLatest(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 2, Events: 20})
	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, noRetry)
	receiver := newReceiver(t, client, "1", azeventhubs.PartitionClientOptions{}) // latest is the SDK's default

	var events []*azeventhubs.ReceivedEventData
	var err error
	var received sync.WaitGroup
	ctx := testContext(t)
	received.Go(func() { events, err = receiver.ReceiveEvents(ctx, 5, nil) })
	requireLinks(t, server, 1, 1)
	server.Append("0", 5)
	server.Append("1", 5)
	received.Wait()
	require.NoError(t, err)
	require.Len(t, events, 5)
	requireGenerated(t, "1", 10, events)
}

func TestReceiveWhileAppending(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 2, AppendRate: 2000})
	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, noRetry)
	receiver := newReceiver(t, client, "0", fromEarliest)
	requireGenerated(t, "0", 0, receive(t, receiver, 1000))
}

// TestCredit shows that a receiver gets no more than it has given credit for.
func TestCredit(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 1, Events: 1000})
	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, noRetry)
	receiver := newReceiver(t, client, "0",
		azeventhubs.PartitionClientOptions{StartPosition: earliest, Prefetch: -1}) // credit only as asked for
	requireGenerated(t, "0", 0, receive(t, receiver, 10))
	server.Append("", 10)
	require.Equal(t, int64(10), server.Stats()[0].Sent)
	requireGenerated(t, "0", 10, receive(t, receiver, 700))
	require.Equal(t, int64(710), server.Stats()[0].Sent)
}

func TestEpochs(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 1, Events: 1})
	// One event only, so that a receiver whose link is stolen has nothing buffered to return before the error.
	attach := func(t *testing.T, group string, level *int64) *azeventhubs.PartitionClient {
		t.Helper()
		return newReceiver(t, newConsumer(t, server, "orders", group, noRetry), "0",
			azeventhubs.PartitionClientOptions{StartPosition: earliest, OwnerLevel: level})
	}
	requireLost := func(receiver *azeventhubs.PartitionClient) {
		_, err := receiver.ReceiveEvents(testContext(t), 1, nil)
		requireCode(t, err, azeventhubs.ErrorCodeOwnershipLost)
	}

	shared := []*azeventhubs.PartitionClient{attach(t, "a", nil), attach(t, "a", nil)}
	for _, receiver := range shared {
		receive(t, receiver, 1)
	}
	other := attach(t, "b", new(int64(7)))
	receive(t, other, 1)
	require.Equal(t, standin.PartitionStats{ID: "0", Sent: 3, Links: 3}, server.Stats()[0])

	first := attach(t, "A", new(int64(0))) // group names ignore case, and 0 is an epoch
	receive(t, first, 1)
	for _, receiver := range shared {
		requireLost(receiver)
	}

	equal := attach(t, "a", new(int64(0)))
	receive(t, equal, 1)
	requireLost(first)

	higher := attach(t, "a", new(int64(2)))
	receive(t, higher, 1)
	requireLost(equal)

	for _, level := range []*int64{nil, new(int64(1))} {
		_, err := attach(t, "a", level).ReceiveEvents(testContext(t), 1, nil)
		require.ErrorContains(t, err, "amqp:link:stolen")
	}
	stats := server.Stats()[0]
	require.Equal(t, 4, stats.Steals)
	require.Equal(t, 2, stats.Links)
	attached := server.Receivers()
	require.Len(t, attached, 2)
	require.NotEmpty(t, attached[0].Name)
	attached[0].Name, attached[1].Name = "", "" // each a random UUID
	require.Equal(t, []standin.Receiver{
		{Partition: "0", Group: "b", Epoch: new(int64(7))}, {Partition: "0", Group: "a", Epoch: new(int64(2))},
	}, attached)

	server.Append("0", 1)
	requireGenerated(t, "0", 1, receive(t, higher, 1))
	requireGenerated(t, "0", 1, receive(t, other, 1))

	require.NoError(t, higher.Close(testContext(t)))
	requireLinks(t, server, 0, 1)
	receive(t, attach(t, "a", nil), 1) // the epoch goes with its link
}

// TestFaults shows that the SDK goes on after the service's faults, from where it was.
func TestFaults(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 1, Events: 100})
	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, retry)
	receiver := newReceiver(t, client, "0", fromEarliest)
	requireGenerated(t, "0", 0, receive(t, receiver, 100))

	require.Equal(t, 1, server.DetachLinks())
	server.Append("0", 100)
	requireGenerated(t, "0", 100, receive(t, receiver, 100))

	require.Equal(t, 1, server.DropConnections())
	requireLinks(t, server, 0, 0)
	server.Append("0", 100)
	requireGenerated(t, "0", 200, receive(t, receiver, 100))
	require.Equal(t, int64(300), server.Stats()[0].Sent)
}

func TestStop(t *testing.T) {
	t.Parallel()
	server := standin.Start(t, standin.Options{Partitions: 1, Events: 1})
	client := newConsumer(t, server, "orders", azeventhubs.DefaultConsumerGroup, noRetry)
	receiver := newReceiver(t, client, "0", fromEarliest)
	receive(t, receiver, 1)
	server.Stop()
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := receiver.ReceiveEvents(ctx, 1, nil)
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

// BenchmarkReceive measures the unmodified SDK against the server: 16 partitions, events of some 200 bytes.
func BenchmarkReceive(b *testing.B) {
	const partitions, events = 16, 200_000
	server := standin.Start(b, standin.Options{Partitions: partitions, Events: events, BodySize: 200})
	for b.Loop() {
		client, err := azeventhubs.NewConsumerClientFromConnectionString(server.ConnectionString(), "orders",
			azeventhubs.DefaultConsumerGroup, nil)
		require.NoError(b, err)
		var received sync.WaitGroup
		for p := range partitions {
			received.Go(func() {
				if err := drain(b.Context(), client, strconv.Itoa(p), events/partitions); err != nil {
					b.Error(err)
				}
			})
		}
		received.Wait()
		require.NoError(b, client.Close(context.Background()))
	}
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func drain(ctx context.Context, client *azeventhubs.ConsumerClient, partition string, count int) error {
	receiver, err := client.NewPartitionClient(partition, &fromEarliest)
	if err != nil {
		return fmt.Errorf("attach to partition %s: %w", partition, err)
	}
	for got := 0; got < count; {
		events, err := receiver.ReceiveEvents(ctx, min(count-got, 100), nil)
		if err != nil {
			return fmt.Errorf("receive from partition %s: %w", partition, err)
		}
		got += len(events)
	}
	if err := receiver.Close(ctx); err != nil {
		return fmt.Errorf("detach from partition %s: %w", partition, err)
	}
	return nil
}
