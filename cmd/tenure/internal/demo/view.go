package demo

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

// frame is the scene at one moment, as the view shows it.
type frame struct {
	at      time.Duration
	phases  []string // that have begun, by name
	members []memberCell
	rows    [partitions]partitionRow
	lines   []line
	ending  bool
}

type memberCell struct {
	name  string
	state state
	share int
}

type partitionRow struct {
	owner   string
	printed int      // events
	behind  int      // events that nobody has printed yet
	strip   []string // by second: who printed of it
}

// acts are all phases' names, in their order.
func acts() []string { return []string{"START", "ADD", "DRAIN", "KILL", "PAUSE", "WAKE", "END"} }

func (s *scene) frame() frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := frame{at: time.Since(s.began), lines: slices.Clone(s.lines)}
	for _, p := range s.phases {
		f.phases = append(f.phases, p.name)
	}
	shares := s.history.shares()
	for _, name := range s.names {
		f.members = append(f.members, memberCell{name, s.states[name], shares[name]})
	}
	for p := range f.rows {
		f.rows[p] = partitionRow{
			owner:   s.history.owner[p],
			printed: s.ledger.upTo[p],
			behind:  max(0, s.appended[p]-s.ledger.upTo[p]),
			strip:   slices.Clone(s.ledger.strips[p]),
		}
	}
	return f
}

// render draws the frame on a screen of that size. It is made for 80 by 24: with more lines the log is longer, with
// more columns the strips are.
func (f frame) render(width, height int, ink screen.Ink) string {
	lines := make([]string, 0, height)
	lines = append(lines, f.title(width, ink), "")
	lines = append(lines, f.legend(ink)...)
	lines = append(lines, "")
	lines = append(lines, f.grid(width, ink)...)
	lines = append(lines, "")
	room := max(0, height-len(lines))
	for _, l := range f.lines[max(0, len(f.lines)-room):] {
		lines = append(lines, said(l, ink))
	}
	return strings.Join(lines[:min(len(lines), height)], "\n")
}

// title tells how far the script has come.
func (f frame) title(width int, ink screen.Ink) string {
	words := []string{ink.Strong(" tenure demo ")}
	plain := len(" tenure demo ")
	for i, name := range acts() {
		switch {
		case i == len(f.phases)-1:
			words = append(words, ink.Strong("["+name+"]"))
			plain += 2
		case i < len(f.phases):
			words = append(words, name)
		default:
			words = append(words, ink.Faint(name))
		}
		plain += 1 + len(name)
	}
	right := fmt.Sprintf("%.0f s   q quits", f.at.Seconds())
	if f.ending {
		right = "ending ..."
	}
	return strings.Join(words, " ") + strings.Repeat(" ", max(1, width-1-plain-len(right))) + ink.Faint(right)
}

// legend names the members and what they are doing.
func (f frame) legend(ink screen.Ink) []string {
	var names, states strings.Builder
	for _, m := range f.members {
		mark, does := "●", string(m.state)
		switch m.state {
		case finished, killed:
			mark = "○"
		case paused:
			mark = "◌"
		case working:
			does = screen.Count(m.share, "partition", "partitions")
		case starting, finishing, waking:
		}
		names.WriteString(" " + ink.Name(m.name, fmt.Sprintf("%s %-15s", mark, m.name)))
		states.WriteString("   " + ink.Faint(fmt.Sprintf("%-15s", does)))
	}
	return []string{names.String(), states.String()}
}

// grid shows the partitions.
func (f frame) grid(width int, ink screen.Ink) []string {
	columns := []screen.Column{
		{Head: "partition"}, {Head: "owner"}, {Head: "printed", Right: true}, {Head: "behind", Right: true},
		{Head: "who printed it, second by second"},
	}
	const left = 36 // what stands before the strips
	rows := make([][]string, 0, len(f.rows))
	for p, r := range f.rows {
		behind := screen.Number(r.behind)
		if r.behind < rate/partitions { // a second's worth
			behind = ink.Faint(behind)
		}
		rows = append(rows, []string{
			partitionID(p), ink.Name(r.owner, cmp.Or(r.owner, "-")), screen.Number(r.printed), behind,
			r.drawStrip(int(f.at.Seconds()), max(0, width-1-left), ink),
		})
	}
	return screen.Grid(columns, rows, width, ink)
}

// drawStrip draws the last seconds up to now: a member's first letter where it begins, a line for as long as it goes
// on, and dots where nobody printed. So nothing depends on the colours.
func (r partitionRow) drawStrip(now, room int, ink screen.Ink) string {
	by := slices.Clone(r.strip)
	for len(by) < now { // the second that is on may yet bring something
		by = append(by, "")
	}
	by = by[min(len(by), max(0, now+1-room)):]
	var strip strings.Builder
	for len(by) > 0 {
		member, length := by[0], 1
		for length < len(by) && by[length] == member {
			length++
		}
		if member == "" {
			strip.WriteString(ink.Faint(strings.Repeat("·", length)))
		} else {
			strip.WriteString(ink.Name(member, member[:1]+strings.Repeat("━", length-1)))
		}
		by = by[length:]
	}
	return strip.String()
}
