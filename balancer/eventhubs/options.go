package eventhubs

import (
	"errors"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"

	"github.com/tenure-go/tenure/balancer"
	"github.com/tenure-go/tenure/etcdstore"
)

const (
	// defaultBatchSize is what the SDK prefetches.
	defaultBatchSize = 300

	// defaultBatchWait is enough for events that are on their way already.
	defaultBatchWait = 5 * time.Millisecond

	defaultCheckpointInterval = 5 * time.Second
	defaultCheckpointCount    = 1000

	// creditLimit is the most events that the SDK can ask for at a time without a prefetch.
	creditLimit = 5000
)

// Options are a consumer's settings.
type Options struct {
	// Balancer is the consumer as a member of its group: its weight, how long a drain may take, who is told of what
	// happens. Its Logger is the consumer's too. Its OwnerID defaults to the client's InstanceID, which is a random UUID
	// unless one was given.
	Balancer balancer.Options

	// StartPositions are where partitions begin that have no checkpoint, as for the SDK's Processor. A partition that
	// begins at the latest event is checkpointed there at once, so that it begins only once and misses nothing afterwards.
	// Defaults to the latest event.
	StartPositions azeventhubs.StartPositions

	// BatchSize is how many events the handler is given at the most. Defaults to 300.
	BatchSize int

	// BatchWait is how long a batch that has begun waits to be filled. The handler never waits for it while events are
	// there for a whole batch, and never for a first event. Defaults to 5 ms.
	BatchWait time.Duration

	// Prefetch is how many events of each partition the SDK keeps ready; it asks for none in advance if that is negative.
	// At most 5,000. Defaults to 0, by which the SDK means 300.
	Prefetch int32

	// CheckpointInterval is how long a handled event waits for its checkpoint at the most, and CheckpointCount is how many
	// handled events of a partition do. A crash repeats what has not been checkpointed; a planned move repeats nothing
	// either way. Default to 5 s and 1,000.
	CheckpointInterval time.Duration
	CheckpointCount    int

	// ManualCheckpoints leaves checkpoints to the handler, which writes them with [balancer.Partition.Checkpoint], for
	// instance in one transaction with what it does in etcd. What it has not checkpointed is repeated by whoever has the
	// partition next. Defaults to false: what the handler has returned nil for is checkpointed by the consumer.
	ManualCheckpoints bool
}

// withDefaults returns the options with every default filled in, or all that is wrong with them.
func (o *Options) withDefaults(client *azeventhubs.ConsumerClient) (Options, error) {
	var filled Options
	if o != nil {
		filled = *o
	}
	problems := []error{
		atLeastZero("Options.BatchSize", filled.BatchSize),
		atLeastZero("Options.BatchWait", filled.BatchWait),
		atLeastZero("Options.CheckpointInterval", filled.CheckpointInterval),
		atLeastZero("Options.CheckpointCount", filled.CheckpointCount),
	}
	if filled.Prefetch < 0 && filled.BatchSize > creditLimit {
		problems = append(problems, &etcdstore.ArgumentError{
			Field: "Options.BatchSize", Value: strconv.Itoa(filled.BatchSize), Want: "at most 5000 without a prefetch",
		})
	}
	if filled.Prefetch > creditLimit {
		problems = append(problems, &etcdstore.ArgumentError{
			Field: "Options.Prefetch", Value: strconv.Itoa(int(filled.Prefetch)), Want: "at most 5000",
		})
	}
	problems = append(problems, checkStart(client, "Default", filled.StartPositions.Default))
	for id, start := range filled.StartPositions.PerPartition {
		problems = append(problems, checkStart(client, "PerPartition["+strconv.Quote(id)+"]", start))
	}

	filled.BatchSize = orDefault(filled.BatchSize, defaultBatchSize)
	filled.BatchWait = orDefault(filled.BatchWait, defaultBatchWait)
	filled.CheckpointInterval = orDefault(filled.CheckpointInterval, defaultCheckpointInterval)
	filled.CheckpointCount = orDefault(filled.CheckpointCount, defaultCheckpointCount)
	if filled.Balancer.Logger == nil {
		filled.Balancer.Logger = zap.NewNop()
	}
	if filled.Balancer.OwnerID == "" && client != nil {
		filled.Balancer.OwnerID = client.InstanceID()
	}
	return filled, errors.Join(problems...)
}

func atLeastZero[N int | time.Duration](field string, value N) error {
	if value >= 0 {
		return nil
	}
	return &etcdstore.ArgumentError{Field: field, Value: strconv.FormatInt(int64(value), 10), Want: "0 or more"}
}

func orDefault[N int | time.Duration](value, byDefault N) N {
	if value == 0 {
		return byDefault
	}
	return value
}

// checkStart has the SDK look at a start position, which takes no connection.
func checkStart(client *azeventhubs.ConsumerClient, field string, start azeventhubs.StartPosition) error {
	if client == nil {
		return nil
	}
	_, err := client.NewPartitionClient("0", &azeventhubs.PartitionClientOptions{StartPosition: start})
	if err == nil {
		return nil
	}
	return &etcdstore.ArgumentError{
		Field: "Options.StartPositions." + field, Value: describe(start), Want: "one position: " + err.Error(),
	}
}
