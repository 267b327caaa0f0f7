package inspect

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tenure-go/tenure/etcdstore"
)

// Partition is one partition of a group.
type Partition struct {
	ID            string      `json:"partition"`
	OwnerID       string      `json:"owner_id"` // "" if nobody owns it
	Since         time.Time   `json:"since,omitzero"`
	Revision      int64       `json:"revision,omitempty"` // of the claim: the fence
	PreviousOwner string      `json:"previous_owner,omitempty"`
	Reason        string      `json:"reason,omitempty"`
	Checkpoint    *Checkpoint `json:"checkpoint,omitempty"`
	Lag           *int64      `json:"lag,omitempty"`      // events after the checkpoint, if the stream was asked
	KeptFor       string      `json:"kept_for,omitempty"` // an owner that is away
	Controls      []Control   `json:"controls,omitempty"`
	Corrupt       []string    `json:"corrupt,omitempty"` // what is wrong with its records
}

// Checkpoint is one partition's.
type Checkpoint struct {
	ID             string    `json:"partition"`
	SequenceNumber *int64    `json:"sequence_number,omitempty"`
	Offset         *string   `json:"offset,omitempty"`
	OwnerID        string    `json:"owner_id,omitempty"`
	WrittenAt      time.Time `json:"written_at,omitzero"`
	Corrupt        string    `json:"corrupt,omitempty"`
}

// Partitions returns all that a group has, or has records of.
func Partitions(s *etcdstore.Snapshot) []Partition {
	ids := make(map[string]bool, len(s.Controls.Partitions))
	for _, id := range s.Controls.Partitions {
		ids[id] = true
	}
	for id := range s.Ownerships {
		ids[id] = true
	}
	for id := range s.Checkpoints {
		ids[id] = true
	}
	for id := range s.Controls.Paused {
		ids[id] = true
	}
	kept := keptFor(s)
	corrupt := corruptOf(s)
	all := make([]Partition, 0, len(ids))
	for _, id := range sorted(ids) {
		p := Partition{ID: id, KeptFor: kept[id], Corrupt: corrupt[id]}
		if o, ok := s.Ownerships[id]; ok {
			p.OwnerID, p.Since, p.PreviousOwner, p.Reason = o.OwnerID, o.LastModifiedTime, o.PreviousOwner, o.Reason
			p.Revision, _ = strconv.ParseInt(o.ETag, 10, 64)
		}
		if c, ok := s.Checkpoints[id]; ok {
			p.Checkpoint = checkpointOf(c)
		}
		p.Controls = controlsOf(s, id)
		all = append(all, p)
	}
	return all
}

// keptFor tells by partition for which owner, that is away, it is kept.
func keptFor(s *etcdstore.Snapshot) map[string]string {
	kept := make(map[string]string)
	for _, owner := range sorted(s.Reserved) {
		if _, here := s.Members[owner]; here {
			continue
		}
		for _, id := range s.Reserved[owner] {
			if _, owned := s.Ownerships[id]; !owned && kept[id] == "" {
				kept[id] = owner
			}
		}
	}
	return kept
}

func controlsOf(s *etcdstore.Snapshot, id string) (all []Control) {
	if c, ok := s.Controls.Paused[id]; ok {
		all = append(all, controlOf(etcdstore.Pause, c))
	}
	if c, ok := s.Controls.Pinned[id]; ok {
		all = append(all, controlOf(etcdstore.Pin, c))
	}
	for _, owner := range sorted(s.Controls.Avoid[id]) {
		all = append(all, controlOf(etcdstore.Avoid, s.Controls.Avoid[id][owner]))
	}
	return all
}

// corruptOf tells by partition what is wrong with its ownership or checkpoint.
func corruptOf(s *etcdstore.Snapshot) map[string][]string {
	all := make(map[string][]string)
	for _, key := range sorted(s.Corrupt) {
		segments := strings.Split(key, "/")
		kind := segments[len(segments)-2]
		id, err := url.PathUnescape(segments[len(segments)-1])
		if err == nil && (kind == "ownership" || kind == "checkpoint") {
			all[id] = append(all[id], s.Corrupt[key].Error())
		}
	}
	return all
}

func checkpointOf(c etcdstore.Checkpoint) *Checkpoint {
	return &Checkpoint{
		ID: c.PartitionID, SequenceNumber: c.SequenceNumber, Offset: c.Offset, OwnerID: c.OwnerID,
		WrittenAt: c.LastModifiedTime,
	}
}

// State is what is to be noticed of a partition, in a few words.
func (p Partition) State() string {
	var words []string
	switch {
	case len(p.Corrupt) > 0:
		words = append(words, "CORRUPT")
	case p.KeptFor != "":
		words = append(words, "kept for "+p.KeptFor)
	case p.OwnerID == "" && len(p.Controls) == 0:
		words = append(words, "unowned")
	}
	if len(p.Controls) > 0 {
		words = append(words, states(p.Controls))
	}
	return strings.Join(words, ", ")
}

// Moved tells why a partition came to its owner.
func (p Partition) Moved() string {
	if p.PreviousOwner != "" && p.PreviousOwner != p.OwnerID && !strings.Contains(p.Reason, p.PreviousOwner) {
		return strings.TrimSuffix("from "+p.PreviousOwner+": "+p.Reason, ": ")
	}
	return p.Reason
}

// PartitionTable shows partitions.
func PartitionTable(partitions []Partition, now time.Time) Table {
	t := Table{Head: []string{"PARTITION", "OWNER", "SINCE", "SEQUENCE", "OFFSET", "AGE", "STATE", "WHY"}}
	asked := slices.ContainsFunc(partitions, func(p Partition) bool { return p.Lag != nil })
	const before = 4 // it stands behind the sequence number
	if asked {
		t.Head = slices.Insert(t.Head, before, "LAG")
	}
	for _, p := range partitions {
		sequence, offset, age := p.Checkpoint.Cells(now)
		row := []string{p.ID, orDash(p.OwnerID), Ago(now, p.Since), sequence, offset, age, p.State(), p.Moved()}
		if asked {
			row = slices.Insert(row, before, p.LagText())
		}
		t.Add(row...)
	}
	return t
}

// LagText is the lag in a table.
func (p Partition) LagText() string {
	if p.Lag == nil {
		return "-"
	}
	return strconv.FormatInt(*p.Lag, 10)
}

// Cells are a checkpoint's in a table. Nothing is shown where there is none.
func (c *Checkpoint) Cells(now time.Time) (sequence, offset, age string) {
	if c == nil {
		return "-", "-", ""
	}
	sequence, offset = "-", "-"
	if c.SequenceNumber != nil {
		sequence = strconv.FormatInt(*c.SequenceNumber, 10)
	}
	if c.Offset != nil {
		offset = *c.Offset
	}
	return sequence, offset, Ago(now, c.WrittenAt)
}

// Checkpoints returns a group's checkpoints, those that cannot be read among them.
func Checkpoints(s *etcdstore.Snapshot) []Checkpoint {
	var all []Checkpoint
	for _, p := range Partitions(s) {
		if p.Checkpoint != nil {
			all = append(all, *p.Checkpoint)
		}
	}
	return all
}

// CheckpointTable shows checkpoints.
func CheckpointTable(checkpoints []Checkpoint, now time.Time) Table {
	t := Table{Head: []string{"PARTITION", "SEQUENCE", "OFFSET", "AGE", "WRITTEN BY"}}
	for _, c := range checkpoints {
		sequence, offset, age := c.Cells(now)
		t.Add(c.ID, sequence, offset, age, orDash(c.OwnerID))
	}
	return t
}
