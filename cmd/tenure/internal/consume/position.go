package consume

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"
)

// ParsePosition reads where to begin: earliest, latest, offset:N, sequence:N or a time in RFC 3339. Each includes the
// event that it names.
func ParsePosition(text string) (azeventhubs.StartPosition, error) {
	yes := true
	kind, value, _ := strings.Cut(text, ":")
	switch {
	case text == "earliest":
		return azeventhubs.StartPosition{Earliest: &yes}, nil
	case text == "latest":
		return azeventhubs.StartPosition{Latest: &yes}, nil
	case kind == "offset" && value != "" && !strings.Contains(value, "'"):
		return azeventhubs.StartPosition{Offset: &value, Inclusive: true}, nil
	case kind == "sequence":
		if number, err := strconv.ParseInt(value, 10, 64); err == nil {
			return azeventhubs.StartPosition{SequenceNumber: &number, Inclusive: true}, nil
		}
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return azeventhubs.StartPosition{EnqueuedTime: &at, Inclusive: true}, nil
	}
	return azeventhubs.StartPosition{}, fmt.Errorf(
		"%q is none of earliest, latest, offset:N, sequence:N and a time such as 2026-05-01T12:00:00Z", text)
}

// startingPoints remembers the checkpoints that the Processor was last shown, since it does not tell where it opens a
// partition.
type startingPoints struct {
	azeventhubs.CheckpointStore

	mu     sync.Mutex
	listed map[string]azeventhubs.Checkpoint
}

func (s *startingPoints) ListCheckpoints(
	ctx context.Context, namespace, hub, group string, options *azeventhubs.ListCheckpointsOptions,
) ([]azeventhubs.Checkpoint, error) {
	checkpoints, err := s.CheckpointStore.ListCheckpoints(ctx, namespace, hub, group, options)
	if err != nil {
		return checkpoints, err //nolint:wrapcheck // The Processor is to see what the store says.
	}
	listed := make(map[string]azeventhubs.Checkpoint, len(checkpoints))
	for _, checkpoint := range checkpoints {
		listed[checkpoint.PartitionID] = checkpoint
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listed = listed
	return checkpoints, nil
}

// fields describe where a partition that was just opened begins.
func (s *startingPoints) fields(partition, otherwise string) []zap.Field {
	s.mu.Lock()
	defer s.mu.Unlock()
	checkpoint, found := s.listed[partition]
	if !found {
		return []zap.Field{zap.String("start", otherwise)}
	}
	fields := []zap.Field{zap.String("start", "checkpoint")}
	if checkpoint.Offset != nil {
		fields = append(fields, zap.String("start_offset", *checkpoint.Offset))
	}
	if checkpoint.SequenceNumber != nil {
		fields = append(fields, zap.Int64("start_sequence_number", *checkpoint.SequenceNumber))
	}
	return fields
}
