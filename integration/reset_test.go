package integration_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
	"github.com/tenure-go/tenure/integration/internal/standin"
)

// Checkpoints are set to where an event hub was at a time, to its end and to its beginning, and reading goes on there.
func TestCheckpointsAreSetToWhereAHubWas(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 2})
	store, _ := s.store()
	group := s.group().Fold()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, store.AddPartitions(ctx, group, []string{"0", "1"}))
	s.hub.Append("0", 5)
	between := <-time.After(20 * time.Millisecond) // events have the time of a millisecond
	<-time.After(20 * time.Millisecond)
	s.hub.Append("0", 3)
	client := s.client("reader", azeventhubs.RetryOptions{MaxRetries: -1})
	end, err := client.GetPartitionProperties(ctx, "0", nil)
	require.NoError(t, err)

	reset := func(to string) map[string]etcdstore.Checkpoint {
		t.Helper()
		command := exec.CommandContext(ctx, binary(t), "checkpoint", "reset", group.String(), "--all", "--to", to,
			"--source", "eventhubs", "--endpoints", strings.Join(s.etcd, ","))
		command.Env = append(os.Environ(), "EVENTHUB_CONNECTION_STRING="+s.hub.HubConnectionString())
		out, err := command.CombinedOutput()
		require.NoError(t, err, "%s", out)
		listed, err := store.ListCheckpoints(ctx, group)
		require.NoError(t, err)
		found := make(map[string]etcdstore.Checkpoint)
		for _, c := range listed {
			found[c.PartitionID] = c
		}
		require.Len(t, found, 2)
		require.Equal(t, int64(-1), *found["1"].SequenceNumber, "it is empty")
		return found
	}
	next := func(at etcdstore.Checkpoint) int64 {
		t.Helper()
		link, err := client.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{
			StartPosition: azeventhubs.StartPosition{SequenceNumber: at.SequenceNumber},
		})
		require.NoError(t, err)
		defer link.Close(ctx) //nolint:errcheck // It was only read.
		events, err := link.ReceiveEvents(ctx, 1, nil)
		require.NoError(t, err)
		return events[0].SequenceNumber
	}

	require.Equal(t, int64(5), next(reset(between.Format(time.RFC3339Nano))["0"]), "the first one after that time")
	require.Equal(t, int64(0), next(reset("earliest")["0"]))
	latest := reset("latest")["0"]
	require.Equal(t, int64(7), *latest.SequenceNumber)
	require.Equal(t, end.LastEnqueuedOffset, *latest.Offset)
	require.Equal(t, latest.SequenceNumber, reset(time.Now().Add(time.Hour).Format(time.RFC3339))["0"].SequenceNumber)
}

// The same for the lines of files, which have no time.
func TestCheckpointsAreSetToWhereFilesEnd(t *testing.T) {
	t.Parallel()
	s := newStage(t, standin.Options{Partitions: 1})
	store, _ := s.store()
	group := etcdstore.Group{FullyQualifiedNamespace: "local", EventHubName: "orders", ConsumerGroup: t.Name()}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, store.AddPartitions(ctx, group, []string{"a", "empty"}))
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "a"), []byte("one\ntwo\nthr"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(folder, "empty"), nil, 0o600))
	reset := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, binary(t), append([]string{"checkpoint", "reset", group.String(), "--all",
			"--source", "files:" + folder, "--endpoints", strings.Join(s.etcd, ",")}, args...)...).CombinedOutput()
		return string(out), err
	}
	out, err := reset("--to", "2026-05-01T12:00:00Z")
	require.Error(t, err)
	require.Contains(t, out, "lines of files have no time")
	out, err = reset("--to", "latest")
	require.NoError(t, err, out)
	listed, err := store.ListCheckpoints(ctx, group)
	require.NoError(t, err)
	require.Len(t, listed, 2)
	require.Equal(t, int64(1), *listed[0].SequenceNumber, "the second line is the last complete one")
	require.Equal(t, "8", *listed[0].Offset)
	require.Equal(t, int64(-1), *listed[1].SequenceNumber)
}
