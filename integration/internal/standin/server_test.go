package standin_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/standin"
)

func TestEarliest(t *testing.T) {
	server := standin.Start(t, standin.Options{Partitions: 2, Events: 2000})
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	client, err := azeventhubs.NewConsumerClientFromConnectionString(server.ConnectionString(), "orders", "$Default", nil)
	require.NoError(t, err)
	props, err := client.GetEventHubProperties(ctx, nil)
	require.NoError(t, err)
	t.Log(props)
	pp, err := client.GetPartitionProperties(ctx, "1", nil)
	require.NoError(t, err)
	t.Log(pp)
	pc, err := client.NewPartitionClient("1", &azeventhubs.PartitionClientOptions{StartPosition: azeventhubs.StartPosition{Earliest: to.Ptr(true)}})
	require.NoError(t, err)
	events, err := pc.ReceiveEvents(ctx, 1000, nil)
	require.NoError(t, err)
	require.Len(t, events, 1000)
	for i, e := range events {
		require.Equal(t, int64(i), e.SequenceNumber)
		var body standin.Body
		require.NoError(t, json.Unmarshal(e.Body, &body))
		require.Equal(t, standin.Body{Partition: "1", N: int64(i)}, body)
	}
	t.Logf("%+v %v", events[999], server.Stats())
	require.NoError(t, pc.Close(ctx))
	require.NoError(t, client.Close(ctx))
}
