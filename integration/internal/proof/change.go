package proof

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// The kinds of records that are looked at, by the word in their keys. A revision may change records of several kinds:
// changes come in the order of these.
const (
	Checkpoint = "checkpoint"
	Ownership  = "ownership"
)

// Change is a change of one record in etcd.
type Change struct {
	Kind, Partition string
	Group           string // the beginning of the key, up to the kind
	Revision        int64
	Deleted         bool
	Leased          bool
	Told            time.Duration // when the recorder was told

	// What the record holds, if it was not deleted.
	OwnerID        string `json:"owner_id"`
	SequenceNumber int64  `json:"sequence_number"`
}

// Changes returns what events change, in order. A checkpoint and an ownership that one revision changes are the former
// owner's last checkpoint and its release, so the checkpoint comes first.
func Changes(events []*clientv3.Event) []Change {
	var all []Change
	for _, event := range events {
		all = append(all, changeOf(event))
	}
	slices.SortStableFunc(all, func(a, b Change) int {
		if a.Revision == b.Revision {
			return strings.Compare(a.Kind, b.Kind)
		}
		return int(a.Revision - b.Revision)
	})
	return all
}

func changeOf(event *clientv3.Event) Change {
	c := Change{
		Revision: event.Kv.ModRevision, Deleted: event.Type == clientv3.EventTypeDelete, Leased: event.Kv.Lease != 0,
	}
	parts := strings.Split(string(event.Kv.Key), "/")
	if len(parts) < 2 || !c.Deleted && json.Unmarshal(event.Kv.Value, &c) != nil {
		return c
	}
	c.Kind = parts[len(parts)-2]
	c.Group = strings.Join(parts[:len(parts)-2], "/") + "/"
	c.Partition, _ = url.PathUnescape(parts[len(parts)-1])
	return c
}
