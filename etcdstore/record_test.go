package etcdstore

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var aTime = time.Date(2026, 3, 1, 12, 34, 56, 789012345, time.UTC)

func TestTimesAreWrittenInUTC(t *testing.T) {
	t.Parallel()
	r := ownershipRecord{OwnerID: "pod-1", LastModifiedTime: aTime.In(time.FixedZone("east", 3600))}
	require.Contains(t, string(r.encode()), `"2026-03-01T12:34:56.789012345Z"`)
}

// Positions come back as exactly what was written, and whatever a reader of doubles would round is no JSON number.
func TestPositionsRoundTrip(t *testing.T) {
	t.Parallel()
	offsets := rapid.OneOf(
		rapid.String(),
		rapid.StringMatching(`[+-]?0*[0-9]{0,20}(\.0|e3)?`),
		rapid.Map(rapid.Int64(), func(n int64) string { return strconv.FormatInt(n, 10) }),
		rapid.Map(rapid.Int64Range(-2, 2), func(n int64) string { return strconv.FormatInt(maxSafeInteger+n, 10) }),
		rapid.Map(rapid.Int64Range(-2, 2), func(n int64) string { return strconv.FormatInt(-maxSafeInteger+n, 10) }),
	)
	numbers := rapid.OneOf(
		rapid.Int64(),
		rapid.Int64Range(maxSafeInteger-2, maxSafeInteger+2),
		rapid.Int64Range(-maxSafeInteger-2, -maxSafeInteger+2),
		rapid.SampledFrom([]int64{0, math.MaxInt64, math.MinInt64}),
	)
	rapid.Check(t, func(t *rapid.T) {
		r := checkpointRecord{
			Offset:           rapid.Ptr(offsets, true).Draw(t, "offset"),
			SequenceNumber:   rapid.Ptr(numbers, true).Draw(t, "sequence number"),
			LastModifiedTime: aTime,
		}
		value := r.encode()
		got, err := decodeCheckpoint(value)
		if r.Offset == nil && r.SequenceNumber == nil {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(r, got))

		var inJavaScript map[string]any
		require.NoError(t, json.Unmarshal(value, &inJavaScript))
		for _, field := range []string{fieldOffset, fieldSequenceNumber} {
			if n, ok := inJavaScript[field].(float64); ok {
				require.LessOrEqual(t, math.Abs(n), float64(maxSafeInteger))
			}
		}
		if n, ok := inJavaScript[fieldOffset].(float64); ok {
			require.Equal(t, *r.Offset, strconv.FormatFloat(n, 'f', -1, 64))
		}
		if n, ok := inJavaScript[fieldSequenceNumber].(float64); ok {
			require.Equal(t, *r.SequenceNumber, int64(n))
		}
	})
}

func FuzzOwnershipRoundTrip(f *testing.F) {
	f.Add("pod-1", "claim", "pod-2", "balance", aTime.UnixNano())
	f.Add("", "", "", "", int64(0))
	f.Add("\x00\x1f\"\\/\u2028<>&", "ü", "😀", "\ufffd", int64(-1))
	f.Fuzz(func(t *testing.T, owner, claim, previous, reason string, nanoseconds int64) {
		r := ownershipRecord{
			OwnerID: owner, LastModifiedTime: time.Unix(0, nanoseconds).UTC(),
			ClaimID: claim, PreviousOwner: previous, Reason: reason,
		}
		value := r.encode()
		got, err := decodeOwnership(value)
		if !utf8.ValidString(owner + "|" + claim + "|" + previous + "|" + reason) {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(r, got))
		var std ownershipVector
		require.NoError(t, json.Unmarshal(value, &std))
		require.Empty(t, cmp.Diff(r, ownershipRecord(std)))
	})
}

func FuzzCheckpointRoundTrip(f *testing.F) {
	f.Add("7", true, int64(7), true, "pod-1", "write")
	f.Add("007", true, int64(0), false, "", "")
	f.Add("-0", true, int64(math.MaxInt64), true, "\"", "\n")
	f.Add("", false, int64(-maxSafeInteger-1), true, "ü", "😀")
	f.Add("9007199254740992", true, int64(maxSafeInteger), true, "a", "b")
	f.Fuzz(func(t *testing.T, offset string, hasOffset bool, number int64, hasNumber bool, owner, write string) {
		r := checkpointRecord{OwnerID: owner, LastModifiedTime: aTime, WriteID: write}
		if hasOffset {
			r.Offset = &offset
		}
		if hasNumber {
			r.SequenceNumber = &number
		}
		got, err := decodeCheckpoint(r.encode())
		if !hasOffset && !hasNumber || !utf8.ValidString(owner+"|"+write) || hasOffset && !utf8.ValidString(offset) {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(r, got))
	})
}

