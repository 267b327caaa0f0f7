package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/etcdstore"
)

var records = []test{
	{
		name: "an unreadable ownership hides no other and is named", run: corruptOwnershipNamed,
		needs: []need{reports, etcd},
	},
	{
		name: "an unreadable checkpoint hides no other and is named", run: corruptCheckpointNamed,
		needs: []need{reports, etcd},
	},
	{name: "an unreadable ownership is replaced by its etag", run: corruptOwnershipMended, needs: []need{reports, etcd}},
	{name: "an ownership without a lease is free", run: leaseless, needs: []need{etcd}},
	{name: "unknown fields are ignored", run: unknownFields, needs: []need{etcd}},
	{name: "records that another language wrote are read", run: otherLanguages, needs: []need{etcd}},
	{name: "ownerships carry their claimer's lease, checkpoints none", run: recordLeases, needs: []need{etcd}},
	{name: "a tenure does not start at an unreadable checkpoint", run: corruptStart, needs: []need{fences, etcd}},
}

// Values that are no records.
var (
	corruptOwnerships = []string{
		"", "{", "[]", "null", `"text"`, "7", "\xff", "{}", `{"owner_id": 7}`,
		`{"owner_id": "ann", "last_modified_time": "today"}`,
		`{"last_modified_time": "2026-01-02T03:04:05Z"}`, `{"owner_id": "ann"} {}`,
	}
	corruptCheckpoints = []string{
		"", "{", "[]", "null", "7", "\xff", "{}", `{"sequence_number": "seven"}`, `{"sequence_number": 1.5}`,
		`{"offset": {}}`,
		`{"sequence_number": null, "offset": null}`, `{"sequence_number": 7} 8`, `{"owner_id": "ann"}`,
	}
)

const leaselessOwnership = `{"owner_id": "ann", "last_modified_time": "2026-01-02T03:04:05Z", "claim_id": "c"}`

// named returns the records that an error names, by key.
func named(err error) map[string]*etcdstore.RecordError {
	all := make(map[string]*etcdstore.RecordError)
	var add func(error)
	add = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range joined.Unwrap() {
				add(e)
			}
		} else if one, ok := errors.AsType[*etcdstore.RecordError](err); ok {
			all[one.Key] = one
		}
	}
	add(err)
	return all
}

// corrupt puts values that are no records, and returns their keys and etags.
func (t *scope) corrupt(kind string, values []string) map[string]string {
	etags := make(map[string]string, len(values))
	for i, value := range values {
		partition := fmt.Sprint("corrupt ", i)
		t.put(kind, partition, value, kind == ownershipKind)
		etags[t.key(kind, partition)] = t.etag(kind, partition)
	}
	return etags
}

func (t *scope) requireNamed(err error, etags map[string]string) {
	t.Helper()
	require.ErrorIs(t, err, etcdstore.ErrCorruptRecord)
	bad := named(err)
	require.Len(t, bad, len(etags), "%v", err)
	for key, etag := range etags {
		require.Contains(t, bad, key)
		require.Equal(t, etag, bad[key].ETag)
		require.Error(t, bad[key].Err)
	}
}

func corruptOwnershipNamed(t *scope) {
	won := t.win(t.a, t.ownerships("ann", "0", "1")...)
	etags := t.corrupt(ownershipKind, corruptOwnerships)
	listed, err := t.a.ListOwnership(t.Context(), t.group)
	t.requireNamed(err, etags)
	require.Equal(t, withoutTimes(won), withoutTimes(inOrder(listed)))
	t.win(t.a, won...)
}

func corruptCheckpointNamed(t *scope) {
	require.NoError(t, t.update(t.a, "0", 7))
	etags := t.corrupt(checkpointKind, corruptCheckpoints)
	listed, err := t.a.ListCheckpoints(t.Context(), t.group)
	t.requireNamed(err, etags)
	require.Len(t, listed, 1)
	require.Equal(t, "0", listed[0].PartitionID)
	for i := range corruptCheckpoints {
		require.NoError(t, t.update(t.a, fmt.Sprint("corrupt ", i), 7), "a write mends it")
	}
	require.Len(t, t.positions(), 1+len(corruptCheckpoints))
}

