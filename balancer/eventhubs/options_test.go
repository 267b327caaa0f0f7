package eventhubs

import (
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
)

// connectionString opens nothing.
const connectionString = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=a2V5;" +
	"EntityPath=orders"

func newClient(t *testing.T) *azeventhubs.ConsumerClient {
	t.Helper()
	client, err := azeventhubs.NewConsumerClientFromConnectionString(connectionString, "",
		azeventhubs.DefaultConsumerGroup, &azeventhubs.ConsumerClientOptions{InstanceID: "me"})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close(context.Background())) })
	return client
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	filled, err := (*Options)(nil).withDefaults(newClient(t))
	require.NoError(t, err)
	require.NotNil(t, filled.Balancer.Logger)
	filled.Balancer.Logger = nil
	require.Equal(t, Options{
		Balancer:           balancer.Options{OwnerID: "me"},
		BatchSize:          300,
		BatchWait:          5 * time.Millisecond,
		CheckpointInterval: 5 * time.Second,
		CheckpointCount:    1000,
	}, filled)
}

func TestOptionsAreNotChanged(t *testing.T) {
	t.Parallel()
	given := &Options{Balancer: balancer.Options{OwnerID: "another"}, Prefetch: -1, BatchSize: 5000}
	filled, err := given.withDefaults(newClient(t))
	require.NoError(t, err)
	require.Equal(t, "another", filled.Balancer.OwnerID)
	require.Equal(t, &Options{Balancer: balancer.Options{OwnerID: "another"}, Prefetch: -1, BatchSize: 5000}, given)
}

func TestEveryProblemIsReported(t *testing.T) {
	t.Parallel()
	two := azeventhubs.StartPosition{Earliest: new(true), Offset: new("7")}
	consumer, err := NewConsumer(nil, etcdstore.Group{}, newClient(t), nil, &Options{
		StartPositions: azeventhubs.StartPositions{
			Default:      two,
			PerPartition: map[string]azeventhubs.StartPosition{"3": two},
		},
		BatchSize:          -1,
		BatchWait:          -1,
		Prefetch:           5001,
		CheckpointInterval: -1,
		CheckpointCount:    -1,
	})
	require.Nil(t, consumer)
	require.ErrorIs(t, err, etcdstore.ErrInvalidArgument)
	for _, problem := range []string{
		"handler is", "Options.BatchSize is", "Options.BatchWait is", "Options.Prefetch is",
		"Options.CheckpointInterval is", "Options.CheckpointCount is",
		`Options.StartPositions.Default is "after offset 7 and at the earliest event"`,
		`Options.StartPositions.PerPartition["3"] is`,
		"store",
	} {
		require.ErrorContains(t, err, problem)
	}

	_, err = NewConsumer(nil, etcdstore.Group{}, nil, nil, &Options{Prefetch: -1, BatchSize: 5001})
	require.ErrorContains(t, err, "client is")
	require.ErrorContains(t, err, "at most 5000 without a prefetch")
	var argument *etcdstore.ArgumentError
	require.ErrorAs(t, err, &argument)
}