// Whatever is stored, reading it never panics, says what is wrong, and agrees with encoding/json about what is right.
func FuzzDecodeOwnership(f *testing.F) {
	vectors := readVectors(f)
	for _, v := range vectors.Ownerships {
		f.Add([]byte(v.Value))
	}
	for _, v := range vectors.BadOwnerships {
		f.Add([]byte(v.Value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decodeOwnership(value)
		if err != nil {
			var field *fieldError
			require.ErrorAs(t, err, &field)
			require.Zero(t, r)
			return
		}
		std := readStandard(t, value)
		require.Equal(t, std[fieldOwnerID], r.OwnerID)
		require.Equal(t, orEmpty(std[fieldClaimID]), r.ClaimID)
		require.Equal(t, orEmpty(std[fieldPreviousOwner]), r.PreviousOwner)
		require.Equal(t, orEmpty(std[fieldReason]), r.Reason)
		again, err := decodeOwnership(r.encode())
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(r, again))
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	vectors := readVectors(f)
	for _, v := range vectors.Checkpoints {
		f.Add([]byte(v.Value))
	}
	for _, v := range vectors.BadCheckpoints {
		f.Add([]byte(v.Value))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decodeCheckpoint(value)
		if err != nil {
			var field *fieldError
			require.ErrorAs(t, err, &field)
			require.Zero(t, r)
			return
		}
		std := readStandard(t, value)
		switch offset := std[fieldOffset].(type) {
		case nil:
			require.Nil(t, r.Offset)
		case string:
			require.Equal(t, offset, *r.Offset)
		case json.Number:
			require.Equal(t, offset.String(), *r.Offset)
		default:
			t.Fatalf("offset %v was taken", offset)
		}
		require.Equal(t, orEmpty(std[fieldWriteID]), r.WriteID)
		again, err := decodeCheckpoint(r.encode())
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(r, again))
	})
}

// Nor does anything that a group is planned with: what was read is written so that it is read alike.
func FuzzDecodePlanning(f *testing.F) {
	vectors := readVectors(f)
	for _, v := range vectors.Members {
		f.Add("partitions", []byte(v.Value))
	}
	for _, v := range vectors.BadMembers {
		f.Add("partitions", []byte(v.Value))
	}
	for _, v := range vectors.Lists {
		f.Add("partitions", []byte(v.Value))
	}
	for _, v := range vectors.BadLists {
		f.Add("partitions", []byte(v.Value))
	}
	for _, v := range vectors.Controls {
		f.Add(v.Name, []byte(v.Value))
	}
	for _, v := range vectors.BadControls {
		f.Add(v.Name, []byte(v.Value))
	}
	f.Fuzz(func(t *testing.T, name string, value []byte) {
		requireReadsAlike(t, value, decodeMember, Member.encode)
		requireReadsAlike(t, value, decodePartitions, encodePartitions)
		requireReadsAlike(t, value, decodeControl, Control.encode)
		key := defaultPrefix + "/ns/hub/cg/control/" + name
		if _, _, parsed, err := (keyspace{prefix: defaultPrefix}).parse(key); err != nil || parsed != name {
			return
		}
		controls := newControls()
		if err := controls.set(name, value); err != nil {
			var field *fieldError
			require.ErrorAs(t, err, &field)
		}
		controls.remove(name)
		require.Empty(t, cmp.Diff(newControls(), controls))
	})
}

func requireReadsAlike[R any](t *testing.T, value []byte, decode func([]byte) (R, error), encode func(R) []byte) {
	t.Helper()
	r, err := decode(value)
	if err != nil {
		var field *fieldError
		require.ErrorAs(t, err, &field)
		return
	}
	again, err := decode(encode(r))
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(r, again))
}

func readStandard(t *testing.T, value []byte) (fields map[string]any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&fields))
	return fields
}

func orEmpty(v any) any {
	if v == nil {
		return ""
	}
	return v
}

var orders = Group{
	FullyQualifiedNamespace: "contoso.servicebus.windows.net", EventHubName: "orders", ConsumerGroup: "$Default",
}

func aCheckpoint() checkpointRecord {
	offset, sequenceNumber := "8589934592", int64(123456)
	return checkpointRecord{
		SequenceNumber: &sequenceNumber, Offset: &offset, OwnerID: "2f1c3a90-6a1f-4c57-9a3c-0d8f5f2c7b11",
		LastModifiedTime: aTime, WriteID: "KZ3FWWG4XQ2T7D5VJ6M2N4B7AE-1f",
	}
}

// Checkpoints are encoded at the rate at which they are written, so one allocation, for the value, has to do.
func TestEncodingAllocatesOnce(t *testing.T) {
	checkpoint := aCheckpoint()
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { checkpoint.encode() }), 1.0)
	ownership := ownershipRecord{OwnerID: "pod-1", LastModifiedTime: aTime, ClaimID: "c1"}
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { ownership.encode() }), 1.0)
}

func BenchmarkEncodeCheckpoint(b *testing.B) {
	r := aCheckpoint()
	b.ReportAllocs()
	for b.Loop() {
		r.encode()
	}
}

func BenchmarkDecodeCheckpoint(b *testing.B) {
	value := aCheckpoint().encode()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeCheckpoint(value); err != nil {
			b.Fatal(err)
		}
	}
}
