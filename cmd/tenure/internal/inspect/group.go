package inspect

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tenure-go/tenure/etcdstore"
)

// Group is a summary of a group.
type Group struct {
	Group       string `json:"group"`
	Partitions  int    `json:"partitions"`
	Owned       int    `json:"owned"`
	Paused      int    `json:"paused"`
	Members     int    `json:"members"`
	Foreign     int    `json:"foreign"` // owners that are no members
	Checkpoints int    `json:"checkpoints"`
	Corrupt     int    `json:"corrupt"` // records
	Revision    int64  `json:"revision"`
}

// Summary sums a group up.
func Summary(s *etcdstore.Snapshot) Group {
	g := Group{
		Group: s.Group.String(), Members: len(s.Members), Paused: len(s.Controls.Paused), Checkpoints: len(s.Checkpoints),
		Corrupt: len(s.Corrupt), Revision: s.Revision,
	}
	ids := make(map[string]bool)
	for _, id := range s.Controls.Partitions {
		ids[id] = true
	}
	foreign := make(map[string]bool)
	for id, o := range s.Ownerships {
		ids[id] = true
		if o.OwnerID == "" {
			continue
		}
		g.Owned++
		if _, member := s.Members[o.OwnerID]; !member {
			foreign[o.OwnerID] = true
		}
	}
	for id := range s.Checkpoints {
		ids[id] = true
	}
	g.Partitions, g.Foreign = len(ids), len(foreign)
	return g
}

// Notes are what is to be noticed of a group, in a few words.
func (g Group) Notes() string {
	var notes []string
	note := func(n int, one, many string) {
		switch {
		case n == 1:
			notes = append(notes, "1 "+one)
		case n > 1:
			notes = append(notes, fmt.Sprintf("%d %s", n, many))
		}
	}
	note(g.Partitions-g.Owned-g.Paused, "unowned", "unowned")
	note(g.Paused, "paused", "paused")
	note(g.Foreign, "foreign owner", "foreign owners")
	note(g.Corrupt, "corrupt record", "corrupt records")
	return strings.Join(notes, ", ")
}

// GroupChange is a group whose summary has changed, or that was there when the look at it began.
type GroupChange struct {
	Group

	Time time.Time `json:"time"`           // when it was seen
	New  bool      `json:"new,omitempty"`  // not seen before
	Gone bool      `json:"gone,omitempty"` // nothing of it is left
}

// String is the change as a line.
func (c GroupChange) String() string {
	text := fmt.Sprintf("%d of %d partitions owned, %d members, %d checkpoints", c.Owned, c.Partitions, c.Members,
		c.Checkpoints)
	if notes := c.Notes(); notes != "" {
		text += "; " + notes
	}
	if c.Gone {
		text = "nothing is left"
	}
	return fmt.Sprintf("%s  group %s: %s", c.Time.Format("15:04:05.000"), printable(c.Group.Group), text)
}

// GroupTable shows groups.
func GroupTable(groups []Group) Table {
	t := Table{Head: []string{"GROUP", "PARTITIONS", "OWNED", "MEMBERS", "CHECKPOINTS", "NOTES"}}
	for _, g := range groups {
		t.Add(g.Group, strconv.Itoa(g.Partitions), strconv.Itoa(g.Owned), strconv.Itoa(g.Members),
			strconv.Itoa(g.Checkpoints), g.Notes())
	}
	return t
}

// Problems are what is wrong with records that cannot be read, by their keys.
func Problems(s *etcdstore.Snapshot) []string {
	all := make([]string, 0, len(s.Corrupt))
	for _, key := range sorted(s.Corrupt) {
		all = append(all, s.Corrupt[key].Error())
	}
	return all
}
