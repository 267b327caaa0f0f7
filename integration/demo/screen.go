package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
)

// screen writes what people see. Its lines fit into 80 columns.
type screen struct {
	out    io.Writer
	colour bool
	names  []string
}

func newScreen(out *os.File) *screen {
	return &screen{out: out, colour: term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == ""}
}

func (s *screen) printf(format string, values ...any) {
	_, _ = fmt.Fprintf(s.out, format, values...) // a terminal that has gone ends the demo by a signal
}

func (s *screen) title() {
	s.printf("Three consumers share an event hub's partitions, on an etcd of their own.\nThen one of them is killed.\n\n")
}

func (s *screen) stepf(format string, values ...any) { s.printf("  "+format+"\n", values...) }

// header begins the table, which has a row for each second.
func (s *screen) header(names []string) {
	s.names = names
	s.printf("\n       who reads partition         events in this second    not yet\n time  ")
	for p := range partitions {
		s.printf("%d  ", p)
	}
	for _, name := range names {
		s.printf("%s", s.name(fmt.Sprintf("%6s", name), name))
	}
	s.printf("%7s%10s\n", "all", "printed")
}

func (s *screen) row(at time.Duration, second second, behind int) {
	s.printf("%3d s  ", int(at.Round(time.Second).Seconds()))
	for _, reader := range second.readers {
		s.printf("%s  ", s.name(cmp.Or(reader, "."), reader))
	}
	all := 0
	for _, name := range s.names {
		all += second.events[name]
		s.printf("%s", s.name(fmt.Sprintf("%6d", second.events[name]), name))
	}
	s.printf("%7d%10d\n", all, behind)
}

func (s *screen) notef(format string, values ...any) {
	s.printf("%s\n", s.bold("--- "+fmt.Sprintf(format, values...)))
}

func (s *screen) move(m move) {
	s.printf("    partition %d: %s goes on at event %d, %.1f s after the kill; %d events are repeated\n",
		m.partition, s.name(m.to, m.to), m.event, m.after.Seconds(), m.repeated)
}

func (s *screen) result(appended, printed, missed, repeated int, moves []move, killed string) {
	s.printf("\n%s\n", s.bold(fmt.Sprintf("%d events appended, %d printed, %d missed, %d repeated.",
		appended, printed, missed, repeated)))
	if len(moves) == 0 {
		return
	}
	byRest := func(a, b move) int { return cmp.Compare(a.after, b.after) }
	s.printf("%s's partitions rested for %.1f to %.1f s and went on from its last checkpoints.\n"+
		"What it had printed after those was repeated: at least once, never lost.\n", killed,
		slices.MinFunc(moves, byRest).after.Seconds(), slices.MaxFunc(moves, byRest).after.Seconds())
}

// name colours a text as the consumer's.
func (s *screen) name(text, consumer string) string {
	i := slices.Index(s.names, consumer)
	if !s.colour || i < 0 {
		return text
	}
	return fmt.Sprintf("\x1b[3%dm%s\x1b[0m", []int{6, 3, 5}[i%3], text)
}

func (s *screen) bold(text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[1m" + text + "\x1b[0m"
}

// list writes names as people do: A, B and C.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
