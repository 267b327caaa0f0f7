package demo

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// records applies changes to a history, each at a revision and a time of its own unless told otherwise.
type records struct {
	*history

	t        *testing.T
	began    time.Time
	revision int64
}

func newRecords(t *testing.T) *records {
	t.Helper()
	return &records{history: newHistory(), t: t, began: time.Now()}
}

func (r *records) now() time.Time { return r.began.Add(time.Duration(r.revision) * time.Second) }

// put and remove change a record at the current revision.
func (r *records) put(key, value string, values ...any) {
	r.t.Helper()
	require.NoError(r.t, r.add(&clientv3.Event{Type: clientv3.EventTypePut, Kv: &mvccpb.KeyValue{
		Key: []byte(groupPrefix + key), Value: fmt.Appendf(nil, value, values...), ModRevision: r.revision,
	}}, 0, r.now()))
}

func (r *records) remove(key string) {
	r.t.Helper()
	require.NoError(r.t, r.add(&clientv3.Event{Type: clientv3.EventTypeDelete, Kv: &mvccpb.KeyValue{
		Key: []byte(groupPrefix + key), ModRevision: r.revision,
	}}, 0, r.now()))
}

func (r *records) claim(owner string) {
	r.t.Helper()
	r.revision++
	r.put("ownership/07", `{"owner_id":%q}`, owner)
}

func (r *records) checkpoint(sequence int) {
	r.t.Helper()
	r.revision++
	r.put("checkpoint/07", `{"owner_id":"alice","sequence_number":%d}`, sequence)
}

func TestClaims(t *testing.T) {
	t.Parallel()
	r := newRecords(t)
	r.put("control/partitions", `{"partitions":["07"]}`)
	r.put("member/alice", `{"owner_id":"alice"}`)
	require.Equal(t, map[string]bool{"alice": true}, r.members)
	r.claim("alice")
	require.Equal(t, map[string]int{"alice": 1}, r.shares())
	r.checkpoint(41)
	r.revision++
	r.remove("ownership/07") // the lease has run out
	r.remove("member/alice")
	require.Empty(t, r.members)
	require.Empty(t, r.shares())
	r.revision++
	r.claim("bob")
	r.claim("bob") // as one does who renews
	r.claim("carol")
	require.Equal(t, []claim{
		{partition: 7, owner: "alice", rested: r.claims[0].rested},
		{partition: 7, owner: "bob", from: "alice", next: 42, rested: 2 * time.Second},
		{partition: 7, owner: "carol", from: "bob", next: 42},
	}, r.claims)
	require.Empty(t, r.wrong)
}

func TestCheckpointsOfOwners(t *testing.T) {
	t.Parallel()
	for name, inTransaction := range map[string]func(r *records){
		"released first": func(r *records) {
			r.remove("ownership/07")
			r.put("checkpoint/07", `{"owner_id":"alice","sequence_number":9}`)
		},
		"released last": func(r *records) {
			r.put("checkpoint/07", `{"owner_id":"alice","sequence_number":9}`)
			r.remove("ownership/07")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRecords(t)
			r.claim("alice")
			r.checkpoint(5)
			r.checkpoint(5)
			r.revision++
			inTransaction(r)
			r.claim("bob")
			require.Empty(t, r.wrong)
			require.Equal(t, 10, r.claims[1].next)
		})
	}
}

func TestCheckpointsThatShouldHaveBeenRefused(t *testing.T) {
	t.Parallel()
	for wrong, do := range map[string]func(r *records){
		`alice wrote a checkpoint of partition 07, whose owner is "bob"`: func(r *records) {
			r.claim("bob")
			r.checkpoint(8)
		},
		`alice wrote a checkpoint of partition 07, whose owner is ""`: func(r *records) {
			r.revision++
			r.remove("ownership/07")
			r.checkpoint(8)
		},
		"the checkpoint of partition 07 went back from 5 to 4": func(r *records) { r.checkpoint(4) },
		"a checkpoint of partition 07 has no sequence number": func(r *records) {
			r.put("checkpoint/07", `{"owner_id":"alice","offset":1}`)
		},
	} {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			r := newRecords(t)
			r.claim("alice")
			r.checkpoint(5)
			do(r)
			require.Equal(t, []string{wrong}, r.wrong)
		})
	}
}

func TestRecordsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, kv := range []*mvccpb.KeyValue{
		{Key: []byte(groupPrefix + "ownership/12"), Value: []byte(`{"owner_id":"alice"}`)},
		{Key: []byte(groupPrefix + "ownership/x"), Value: []byte(`{"owner_id":"alice"}`)},
		{Key: []byte(groupPrefix + "ownership/07"), Value: []byte(`{`)},
	} {
		require.Error(t, newHistory().add(&clientv3.Event{Type: clientv3.EventTypePut, Kv: kv}, 0, time.Now()))
	}
}
