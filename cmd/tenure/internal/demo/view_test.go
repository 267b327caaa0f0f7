package demo

import (
	"strings"
	"testing"
	"time"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/internal/golden"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

// sample is a scene in the midst of it: carol has been killed, and its lease has not yet run out.
func sample() frame {
	f := frame{
		at:     17400 * time.Millisecond,
		phases: []string{"START", "ADD", "DRAIN", "KILL"},
		members: []memberCell{
			{"alice", working, 4}, {"bob", finished, 0}, {"carol", killed, 4}, {"dave", working, 4},
		},
		lines: []line{
			{1100 * time.Millisecond, "START", "alice, bob and carol are started, to share 12 partitions"},
			{2100 * time.Millisecond, "", "each has 4 after 1.0 s"},
			{6100 * time.Millisecond, "ADD", "dave is started as a fourth"},
			{6800 * time.Millisecond, "", "3 moved, 0 repeated; none was without an owner for over 12 ms"},
			{10800 * time.Millisecond, "DRAIN", "bob is told to finish (SIGTERM)"},
			{10900 * time.Millisecond, "", "3 moved, 0 repeated; none was without an owner for over 8 ms"},
			{15100 * time.Millisecond, "KILL", "carol is killed (SIGKILL); its lease of 2s has to run out"},
		},
	}
	for p := range f.rows {
		owner := []string{"alice", "carol", "dave"}[p%3]
		strip := strings.Fields(strings.Repeat("- ", 2) + strings.Repeat("bob ", 6) + strings.Repeat(owner+" ", 9))
		if owner == "carol" {
			strip = strip[:15]
		}
		for i := range strip {
			strip[i] = strings.Trim(strip[i], "-")
		}
		f.rows[p] = partitionRow{owner: owner, printed: 1300 + 7*p, behind: p, strip: strip}
	}
	f.rows[1].behind, f.rows[2].owner = 1042, ""
	return f
}

func TestView(t *testing.T) {
	t.Parallel()
	golden.Require(t, "view-80x24.txt", sample().render(80, 24, screen.Ink{})+"\n")
	golden.Require(t, "view-120x40.txt", sample().render(120, 40, screen.Ink{})+"\n")
	golden.Require(t, "view-50x12.txt", sample().render(50, 12, screen.Ink{})+"\n")
	golden.Require(t, "view-empty.txt", frame{}.render(80, 24, screen.Ink{})+"\n")
}

// Colours change nothing but the colour.
func TestColours(t *testing.T) {
	t.Parallel()
	coloured := sample().render(80, 24, screen.Ink{Names: memberNames()})
	require.Contains(t, coloured, "\x1b[38;2;86;180;233m")
	require.Equal(t, sample().render(80, 24, screen.Ink{}), ansi.Strip(coloured))
}

func TestViewFits(t *testing.T) {
	t.Parallel()
	f := sample()
	for p := range f.rows {
		f.rows[p].strip = append(f.rows[p].strip, strings.Fields(strings.Repeat("dave ", 100))...)
	}
	f.at = 120 * time.Second
	for width := range 200 {
		for _, height := range []int{0, 1, 5, 20, 24, 60} {
			lines := strings.Split(f.render(width, height, screen.Ink{}), "\n")
			require.LessOrEqual(t, len(lines), max(1, height))
			for _, line := range lines {
				if width >= 80 {
					require.LessOrEqual(t, lipgloss.Width(line), width, line)
				}
			}
		}
	}
}
