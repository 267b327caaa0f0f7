package consume

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"

	"github.com/tenure-go/tenure/cmd/tenure/internal/filestream"
)

// event is one event as it is printed.
type event struct {
	Partition      string          `json:"partition"`
	SequenceNumber int64           `json:"sequence_number"`
	Offset         string          `json:"offset"`
	EnqueuedTime   string          `json:"enqueued_time,omitempty"`
	Key            *string         `json:"key,omitempty"`
	Properties     map[string]any  `json:"properties,omitempty"`
	Body           *string         `json:"body,omitempty"`        // where it is valid UTF-8
	BodyBase64     []byte          `json:"body_base64,omitempty"` // where it is not
	BodyValue      json.RawMessage `json:"body_value,omitempty"`  // where it is an AMQP value or sequence instead of bytes
}

// position is how far a partition has been handled: which event was the last.
type position struct {
	sequenceNumber int64
	offset         string
}

func (e *event) position() position { return position{e.SequenceNumber, e.Offset} }

// appendLines adds the events to the buffer, one JSON object a line.
func appendLines(buffer *bytes.Buffer, events []event) error {
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	for _, e := range events {
		if err := encoder.Encode(e); err != nil {
			return fmt.Errorf("encode event %d of partition %s: %w", e.SequenceNumber, e.Partition, err)
		}
	}
	return nil
}

// setBytes sets a body of bytes.
func (e *event) setBytes(body []byte) {
	if !utf8.Valid(body) {
		e.BodyBase64 = body
		return
	}
	text := string(body)
	e.Body = &text
}

// fromLine returns a line of a file as an event.
func fromLine(partition string, l filestream.Line) event {
	e := event{Partition: partition, SequenceNumber: l.Number, Offset: strconv.FormatInt(l.Offset, 10)}
	e.setBytes(l.Text)
	return e
}

// fromHub returns what Event Hubs sent as an event.
func fromHub(partition string, received *azeventhubs.ReceivedEventData) event {
	e := event{
		Partition:      partition,
		SequenceNumber: received.SequenceNumber,
		Offset:         received.Offset,
		Key:            received.PartitionKey,
		Properties:     plainMap(received.Properties),
	}
	if received.EnqueuedTime != nil {
		e.EnqueuedTime = received.EnqueuedTime.UTC().Format(time.RFC3339Nano)
	}
	body := received.Body
	if raw := received.RawAMQPMessage; raw != nil {
		// The SDK gives a body only where it is in one piece.
		if len(raw.Body.Data) > 1 {
			body = bytes.Join(raw.Body.Data, nil)
		}
		if value := raw.Body.Value; value != nil {
			e.BodyValue = plainJSON(value)
			return e
		}
		if sequence := raw.Body.Sequence; len(sequence) > 0 {
			e.BodyValue = plainJSON(sequence)
			return e
		}
	}
	e.setBytes(body)
	return e
}

// fromHubAll returns them all.
func fromHubAll(partition string, received []*azeventhubs.ReceivedEventData) []event {
	events := make([]event, len(received))
	for i, one := range received {
		events[i] = fromHub(partition, one)
	}
	return events
}

// plainMap replaces what JSON cannot hold.
func plainMap(properties map[string]any) map[string]any {
	if len(properties) == 0 {
		return nil
	}
	kept := make(map[string]any, len(properties))
	for name, value := range properties {
		kept[name] = plainJSON(value)
	}
	return kept
}

// plainJSON encodes an AMQP value: as JSON where JSON has the like, else (NaN, maps with keys other than strings) as
// the text that Go prints for it.
func plainJSON(value any) json.RawMessage {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		buffer.Reset()
		if err := encoder.Encode(fmt.Sprint(value)); err != nil {
			return json.RawMessage(`null`) // Not reached: any string can be encoded.
		}
	}
	return bytes.TrimRight(buffer.Bytes(), "\n")
}