func corruptOwnershipMended(t *scope) {
	t.corrupt(ownershipKind, corruptOwnerships)
	for i := range corruptOwnerships {
		partition := fmt.Sprint("corrupt ", i)
		claim := t.ownerships("ann", partition)[0]
		require.Empty(t, t.try(t.a, claim), "there is a record")
		claim.ETag = t.etag(ownershipKind, partition)
		t.winOne(t.a, claim)
		require.NotZero(t, t.record(ownershipKind, partition).Lease)
	}
	require.Len(t, t.owned(), len(corruptOwnerships))
}

func leaseless(t *scope) {
	t.put(ownershipKind, "0", leaselessOwnership, false)
	listed := t.owned()
	require.Len(t, listed, 1)
	require.Empty(t, listed[0].OwnerID)
	t.lose(t.a, t.ownerships("bob", "0")...)
	t.winOne(t.a, as("bob", listed[0]))
	require.NotZero(t, t.record(ownershipKind, "0").Lease)
	require.Equal(t, "bob", t.owned()[0].OwnerID)
}

func unknownFields(t *scope) {
	t.put(ownershipKind, "0", `{"zone": {"a": [1, null, "x"]}, "owner_id": "ann", "epoch": 7}`, true)
	t.put(checkpointKind, "0", `{"event_id": "e", "sequence_number": 7, "lag": {}}`, false)
	require.Equal(t, "ann", t.owned()[0].OwnerID)
	require.Equal(t, map[string]int64{"0": 7}, t.positions())
}

func otherLanguages(t *scope) {
	var want []etcdstore.Checkpoint
	for i, c := range []struct {
		value          string
		sequenceNumber *int64
		offset         *string
	}{
		{`{"offset":70,"sequence_number":7}`, new(int64(7)), new("70")},
		{`{"offset":"070","sequence_number":"7"}`, new(int64(7)), new("070")},
		{`{"offset":"70"}`, nil, new("70")},
		{`{"offset":null,"sequence_number":-1}`, new(int64(-1)), nil},
		{`{"sequence_number":"9223372036854775807"}`, new(int64(9223372036854775807)), nil},
		{"\n { \"sequence_number\" : 0 }\n", new(int64(0)), nil},
	} {
		partition := strconv.Itoa(i)
		t.put(checkpointKind, partition, c.value, false)
		want = append(want, etcdstore.Checkpoint{
			Group: t.group, PartitionID: partition, SequenceNumber: c.sequenceNumber, Offset: c.offset,
		})
	}
	t.requireCheckpoints(t.group, want...)
}

func recordLeases(t *scope) {
	owned := t.win(t.a, t.ownerships("ann", "0", "1")...)
	lease := t.record(ownershipKind, "0").Lease
	require.NotZero(t, lease)
	require.Equal(t, lease, t.record(ownershipKind, "1").Lease, "one lease, however many partitions")
	owned = t.win(t.a, owned...)
	require.Equal(t, lease, t.record(ownershipKind, "0").Lease)
	relinquished := t.winOne(t.a, as("", owned[0]))
	require.Equal(t, lease, t.record(ownershipKind, "0").Lease, "relinquished, and leased still")
	t.winOne(t.b, as("bob", relinquished))
	other := t.record(ownershipKind, "0").Lease
	require.NotZero(t, other)
	require.NotEqual(t, lease, other, "the new owner's lease")

	require.NoError(t, t.update(t.b, "0", 7))
	kv := t.record(checkpointKind, "0")
	require.Zero(t, kv.Lease)
	require.True(t, json.Valid(kv.Value))
}

func corruptStart(t *scope) {
	t.put(checkpointKind, "0", "{", false)
	owned := t.claim(t.a, "ann", "0")
	_, _, err := t.fencer(t.a).Start(owned)
	t.requireNamed(err, map[string]string{t.key(checkpointKind, "0"): t.etag(checkpointKind, "0")})
	require.NoError(t, t.fencer(t.a).Release(t.Context(), owned))
}
