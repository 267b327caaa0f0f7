package top

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
)

// view is what fills the screen.
type view int

const (
	partitions view = iota
	members
	changes
	views // how many there are
)

func (v view) String() string { return [...]string{"partitions", "members", "changes"}[v] }

// look is how somebody looks at it: what the keys change.
type look struct {
	view     view
	sort     [views]int
	reversed [views]bool
	filter   string
	owner    string // only what this one owns is shown
	typing   bool   // the filter
	chosen   int    // a row
	detail   *detail
}

// orders are by what rows can be sorted.
func (v view) orders() []string {
	switch v {
	case partitions:
		return []string{"PARTITION", "OWNER", "SINCE", "RATE", "AGE", "STATE", "LAG"}
	case members:
		return []string{"MEMBER", "PARTITIONS", "RATE", "SINCE", "STATE"}
	case changes, views:
	}
	return nil
}

// order is the one that is chosen.
func (l *look) order() string {
	all := l.view.orders()
	if len(all) == 0 {
		return ""
	}
	return all[l.sort[l.view]%len(all)]
}

// shows reports whether the filter lets any of the texts through.
func (l *look) shows(texts ...string) bool {
	for _, text := range texts {
		if strings.Contains(strings.ToLower(text), strings.ToLower(l.filter)) {
			return true
		}
	}
	return false
}

// shownPartitions returns the partitions that are let through, in the order that is chosen.
func (f *frame) shownPartitions() []partitionRow {
	var rows []partitionRow
	for _, p := range f.partitions {
		if (f.owner == "" || p.OwnerID == f.owner) && f.shows(p.ID, p.OwnerID, p.State()) {
			rows = append(rows, p)
		}
	}
	by := f.order()
	slices.SortStableFunc(rows, func(a, b partitionRow) int {
		switch by {
		case "OWNER":
			return inspect.Natural(a.OwnerID, b.OwnerID)
		case "SINCE":
			return b.Since.Compare(a.Since)
		case "RATE":
			return cmp.Compare(b.rate, a.rate)
		case "AGE":
			return written(a).Compare(written(b))
		case "STATE":
			return cmp.Compare(b.State(), a.State())
		case "LAG":
			return cmp.Compare(lag(b), lag(a))
		}
		return 0
	})
	if f.reversed[f.view] {
		slices.Reverse(rows)
	}
	return rows
}

func lag(p partitionRow) int64 {
	if p.Lag == nil {
		return -1
	}
	return *p.Lag
}

// written is when a partition's checkpoint was, long ago if there is none.
func written(p partitionRow) time.Time {
	if p.Checkpoint == nil {
		return time.Time{}
	}
	return p.Checkpoint.WrittenAt
}

func (f *frame) shownMembers() []memberRow {
	var rows []memberRow
	for _, m := range f.members {
		if f.shows(m.OwnerID, m.StateWords()) {
			rows = append(rows, m)
		}
	}
	by := f.order()
	slices.SortStableFunc(rows, func(a, b memberRow) int {
		switch by {
		case "PARTITIONS":
			return cmp.Compare(len(b.Partitions), len(a.Partitions))
		case "RATE":
			return cmp.Compare(b.rate, a.rate)
		case "SINCE":
			return b.Since.Compare(a.Since)
		case "STATE":
			return cmp.Compare(b.StateWords(), a.StateWords())
		}
		return 0
	})
	if f.reversed[f.view] {
		slices.Reverse(rows)
	}
	return rows
}

func (f *frame) shownChanges() []inspect.Change {
	var all []inspect.Change
	for _, c := range slices.Backward(f.changes) {
		if f.shows(c.String()) {
			all = append(all, c)
		}
	}
	return all
}
