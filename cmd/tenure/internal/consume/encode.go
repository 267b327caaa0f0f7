package consume

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
)

// line is one event as it is printed.
type line struct {
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

// appendLines adds the events to the buffer, one JSON object a line.
func appendLines(buffer *bytes.Buffer, partition string, events []*azeventhubs.ReceivedEventData) error {
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	for _, event := range events {
		l := line{
			Partition:      partition,
			SequenceNumber: event.SequenceNumber,
			Offset:         event.Offset,
			Key:            event.PartitionKey,
			Properties:     plainMap(event.Properties),
		}
		if event.EnqueuedTime != nil {
			l.EnqueuedTime = event.EnqueuedTime.UTC().Format(time.RFC3339Nano)
		}
		l.setBody(event)
		if err := encoder.Encode(l); err != nil {
			return fmt.Errorf("encode event %d of partition %s: %w", event.SequenceNumber, partition, err)
		}
	}
	return nil
}

func (l *line) setBody(event *azeventhubs.ReceivedEventData) {
	body := event.Body
	if raw := event.RawAMQPMessage; raw != nil {
		// The SDK gives a body only where it is in one piece.
		if len(raw.Body.Data) > 1 {
			body = bytes.Join(raw.Body.Data, nil)
		}
		if value := raw.Body.Value; value != nil {
			l.BodyValue = plainJSON(value)
			return
		}
		if sequence := raw.Body.Sequence; len(sequence) > 0 {
			l.BodyValue = plainJSON(sequence)
			return
		}
	}
	if !utf8.Valid(body) {
		l.BodyBase64 = body
		return
	}
	text := string(body)
	l.Body = &text
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
