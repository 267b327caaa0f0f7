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

	"github.com/tenure-go/tenure/etcdstore"
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
	case (kind == "offset" || kind == "sequence") && isNegative(value):
		return azeventhubs.StartPosition{}, fmt.Errorf("%s is before any event: the number must be 0 or more", text)
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

func isNegative(number string) bool {
	n, err := strconv.ParseInt(number, 10, 64)
	return err == nil && n < 0
}

// isUnusualOffset reports whether the position is an offset that is no number. Only namespaces with geo-replication
// give out such.
func isUnusualOffset(position azeventhubs.StartPosition) bool {
	if position.Offset == nil {
		return false
	}
	_, err := strconv.ParseInt(*position.Offset, 10, 64)
	return err != nil
}

// startingPoints remembers the checkpoints that the Processor was last shown, since it does not tell where it opens a
// partition.
type startingPoints struct {
	azeventhubs.CheckpointStore

	from string // where partitions without a checkpoint begin
	log  *zap.Logger

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

// refused says that the service does not let a partition begin where it is to, and what can be done. The Processor goes
// on trying, and the other partitions go on being read.
func (s *startingPoints) refused(partition, reason string) {
	remedy := "--from names a position that this partition does not have, such as one past its end; " +
		"give another, such as latest or a time"
	s.mu.Lock()
	checkpoint, found := s.listed[partition]
	s.mu.Unlock()
	if found {
		remedy = "the checkpoint may be of a hub that was deleted and made again; to begin at --from instead, delete it: " +
			deleteCheckpoint(etcdstore.Group{
				FullyQualifiedNamespace: checkpoint.FullyQualifiedNamespace,
				EventHubName:            checkpoint.EventHubName,
				ConsumerGroup:           checkpoint.ConsumerGroup,
			}.Fold(), checkpoint.PartitionID)
	}
	s.log.Error("the partition is not read: Event Hubs refuses where it is to begin; it is tried again each round",
		append(append([]zap.Field{zap.String("partition", partition)}, s.fields(partition)...),
			zap.String("remedy", remedy), zap.String("error", reason))...)
}

// deleteCheckpoint is the command that does it.
func deleteCheckpoint(group etcdstore.Group, partition string) string {
	return "tenure checkpoint delete '" + group.String() + "' '" + partition + "'"
}

// fields describe where a partition begins.
func (s *startingPoints) fields(partition string) []zap.Field {
	s.mu.Lock()
	defer s.mu.Unlock()
	checkpoint, found := s.listed[partition]
	return startFields(checkpoint.SequenceNumber, checkpoint.Offset, found, s.from)
}

// startFields describe for the log where a partition begins: at its checkpoint if one was found, or where --from says.
func startFields(sequenceNumber *int64, offset *string, found bool, from string) []zap.Field {
	if !found {
		return []zap.Field{zap.String("start", from)}
	}
	fields := []zap.Field{zap.String("start", "checkpoint")}
	if offset != nil {
		fields = append(fields, zap.String("start_offset", *offset))
	}
	if sequenceNumber != nil {
		fields = append(fields, zap.Int64("start_sequence_number", *sequenceNumber))
	}
	return fields
}
