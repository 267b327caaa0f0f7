package shim

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The supervisor sends orders down one pipe, the shim reports up another. Both are lines of a word and, for some, a
// value.
const (
	// Orders. The first is always trust.
	wordTrust   = "trust"   // until when the program may run, in nanoseconds of Now
	wordTerm    = "term"    // SIGTERM to the program, or to what is left of its group when it has ended
	wordRelease = "release" // kill what is left, reap, report and go

	// Reports.
	wordStarted = "started" // the program's process id
	wordFailed  = "failed"  // why the program could not be started
	wordExpired = "expired" // the deadline has come
	wordEnded   = "ended"   // the program has ended
	wordStatus  = "status"  // its wait status, when it has been reaped
)

// Descriptors of the shim: the program's own two, then the pipes to its supervisor.
const (
	fdOrders  = 5
	fdReports = 6
)

type message struct{ word, value string }

func (m message) send(w io.Writer) error {
	line := m.word
	if m.value != "" {
		line += " " + strings.ReplaceAll(m.value, "\n", "; ")
	}
	if _, err := io.WriteString(w, line+"\n"); err != nil {
		return fmt.Errorf("send %q: %w", m.word, err)
	}
	return nil
}

func (m message) number() (int64, error) {
	n, err := strconv.ParseInt(m.value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %q: %w", m.word, err)
	}
	return n, nil
}

// receive hands on each message until the other side has gone.
func receive(r io.Reader, handle func(message)) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		word, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		handle(message{word, value})
	}
}
