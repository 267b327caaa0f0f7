package consume

import (
	"context"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestParsePosition(t *testing.T) {
	t.Parallel()
	yes, offset, number := true, "12:x", int64(0)
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]azeventhubs.StartPosition{
		"earliest":             {Earliest: &yes},
		"latest":               {Latest: &yes},
		"offset:12:x":          {Offset: &offset, Inclusive: true},
		"sequence:0":           {SequenceNumber: &number, Inclusive: true},
		"2026-05-01T12:00:00Z": {EnqueuedTime: &at, Inclusive: true},
	} {
		got, err := ParsePosition(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		require.Equal(t, text == "offset:12:x", isUnusualOffset(got), text)
	}
	for _, text := range []string{
		"", "first", "offset:", "offset:1' or '1", "sequence:", "sequence:x", "earliest:1", "2026-05-01",
	} {
		_, err := ParsePosition(text)
		require.ErrorContains(t, err, "is none of earliest", text)
	}
	for _, text := range []string{"sequence:-1", "offset:-2"} {
		_, err := ParsePosition(text)
		require.ErrorContains(t, err, text+" is before any event: the number must be 0 or more")
	}
}

// listedStore lists checkpoints and does nothing else.
type listedStore struct {
	azeventhubs.CheckpointStore

	listed []azeventhubs.Checkpoint
}

func (s listedStore) ListCheckpoints(
	context.Context, string, string, string, *azeventhubs.ListCheckpointsOptions,
) ([]azeventhubs.Checkpoint, error) {
	return s.listed, nil
}

func TestRefusedStart(t *testing.T) {
	t.Parallel()
	core, logged := observer.New(zap.InfoLevel)
	log := zap.New(core)
	offset := "4711"
	points := &startingPoints{from: "sequence:99", log: log,
		CheckpointStore: listedStore{listed: []azeventhubs.Checkpoint{{
			FullyQualifiedNamespace: "NS.servicebus.windows.net", EventHubName: "Orders", ConsumerGroup: "$Default",
			PartitionID: "0", Offset: &offset,
		}}}}
	_, err := points.ListCheckpoints(t.Context(), "ns", "orders", "$Default", nil)
	require.NoError(t, err)
	sdk := &SDKLog{log: log}
	refused := refusedStart(points.refused)
	sdk.refused.Store(&refused)

	const condition = "*Error{Condition: com.microsoft:argument-error, Description: past the end}"
	sdk.hear("azeh.Consumer", "failed to create partition client for partition '0': "+condition)
	sdk.hear("azeh.Consumer", "failed to create partition client for partition '1': "+condition)
	sdk.hear("azeh.Consumer", "failed to create partition client for partition '1': something else")
	sdk.hear("azeh.Consumer", "Failed to relinquish ownerships. New processors will have to wait: why")
	sdk.hear("azeh.Consumer", "anything else")

	entries := logged.TakeAll()
	require.Len(t, entries, 4)
	for i, level := range []string{"error", "error", "warn", "warn"} {
		require.Equal(t, level, entries[i].Level.String())
	}
	fields := entries[0].ContextMap()
	require.Equal(t, "0", fields["partition"])
	require.Equal(t, "checkpoint", fields["start"])
	require.Equal(t, "4711", fields["start_offset"])
	require.Equal(t, condition, fields["error"])
	require.Contains(t, fields["remedy"],
		"tenure checkpoint delete 'ns.servicebus.windows.net/orders/$default' '0'")
	fields = entries[1].ContextMap()
	require.Equal(t, "1", fields["partition"])
	require.Equal(t, "sequence:99", fields["start"])
	require.Contains(t, fields["remedy"], "--from")
}
