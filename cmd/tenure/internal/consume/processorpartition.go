package consume

import (
	"context"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"go.uber.org/zap"
)

// gather is how long a batch that has begun waits for more events that are already on their way.
const gather = 5 * time.Millisecond

// partitionClient is [azeventhubs.ProcessorPartitionClient].
type partitionClient interface {
	PartitionID() string
	ReceiveEvents(
		ctx context.Context, count int, options *azeventhubs.ReceiveEventsOptions,
	) ([]*azeventhubs.ReceivedEventData, error)
	UpdateCheckpoint(
		ctx context.Context, latest *azeventhubs.ReceivedEventData, options *azeventhubs.UpdateCheckpointOptions,
	) error
}

// processorPartition is a partition that the SDK's Processor has opened.
type processorPartition struct {
	client partitionClient
	log    *zap.Logger
}

// receive waits for a first event and takes what comes with it. The SDK waits for as many events as it is asked for;
// asking for one and then, briefly, for more gives both prompt lines and large batches.
func (p processorPartition) receive(ctx context.Context) ([]event, error) {
	events, err := p.client.ReceiveEvents(ctx, 1, nil)
	if err == nil {
		briefly, cancel := context.WithTimeout(ctx, gather)
		defer cancel()
		var more []*azeventhubs.ReceivedEventData
		more, err = p.client.ReceiveEvents(briefly, batchSize-1, nil)
		events = append(events, more...)
	}
	return fromHubAll(p.client.PartitionID(), events), err
}

// checkpoint has the client write the position, which is all that it looks at in an event.
func (p processorPartition) checkpoint(ctx context.Context, at position) error {
	event := &azeventhubs.ReceivedEventData{SequenceNumber: at.sequenceNumber, Offset: at.offset}
	err := p.client.UpdateCheckpoint(ctx, event, nil)
	if isRejected(err) {
		p.log.Warn("checkpoint rejected", zap.Int64("sequence_number", at.sequenceNumber), zap.Error(err))
	}
	return err
}

func (p processorPartition) finish(ctx context.Context, at position) (written bool, err error) {
	err = p.checkpoint(ctx, at)
	return err == nil, err
}
