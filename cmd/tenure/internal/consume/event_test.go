package consume

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/stretchr/testify/require"
)

func received(sequence int64, body string) *azeventhubs.ReceivedEventData {
	return &azeventhubs.ReceivedEventData{
		EventData: azeventhubs.EventData{Body: []byte(body)}, Offset: "o", SequenceNumber: sequence,
	}
}

func TestAppendLines(t *testing.T) {
	t.Parallel()
	key := "customer-7"
	at := time.Date(2026, 5, 1, 14, 0, 0, 120e6, time.FixedZone("", 2*3600))
	const bare = `{"partition":"3","sequence_number":1,"offset":"o",`
	for name, test := range map[string]struct {
		change func(*azeventhubs.ReceivedEventData)
		want   string
	}{
		"all fields": {func(e *azeventhubs.ReceivedEventData) {
			e.EnqueuedTime, e.PartitionKey = &at, &key
			e.Properties = map[string]any{"n": int64(9007199254740993), "s": "a\nb", "t": true, "nothing": nil}
			e.Body = []byte("<b>\nüñ</b>")
		}, `{"partition":"3","sequence_number":1,"offset":"o","enqueued_time":"2026-05-01T12:00:00.12Z","key":"customer-7",` +
			`"properties":{"n":9007199254740993,"nothing":null,"s":"a\nb","t":true},"body":"<b>\nüñ</b>"}`},
		"empty body": {func(e *azeventhubs.ReceivedEventData) { e.Body = nil }, bare + `"body":""}`},
		"binary body": {func(e *azeventhubs.ReceivedEventData) {
			e.Body = []byte{0xff, 0x00}
		}, bare + `"body_base64":"/wA="}`},
		"line endings": {func(e *azeventhubs.ReceivedEventData) {
			e.Body = []byte("a\u2028b\r\n")
		}, bare + `"body":"a\u2028b\r\n"}`},
		"properties that JSON has not": {func(e *azeventhubs.ReceivedEventData) {
			e.Properties = map[string]any{"nan": math.NaN(), "map": map[any]any{1: "x"}, "bytes": []byte{1}}
		}, bare + `"properties":{"bytes":"AQ==","map":"map[1:x]","nan":"NaN"},"body":"body"}`},
		"body in pieces": {func(e *azeventhubs.ReceivedEventData) {
			e.Body = nil
			e.RawAMQPMessage = &azeventhubs.AMQPAnnotatedMessage{
				Body: azeventhubs.AMQPAnnotatedMessageBody{Data: [][]byte{[]byte("one"), []byte("two")}},
			}
		}, bare + `"body":"onetwo"}`},
		"AMQP value": {func(e *azeventhubs.ReceivedEventData) {
			e.Body = nil
			e.RawAMQPMessage = &azeventhubs.AMQPAnnotatedMessage{Body: azeventhubs.AMQPAnnotatedMessageBody{Value: "<v>"}}
		}, bare + `"body_value":"<v>"}`},
		"AMQP sequence": {func(e *azeventhubs.ReceivedEventData) {
			e.Body = nil
			e.RawAMQPMessage = &azeventhubs.AMQPAnnotatedMessage{
				Body: azeventhubs.AMQPAnnotatedMessageBody{Sequence: [][]any{{1, "a"}}},
			}
		}, bare + `"body_value":[[1,"a"]]}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := received(1, "body")
			test.change(e)
			var buffer bytes.Buffer
			require.NoError(t, appendLines(&buffer, fromHubAll("3", []*azeventhubs.ReceivedEventData{e, e})))
			require.Equal(t, test.want+"\n"+test.want+"\n", buffer.String())
		})
	}
}
