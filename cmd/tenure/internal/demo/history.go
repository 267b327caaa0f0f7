package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	group       = "local/demo/readers"
	groupPrefix = "/tenure/v1/" + group + "/"
)

// history is what has happened to the group's records in etcd. A mirror of the group would show what is; this keeps
// every revision in between, since that is what has to be judged.
type history struct {
	owner   [partitions]string // "" while nobody has the partition
	before  [partitions]string // who had it last
	gone    [partitions]gone
	next    [partitions]int // the event after the checkpoint
	members map[string]bool // who is present
	claims  []claim
	wrong   []string // checkpoints that should have been refused
}

// gone is the end of a tenure.
type gone struct {
	at       time.Time
	revision int64
}

// claim is the beginning of a tenure.
type claim struct {
	partition int
	owner     string
	from      string        // who had the partition before, "" if nobody had
	next      int           // the event at which the checkpoint of that time has the owner go on
	rested    time.Duration // how long nobody had owned it
	phase     int
}

func newHistory() *history { return &history{members: make(map[string]bool)} }

// follow hands over what changes in the group from the first revision on, until ctx ends.
func follow(ctx context.Context, client *clientv3.Client, changed func([]*clientv3.Event)) error {
	for response := range client.Watch(ctx, groupPrefix, clientv3.WithPrefix(), clientv3.WithRev(1)) {
		if err := response.Err(); err != nil && ctx.Err() == nil {
			return fmt.Errorf("follow the group's records: %w", err)
		}
		changed(response.Events)
	}
	return nil
}

// record is the part of the records' values that is looked at.
type record struct {
	OwnerID        string `json:"owner_id"`
	SequenceNumber *int   `json:"sequence_number"`
}

// add takes in one change.
func (h *history) add(e *clientv3.Event, phase int, at time.Time) error {
	kind, name, _ := strings.Cut(strings.TrimPrefix(string(e.Kv.Key), groupPrefix), "/")
	if kind == "member" {
		if e.Type == clientv3.EventTypeDelete {
			delete(h.members, name)
		} else {
			h.members[name] = true
		}
	}
	if kind != "ownership" && kind != "checkpoint" {
		return nil
	}
	p, err := strconv.Atoi(name)
	if err != nil || p < 0 || p >= partitions {
		return fmt.Errorf("there is a record of a partition that the stream does not have: %s", e.Kv.Key)
	}
	var r record
	if e.Type == clientv3.EventTypePut {
		if err := json.Unmarshal(e.Kv.Value, &r); err != nil {
			return fmt.Errorf("read the record %s: %w", e.Kv.Key, err)
		}
	}
	if kind == "ownership" {
		h.own(p, r.OwnerID, e.Kv.ModRevision, phase, at)
	} else if e.Type == clientv3.EventTypePut {
		h.checkpoint(p, r, e.Kv.ModRevision)
	}
	return nil
}

// own takes in that a partition has an owner, or none.
func (h *history) own(p int, owner string, revision int64, phase int, at time.Time) {
	switch {
	case owner == h.owner[p]:
		return
	case h.owner[p] != "":
		h.before[p] = h.owner[p]
		h.gone[p] = gone{at, revision}
	}
	h.owner[p] = owner
	if owner == "" {
		return
	}
	h.claims = append(h.claims, claim{
		partition: p, owner: owner, from: h.before[p], next: h.next[p], rested: at.Sub(h.gone[p].at), phase: phase,
	})
}

// checkpoint takes in that a checkpoint was written, which only the partition's owner may do, at the latest in the
// transaction by which it gives the partition up.
func (h *history) checkpoint(p int, r record, revision int64) {
	leaving := h.gone[p].revision == revision && h.before[p] == r.OwnerID
	switch {
	case r.SequenceNumber == nil:
		h.wrong = append(h.wrong, fmt.Sprintf("a checkpoint of partition %s has no sequence number", partitionID(p)))
		return
	case h.owner[p] != r.OwnerID && !leaving:
		h.wrong = append(h.wrong, fmt.Sprintf("%s wrote a checkpoint of partition %s, whose owner is %q",
			r.OwnerID, partitionID(p), h.owner[p]))
	case *r.SequenceNumber+1 < h.next[p]:
		h.wrong = append(h.wrong, fmt.Sprintf("the checkpoint of partition %s went back from %d to %d",
			partitionID(p), h.next[p]-1, *r.SequenceNumber))
	}
	h.next[p] = *r.SequenceNumber + 1
}

// shares counts the partitions of each owner.
func (h *history) shares() map[string]int {
	shares := make(map[string]int)
	for _, owner := range h.owner {
		if owner != "" {
			shares[owner]++
		}
	}
	return shares
}
