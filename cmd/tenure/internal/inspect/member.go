package inspect

import (
	"strconv"
	"time"

	"github.com/tenure-go/tenure/etcdstore"
)

// What a member does, as [Member.State] says.
const (
	Working = "working"
	Leaving = "leaving"
	Away    = "away"    // its partitions are kept for it
	Foreign = "foreign" // it owns partitions and is no member: an SDK's Processor, or a program that uses the store
)

// Member is one that owns partitions of a group, or takes part in it.
type Member struct {
	OwnerID    string    `json:"owner_id"`
	State      string    `json:"state"`
	Partitions []string  `json:"partitions"` // that it owns, or that are kept for it
	Weight     int       `json:"weight,omitempty"`
	Capacity   int       `json:"capacity,omitempty"` // 0: no limit
	Since      time.Time `json:"since,omitzero"`
	Instance   string    `json:"instance,omitempty"`
	Controls   []Control `json:"controls,omitempty"`
}

// Members returns all members of a group, whoever else owns partitions, and those that are away for a while.
func Members(s *etcdstore.Snapshot) []Member {
	byID := make(map[string]*Member)
	member := func(id, state string) *Member {
		m := byID[id]
		if m == nil {
			m = &Member{OwnerID: id, State: state, Partitions: []string{}}
			byID[id] = m
		}
		return m
	}
	for id, of := range s.Members {
		m := member(id, Working)
		m.Weight, m.Capacity, m.Since, m.Instance = max(1, of.Weight), of.Capacity, of.StartedAt, of.Instance
		if of.Leaving {
			m.State = Leaving
		}
	}
	for _, id := range sorted(s.Ownerships) {
		if owner := s.Ownerships[id].OwnerID; owner != "" {
			m := member(owner, Foreign)
			m.Partitions = append(m.Partitions, id)
		}
	}
	kept := keptFor(s)
	for _, id := range sorted(kept) {
		m := member(kept[id], Away)
		m.Partitions = append(m.Partitions, id)
	}
	all := make([]Member, 0, len(byID))
	for _, id := range sorted(byID) {
		m := *byID[id]
		if c, ok := s.Controls.Drained[id]; ok {
			m.Controls = append(m.Controls, controlOf(etcdstore.Drain, c))
		}
		if c, ok := s.Controls.Cordoned[id]; ok {
			m.Controls = append(m.Controls, controlOf(etcdstore.Cordon, c))
		}
		all = append(all, m)
	}
	return all
}

// StateWords is what a member does, and what is wanted of it.
func (m Member) StateWords() string {
	if len(m.Controls) > 0 {
		return m.State + ", " + states(m.Controls)
	}
	return m.State
}

// MemberTable shows members.
func MemberTable(members []Member, now time.Time) Table {
	t := Table{Head: []string{"MEMBER", "PARTITIONS", "WEIGHT", "CAPACITY", "SINCE", "STATE", "WHY"}}
	for _, m := range members {
		weight, capacity, why := "-", "-", ""
		if m.Weight > 0 {
			weight = strconv.Itoa(m.Weight)
		}
		if m.Capacity > 0 {
			capacity = strconv.Itoa(m.Capacity)
		}
		if len(m.Controls) > 0 {
			why = m.Controls[0].Reason
		}
		t.Add(m.OwnerID, strconv.Itoa(len(m.Partitions)), weight, capacity, Ago(now, m.Since), m.StateWords(), why)
	}
	return t
}
