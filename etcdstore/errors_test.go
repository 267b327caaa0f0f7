package etcdstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/etcdtest"
)

func TestRecordError(t *testing.T) {
	t.Parallel()
	_, cause := decodeCheckpoint([]byte(`{"offset":1.5}`))
	err := fmt.Errorf("listing: %w", newRecordError("/tenure/v1/ns/hub/cg/checkpoint/0", 12, cause))
	require.ErrorIs(t, err, ErrCorruptRecord)
	require.NotErrorIs(t, err, ErrInvalidArgument)
	var record *RecordError
	require.ErrorAs(t, err, &record)
	require.Equal(t, "/tenure/v1/ns/hub/cg/checkpoint/0", record.Key)
	require.Equal(t, "12", record.ETag)
	require.Equal(t, "offset", record.Field)
	require.Equal(t, "1.5", record.Value)
	require.EqualError(t, err, `listing: corrupt record "/tenure/v1/ns/hub/cg/checkpoint/0" at revision 12: `+
		`offset is "1.5": neither an integer nor a string`)
}

func TestRecordErrorMessages(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		`{}`:                   `owner_id: missing`,
		`{"owner_id":7}`:       `owner_id is "7": not a string`,
		`pod-1`:                `not valid JSON: "pod-1"`,
		"{\"owner_id\":\"\xff": `not valid UTF-8: "{\"owner_id\":\"\xff"`,
	} {
		_, cause := decodeOwnership([]byte(value))
		require.EqualError(t, newRecordError("k", 1, cause), `corrupt record "k" at revision 1: `+want)
	}
	_, _, _, cause := keyspace{prefix: defaultPrefix}.parse("/tenure/v1/ns/hub/cg/member/a%2fb")
	require.EqualError(t, newRecordError("k", 1, cause),
		`corrupt record "k" at revision 1: key segment is "a%2fb": should be encoded as "a%2Fb"`)
	require.ErrorIs(t, newRecordError("k", 1, errTest), errTest)
}

var errTest = errors.New("a test's error")

func TestArgumentError(t *testing.T) {
	t.Parallel()
	err := validateGroup(Group{EventHubName: "orders", ConsumerGroup: "\xff"})
	require.ErrorIs(t, err, ErrInvalidArgument)
	require.NotErrorIs(t, err, ErrCorruptRecord)
	require.EqualError(t, err, `invalid argument: group.FullyQualifiedNamespace is "", want a non-empty string`+"\n"+
		`invalid argument: group.ConsumerGroup is "\xff", want valid UTF-8`)
}

// Messages stay short and on one line, whatever was stored.
func TestMessagesAreClipped(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"a", "\n", "ü", "😀", "\xff", "\x80"} {
		for shift := range 4 {
			value := strings.Repeat("a", shift) + strings.Repeat(unit, 1<<16)
			err := (&ArgumentError{Field: "f", Value: value, Want: "less"}).Error()
			require.Less(t, len(err), 8*maxShown)
			require.NotContains(t, err, "\n")
			require.True(t, utf8.ValidString(err))
			require.Contains(t, err, fmt.Sprintf("(%d bytes)", len(value)))
			require.NotContains(t, err, `\xf0`, "a character was cut")
			require.NotContains(t, err, `\xc3`, "a character was cut")
		}
	}
}

// TestAContextThatHasEndedIsToldByItsCause makes each kind of call with one.
func TestAContextThatHasEndedIsToldByItsCause(t *testing.T) {
	t.Parallel()
	client, group := etcdtest.Start(t).Client(t), testGroup(t)
	s := startMember(t, client, 10*time.Second)
	ended, end := context.WithCancelCause(t.Context())
	cause := errors.New("a cause")
	end(cause)
	number := int64(1)
	_, claimed := s.ClaimOwnership(ended, []Ownership{{Group: group, PartitionID: "0", OwnerID: "a"}}, nil)
	_, listed := s.ListOwnership(ended, group)
	_, watched := s.Watch(ended, group, nil)
	for call, err := range map[string]error{
		"claim": claimed, "list": listed, "watch": watched,
		"update":  s.UpdateCheckpoint(ended, Checkpoint{Group: group, PartitionID: "0", SequenceNumber: &number}, nil),
		"release": s.Release(ended, Ownership{Group: group, PartitionID: "0", OwnerID: "a", ETag: "1"}),
	} {
		require.ErrorIs(t, err, cause, call)
	}
}
