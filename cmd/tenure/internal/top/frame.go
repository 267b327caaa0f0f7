package top

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/inspect"
	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

// frame is a group at one moment, and how it is looked at.
type frame struct {
	look

	at         time.Time
	summary    inspect.Group
	partitions []partitionRow
	members    []memberRow
	changes    []inspect.Change // oldest first
	rate       float64          // of all
	asked      bool             // how many events partitions are behind
	unasked    error            // why that could not be asked
}

type partitionRow struct {
	inspect.Partition

	rate  float64
	rated bool
}

type memberRow struct {
	inspect.Member

	rate float64
}

// length is how many rows there are to choose from.
func (f *frame) length() int {
	switch f.view {
	case partitions:
		return len(f.shownPartitions())
	case members:
		return len(f.shownMembers())
	case changes, views:
	}
	return len(f.shownChanges())
}

// render draws the frame on a screen of that size. It is made for 80 by 24.
func (f *frame) render(width, height int, ink screen.Ink) string {
	lines := []string{f.title(width, ink), f.line(ink), f.hint(ink), ""}
	foot := f.foot(width, height, ink)
	room := max(0, height-len(lines)-len(foot))
	switch {
	case f.detail != nil:
		lines = append(lines, f.details(width, ink)...)
	case f.view == partitions:
		lines = append(lines, f.partitionGrid(width, room, ink)...)
	case f.view == members:
		lines = append(lines, f.memberGrid(width, room, ink)...)
	default:
		for _, c := range around(f.shownChanges(), 0, room) {
			lines = append(lines, " "+c.String())
		}
	}
	lines = lines[:min(len(lines), max(0, height-len(foot)))]
	for len(lines) < height-len(foot) {
		lines = append(lines, "")
	}
	lines = append(lines, foot...)
	for i := range lines {
		lines[i] = screen.Cut(lines[i], width)
	}
	return strings.Join(lines[:min(len(lines), max(0, height))], "\n")
}

func (f *frame) title(width int, ink screen.Ink) string {
	left := ink.Strong(" tenure top ") + " " + f.summary.Group
	return screen.Justify(left, ink.Faint(f.at.Format("15:04:05")), width-1)
}

func (f *frame) line(ink screen.Ink) string {
	return fmt.Sprintf(" %s, %s owned   %s   %s events/s   %s",
		screen.Count(f.summary.Partitions, "partition", "partitions"), screen.Number(f.summary.Owned),
		screen.Count(f.summary.Members, "member", "members"), perSecond(f.rate),
		ink.Faint(fmt.Sprintf("revision %d", f.summary.Revision)))
}

// hint is the filter, or else what is to be noticed.
func (f *frame) hint(ink screen.Ink) string {
	switch {
	case f.typing:
		return " filter: " + f.filter + "▏"
	case f.filter != "" || f.owner != "":
		var words []string
		if f.owner != "" {
			words = append(words, "owned by "+f.owner)
		}
		if f.filter != "" {
			words = append(words, "with "+f.filter)
		}
		return " only " + strings.Join(words, ", ") + ink.Faint("  (esc: all)")
	}
	if f.unasked != nil {
		first, _, _ := strings.Cut(f.unasked.Error(), "\n")
		return " " + ink.Strong("the stream does not tell: "+first)
	}
	return " " + ink.Strong(f.summary.Notes())
}

// heads returns the columns, with a mark at the one that rows are sorted by.
func (f *frame) heads(columns []screen.Column) []screen.Column {
	for i := range columns {
		if columns[i].Head == f.order() {
			columns[i].Head += "*"
		}
	}
	return columns
}

func (f *frame) partitionGrid(width, room int, ink screen.Ink) []string {
	columns := f.heads([]screen.Column{
		{Head: "PARTITION"}, {Head: "OWNER"}, {Head: "SINCE", Right: true}, {Head: "SEQUENCE", Right: true},
		{Head: "RATE", Right: true}, {Head: "AGE", Right: true}, {Head: "STATE"}, {Head: "WHY"},
	})
	const before = 4 // the lag stands behind the sequence number
	if f.asked {
		columns = slices.Insert(columns, before, f.heads([]screen.Column{{Head: "LAG", Right: true}})...)
	}
	all := f.shownPartitions()
	rows := make([][]string, len(all))
	for i, p := range all {
		sequence, _, age := p.Checkpoint.Cells(f.at)
		rate := "-"
		if p.rated {
			rate = perSecond(p.rate)
		}
		rows[i] = []string{
			p.ID, ink.Name(p.OwnerID, cmp.Or(p.OwnerID, "-")), inspect.Ago(f.at, p.Since), sequence, rate, age,
			p.State(), ink.Faint(p.Moved()),
		}
		if f.asked {
			rows[i] = slices.Insert(rows[i], before, p.LagText())
		}
	}
	return f.choose(columns, rows, width, room, ink)
}

func (f *frame) memberGrid(width, room int, ink screen.Ink) []string {
	columns := f.heads([]screen.Column{
		{Head: "MEMBER"}, {Head: "PARTITIONS", Right: true}, {Head: "RATE", Right: true}, {Head: "SINCE", Right: true},
		{Head: "STATE"}, {Head: "SHARE"},
	})
	most := 1
	for _, m := range f.members {
		most = max(most, len(m.Partitions))
	}
	all := f.shownMembers()
	rows := make([][]string, len(all))
	for i, m := range all {
		const longest = 30
		rows[i] = []string{
			ink.Name(m.OwnerID, m.OwnerID), screen.Number(len(m.Partitions)), perSecond(m.rate), inspect.Ago(f.at, m.Since),
			m.StateWords(), ink.Name(m.OwnerID, strings.Repeat("━", len(m.Partitions)*longest/most)),
		}
	}
	return f.choose(columns, rows, width, room, ink)
}

// choose draws those rows that fit, the chosen one among them.
func (f *frame) choose(columns []screen.Column, rows [][]string, width, room int, ink screen.Ink) []string {
	lines := screen.Grid(columns, rows, width, ink)
	head, body := lines[0], lines[1:]
	chosen := min(f.chosen, len(body)-1)
	if chosen >= 0 {
		body[chosen] = ink.Chosen(">" + strings.TrimPrefix(body[chosen], " "))
	}
	return append([]string{head}, around(body, chosen, room-1)...)
}

// around returns as many of a list as there is room for, so that one of them is in it.
func around[T any](all []T, one, room int) []T {
	room = max(0, room)
	from := min(max(0, one-room/2), max(0, len(all)-room))
	return all[from:min(len(all), from+room)]
}

// foot is the latest changes, where there is room for them, and the keys.
func (f *frame) foot(width, height int, ink screen.Ink) []string {
	keys := " q quit  tab " + ((f.view + 1) % views).String() + "  s sort  r reverse  / filter  enter open  esc back"
	if f.typing {
		keys = " enter done  esc all"
	}
	const latest, enough = 4, 18
	var lines []string
	if height >= enough && f.view != changes {
		lines = append(lines, "", ink.Faint(" latest changes"))
		all := f.changes[max(0, len(f.changes)-latest):]
		for _, c := range slices.Backward(all) {
			lines = append(lines, screen.Cut(" "+c.String(), width))
		}
		for len(lines) < latest+2 {
			lines = append(lines, "")
		}
	}
	return append(lines, ink.Faint(keys))
}

// perSecond writes a rate: with one decimal if it is small.
func perSecond(rate float64) string {
	if rate > 0 && rate < 10 {
		return fmt.Sprintf("%.1f", rate)
	}
	return screen.Number(int(math.Round(rate)))
}
