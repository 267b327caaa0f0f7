package integration_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/member"
	"github.com/tenure-go/tenure/integration/internal/proof"
)

// story is what happened to a world, for people who read what became of it.
type story struct {
	title   string
	began   time.Duration
	entries []entry
	counts  map[string]int // of faults, by name
	healed  []time.Duration
	summary []string
	found   proof.Violations
}

type entry struct {
	at   time.Duration
	what string
}

func newStory(title string) *story {
	return &story{title: title, began: member.Now(), counts: make(map[string]int)}
}

func (s *story) tellf(format string, args ...any) {
	s.entries = append(s.entries, entry{member.Now() - s.began, fmt.Sprintf(format, args...)})
}

func (s *story) sumf(format string, args ...any) {
	s.summary = append(s.summary, fmt.Sprintf(format, args...))
}

// reportEnv names the folder for reports.
const reportEnv = "TENURE_CHAOS_REPORTS"

// write writes the story to a file, if reports are wanted, and returns where it is.
func (s *story) write(t *testing.T, name string, changes []proof.Change) string {
	t.Helper()
	dir := os.Getenv(reportEnv)
	if dir == "" {
		return ""
	}
	require.NoError(t, os.MkdirAll(dir, 0o750))
	path, err := filepath.Abs(filepath.Join(dir, name+".txt"))
	require.NoError(t, err)
	var text strings.Builder
	s.print(&text, changes)
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	return path
}

func (s *story) print(to *strings.Builder, changes []proof.Change) {
	heading := func(text string) { fmt.Fprintf(to, "\n%s\n%s\n", text, strings.Repeat("-", len(text))) }
	fmt.Fprintf(to, "%s\n%s\n", s.title, strings.Repeat("=", len(s.title)))
	for _, line := range s.summary {
		fmt.Fprintln(to, line)
	}
	heading("Violated")
	if len(s.found) == 0 {
		fmt.Fprintln(to, "nothing")
	}
	for _, violation := range s.found {
		fmt.Fprintln(to, violation)
	}
	heading("Faults")
	names := make([]string, 0, len(s.counts))
	for name := range s.counts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(to, "%5d  %s\n", s.counts[name], name)
	}
	heading("Who owned what")
	s.printOwners(to, changes)
	heading("What happened, by seconds")
	for _, e := range s.entries {
		fmt.Fprintf(to, "%8.2f  %s\n", e.at.Seconds(), e.what)
	}
}

// columns is how many moments the picture of owners shows.
const columns = 100

// printOwners draws a line for each partition, with the owner's letter at each moment. Somebody who owned it twice in a
// row may have lost it in between.
func (s *story) printOwners(to *strings.Builder, changes []proof.Change) {
	type at struct {
		told  time.Duration
		owner string
	}
	owners := make(map[string][]at)
	letters := make(map[string]rune)
	end := time.Duration(0)
	for _, c := range changes {
		end = max(end, c.Told-s.began)
		if c.Kind != proof.Ownership {
			continue
		}
		owners[c.Partition] = append(owners[c.Partition], at{c.Told - s.began, c.OwnerID})
		if c.OwnerID != "" && letters[c.OwnerID] == 0 {
			letters[c.OwnerID] = letter(len(letters))
		}
	}
	ids := make([]string, 0, len(owners))
	for id := range owners {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	step := max(end/columns, 1)
	for _, id := range ids {
		line := make([]rune, columns)
		next, owner := 0, ""
		for i := range line {
			for ; next < len(owners[id]) && owners[id][next].told <= time.Duration(i+1)*step; next++ {
				owner = owners[id][next].owner
			}
			line[i] = '.'
			if owner != "" {
				line[i] = letters[owner]
			}
		}
		fmt.Fprintf(to, "%5s  %s\n", id, string(line))
	}
	names := make([]string, 0, len(letters))
	for name := range letters {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(letters[a], letters[b]) })
	fmt.Fprintf(to, "each column is %v; . nobody", step.Round(10*time.Millisecond))
	for i, name := range names {
		if i%8 == 0 {
			fmt.Fprint(to, "\n      ")
		}
		fmt.Fprintf(to, " %c %s", letters[name], name)
	}
	fmt.Fprintln(to)
}

// letter returns the i-th of letters enough for any run: those of Latin, and then others.
func letter(i int) rune {
	const latin = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if i < len(latin) {
		return rune(latin[i])
	}
	return rune(0x3b1 + (i-len(latin))%25 + (i-len(latin))/25*0x400) // Greek, and so on
}
