package eventhubs

import (
	"fmt"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// position is a place in a partition: just after an event.
type position struct {
	sequenceNumber int64
	offset         string
}

func endOf(events []*azeventhubs.ReceivedEventData) position {
	last := events[len(events)-1]
	return position{last.SequenceNumber, last.Offset}
}

// after is where to start with what follows a position. Of a checkpoint that has both, the offset counts, as it does
// for the SDK's Processor.
func after(sequenceNumber *int64, offset *string) azeventhubs.StartPosition {
	if offset != nil {
		return azeventhubs.StartPosition{Offset: offset}
	}
	return azeventhubs.StartPosition{SequenceNumber: sequenceNumber}
}

// startWithout is where a partition begins that has no checkpoint.
func startWithout(starts azeventhubs.StartPositions, partition string) azeventhubs.StartPosition {
	if start, found := starts.PerPartition[partition]; found {
		return start
	}
	return starts.Default
}

// isLatest reports whether the position is whatever comes next: another event each time that it is asked for.
func isLatest(start azeventhubs.StartPosition) bool {
	fixed := start.Offset != nil || start.SequenceNumber != nil || start.EnqueuedTime != nil || isSet(start.Earliest)
	return !fixed
}

func isSet(flag *bool) bool { return flag != nil && *flag }

// describe is a start position in words.
func describe(start azeventhubs.StartPosition) string {
	var words []string
	say := func(format string, value any) { words = append(words, fmt.Sprintf(format, value)) }
	relation := "after"
	if start.Inclusive {
		relation = "at"
	}
	if start.Offset != nil {
		say(relation+" offset %s", *start.Offset)
	}
	if start.SequenceNumber != nil {
		say(relation+" sequence number %d", *start.SequenceNumber)
	}
	if start.EnqueuedTime != nil {
		say(relation+" %s", start.EnqueuedTime.Format(time.RFC3339Nano))
	}
	if isSet(start.Earliest) {
		words = append(words, "at the earliest event")
	}
	if isSet(start.Latest) || len(words) == 0 {
		words = append(words, "after the latest event")
	}
	return strings.Join(words, " and ")
}
