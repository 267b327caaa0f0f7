package eventhubs

import (
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
)

func TestAfterACheckpoint(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sequenceNumber *int64
		offset         *string
		want           string
	}{
		"offset and sequence number": {new(int64(7)), new("4200"), "after offset 4200"},
		"offset":                     {nil, new("opaque:1"), "after offset opaque:1"},
		"empty offset":               {new(int64(7)), new(""), "after offset "},
		"sequence number":            {new(int64(7)), nil, "after sequence number 7"},
		"zero":                       {new(int64(0)), nil, "after sequence number 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := after(test.sequenceNumber, test.offset)
			require.Equal(t, test.want, describe(start))
			require.False(t, isLatest(start))
			require.False(t, start.Inclusive)
		})
	}
}

func TestStartWithoutACheckpoint(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	starts := azeventhubs.StartPositions{
		PerPartition: map[string]azeventhubs.StartPosition{
			"earliest": {Earliest: new(true)},
			"latest":   {Latest: new(true)},
			"not set":  {Earliest: new(false), Latest: new(false)},
			"offset":   {Offset: new("42"), Inclusive: true},
			"sequence": {SequenceNumber: new(int64(42)), Inclusive: true},
			"time":     {EnqueuedTime: &noon, Inclusive: true},
		},
		Default: azeventhubs.StartPosition{EnqueuedTime: &noon},
	}
	for partition, want := range map[string]struct {
		words  string
		latest bool
	}{
		"earliest": {"at the earliest event", false},
		"latest":   {"after the latest event", true},
		"not set":  {"after the latest event", true},
		"offset":   {"at offset 42", false},
		"sequence": {"at sequence number 42", false},
		"time":     {"at 2026-05-01T12:00:00Z", false},
		"another":  {"after 2026-05-01T12:00:00Z", false},
	} {
		start := startWithout(starts, partition)
		require.Equal(t, want.words, describe(start), partition)
		require.Equal(t, want.latest, isLatest(start), partition)
	}
	require.True(t, isLatest(startWithout(azeventhubs.StartPositions{}, "0")))
}
