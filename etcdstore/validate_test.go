package etcdstore

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestValidateOwnerships(t *testing.T) {
	t.Parallel()
	k := keyspace{prefix: defaultPrefix}
	own := func(partition string) Ownership {
		return Ownership{Group: orders, PartitionID: partition, OwnerID: "pod-1"}
	}

	require.NoError(t, k.validateOwnerships(nil, ""))
	relinquished, malformed := own("1"), own("2")
	relinquished.OwnerID, malformed.ETag = "", "no number"
	elsewhere := own("0")
	elsewhere.ConsumerGroup = "other"
	require.NoError(t, k.validateOwnerships([]Ownership{own("0"), relinquished, malformed, elsewhere}, "why"))

	tests := map[string]struct {
		ownerships []Ownership
		reason     string
		fields     []string
	}{
		"everything empty": {
			ownerships: []Ownership{own("0"), {}},
			fields: []string{
				"ownerships[1].FullyQualifiedNamespace", "ownerships[1].EventHubName", "ownerships[1].ConsumerGroup",
				"ownerships[1].PartitionID",
			},
		},
		"not UTF-8": {
			ownerships: []Ownership{{
				Group:       Group{FullyQualifiedNamespace: "\xff", EventHubName: "\xff", ConsumerGroup: "\xff"},
				PartitionID: "\xff", OwnerID: "\xff",
			}},
			reason: "\xff",
			fields: []string{
				"ClaimOptions.Reason", "ownerships[0].FullyQualifiedNamespace", "ownerships[0].EventHubName",
				"ownerships[0].ConsumerGroup", "ownerships[0].PartitionID", "ownerships[0].OwnerID",
			},
		},
		"a partition twice": {
			ownerships: []Ownership{own("0"), own("1"), own("0")},
			fields:     []string{"ownerships[2].PartitionID"},
		},
		"too large a key": {
			ownerships: []Ownership{own(strings.Repeat("/", maxRecordBytes/3))},
			fields:     []string{"ownerships[0].PartitionID"},
		},
		"too large a value": {
			ownerships: []Ownership{{Group: orders, PartitionID: "0", OwnerID: strings.Repeat("\x00", maxRecordBytes/6)}},
			fields:     []string{"ownerships[0].PartitionID"},
		},
		"too large together": {
			ownerships: []Ownership{own(strings.Repeat("p", maxRecordBytes/2))},
			reason:     strings.Repeat("r", maxRecordBytes/2),
			fields:     []string{"ownerships[0].PartitionID"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFields(t, tt.fields, k.validateOwnerships(tt.ownerships, tt.reason))
		})
	}
}

func TestValidateCheckpoint(t *testing.T) {
	t.Parallel()
	k := keyspace{prefix: defaultPrefix}
	zero, empty, invalid, large := int64(0), "", "\xff", strings.Repeat("o", maxRecordBytes)
	tests := map[string]struct {
		checkpoint Checkpoint
		fields     []string
	}{
		"only a sequence number": {Checkpoint{Group: orders, PartitionID: "0", SequenceNumber: &zero}, nil},
		"only an offset":         {Checkpoint{Group: orders, PartitionID: "0", Offset: &empty}, nil},
		"neither":                {Checkpoint{Group: orders, PartitionID: "0"}, []string{"checkpoint.Offset"}},
		"everything empty": {Checkpoint{}, []string{
			"checkpoint.FullyQualifiedNamespace", "checkpoint.EventHubName", "checkpoint.ConsumerGroup",
			"checkpoint.PartitionID", "checkpoint.Offset",
		}},
		"not UTF-8": {
			Checkpoint{Group: orders, PartitionID: "0", OwnerID: invalid, Offset: &invalid},
			[]string{"checkpoint.OwnerID", "checkpoint.Offset"},
		},
		"too large": {
			Checkpoint{Group: orders, PartitionID: "0", Offset: &large}, []string{"checkpoint.PartitionID"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireFields(t, tt.fields, k.validateCheckpoint(tt.checkpoint))
		})
	}
}

// The bound that spares most records the exact sum must never let a larger one pass.
func TestSizeIsExactAtTheLimit(t *testing.T) {
	t.Parallel()
	k := keyspace{prefix: defaultPrefix}
	own := func(owner string) []Ownership { return []Ownership{{Group: orders, PartitionID: "0", OwnerID: owner}} }
	empty := len(k.key(orders, kindOwnership, "0")) + len(ownershipRecord{}.encode())
	require.NoError(t, k.validateOwnerships(own(strings.Repeat("o", maxRecordBytes-empty)), ""))
	require.Error(t, k.validateOwnerships(own(strings.Repeat("o", maxRecordBytes-empty+1)), ""))
	require.Error(t, k.validateOwnerships(own(strings.Repeat("\x01", (maxRecordBytes-empty)/6+1)), ""))
}

// requireFields checks that err names exactly these arguments, in this order, each as an ArgumentError.
func requireFields(tb testing.TB, want []string, err error) {
	tb.Helper()
	if want == nil {
		require.NoError(tb, err)
		return
	}
	require.ErrorIs(tb, err, ErrInvalidArgument)
	joined, ok := err.(interface{ Unwrap() []error })
	require.True(tb, ok)
	fields := make([]string, 0, len(want))
	for _, each := range joined.Unwrap() {
		var argument *ArgumentError
		require.ErrorAs(tb, each, &argument)
		require.NotEmpty(tb, argument.Want)
		fields = append(fields, argument.Field)
	}
	require.Equal(tb, want, fields)
}

func BenchmarkValidateCheckpoint(b *testing.B) {
	k, r := keyspace{prefix: defaultPrefix}, aCheckpoint()
	c := Checkpoint{
		Group: orders, PartitionID: "17", SequenceNumber: r.SequenceNumber, Offset: r.Offset, OwnerID: r.OwnerID,
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := k.validateCheckpoint(c); err != nil {
			b.Fatal(err)
		}
	}
}
