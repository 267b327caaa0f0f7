package inspect

import (
	"cmp"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/tenure-go/tenure/etcdstore"
)

// Change is something that has changed in a group.
type Change struct {
	Time       time.Time   `json:"time"` // when it was seen
	Revision   int64       `json:"revision"`
	Partition  string      `json:"partition,omitempty"`
	Member     string      `json:"member,omitempty"`
	Text       string      `json:"text"`
	OwnerID    *string     `json:"owner_id,omitempty"` // of the partition, now
	Before     *string     `json:"previous_owner,omitempty"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
}

// String is the change as a line.
func (c Change) String() string {
	what := "partition " + c.Partition
	if c.Member != "" {
		what = "member " + c.Member
	}
	return fmt.Sprintf("%s  %s %s", c.Time.Format("15:04:05.000"), printable(what), printable(c.Text))
}

// PartitionChanges tells what has changed of partitions and their owners between two snapshots.
func PartitionChanges(before, after *etcdstore.Snapshot, now time.Time) (all []Change) {
	ids := make(map[string]bool)
	for _, s := range []*etcdstore.Snapshot{before, after} {
		for id := range s.Ownerships {
			ids[id] = true
		}
		for id := range s.Controls.Paused {
			ids[id] = true
		}
		for id := range s.Controls.Pinned {
			ids[id] = true
		}
		for id := range s.Controls.Avoid {
			ids[id] = true
		}
	}
	for _, id := range sorted(ids) {
		was, is := before.Ownerships[id], after.Ownerships[id]
		add := func(text string) *Change {
			all = append(all, Change{Time: now, Revision: after.Revision, Partition: id, Text: text})
			return &all[len(all)-1]
		}
		if was.ETag != is.ETag {
			c := add(moved(was, is))
			c.OwnerID, c.Before = &is.OwnerID, &was.OwnerID
		}
		for _, text := range controlChanges(controlsOf(before, id), controlsOf(after, id), now) {
			add(text)
		}
	}
	return all
}

func moved(was, is etcdstore.Ownership) string {
	switch is.OwnerID {
	case "":
		return "is free, " + cmp.Or(was.OwnerID, "nobody") + " had it"
	case was.OwnerID:
		return "is claimed again by " + is.OwnerID + because(is.Reason)
	}
	return cmp.Or(was.OwnerID, "nobody") + " -> " + is.OwnerID + because(is.Reason)
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// controlChanges tells which controls have come, and which have gone.
func controlChanges(before, after []Control, now time.Time) (texts []string) {
	has := func(all []Control, c Control) bool {
		for _, other := range all {
			if reflect.DeepEqual(other, c) {
				return true
			}
		}
		return false
	}
	for _, c := range after {
		if !has(before, c) {
			texts = append(texts, "is "+c.Words(now))
		}
	}
	for _, c := range before {
		gone := true
		for _, other := range after {
			gone = gone && (other.Kind != c.Kind || other.OwnerID != c.OwnerID)
		}
		if gone {
			texts = append(texts, "is no longer "+c.state())
		}
	}
	return texts
}

// MemberChanges tells who has come and gone between two snapshots, and what else has become of members.
func MemberChanges(before, after *etcdstore.Snapshot, now time.Time) (all []Change) {
	was, is := make(map[string]Member), make(map[string]Member)
	ids := make(map[string]bool)
	for _, m := range Members(before) {
		was[m.OwnerID], ids[m.OwnerID] = m, true
	}
	for _, m := range Members(after) {
		is[m.OwnerID], ids[m.OwnerID] = m, true
	}
	for _, id := range sorted(ids) {
		old, m := was[id], is[id]
		var texts []string
		switch {
		case m.State == "":
			texts = append(texts, "is gone")
		case old.State == "":
			texts = append(texts, strings.TrimSpace("is here, "+m.State))
		case old.State != m.State:
			texts = append(texts, "is "+m.State)
		case old.Instance != m.Instance:
			texts = append(texts, "is another process")
		}
		if m.State != "" && len(old.Partitions) != len(m.Partitions) {
			texts = append(texts, fmt.Sprintf("has %d partitions, and had %d", len(m.Partitions), len(old.Partitions)))
		}
		texts = append(texts, controlChanges(old.Controls, m.Controls, now)...)
		for _, text := range texts {
			all = append(all, Change{Time: now, Revision: after.Revision, Member: id, Text: text})
		}
	}
	return all
}

// CheckpointChanges tells which checkpoints have changed between two snapshots.
func CheckpointChanges(before, after *etcdstore.Snapshot, now time.Time) (all []Change) {
	ids := make(map[string]bool)
	for id, c := range after.Checkpoints {
		if was, ok := before.Checkpoints[id]; !ok || !reflect.DeepEqual(was, c) {
			ids[id] = true
		}
	}
	for id := range before.Checkpoints {
		if _, ok := after.Checkpoints[id]; !ok {
			ids[id] = true
		}
	}
	for _, id := range sorted(ids) {
		change := Change{Time: now, Revision: after.Revision, Partition: id, Text: "has no checkpoint any more"}
		if c, ok := after.Checkpoints[id]; ok {
			change.Checkpoint = checkpointOf(c)
			sequence, offset, _ := change.Checkpoint.Cells(now)
			change.Text = fmt.Sprintf("is at sequence number %s, offset %s, written by %s", sequence, offset, orDash(c.OwnerID))
		}
		all = append(all, change)
	}
	return all
}
