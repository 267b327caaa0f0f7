package supervise

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/tenure-go/tenure/etcdstore"
)

// outcome is what became of a line of descriptor 3, in the word that descriptor 4 has for it.
type outcome string

const (
	undecided outcome = ""         // not answered yet
	durable   outcome = "durable"  // this checkpoint is stored, or a later one of the same worker
	rejected  outcome = "rejected" // it is not stored and will not be
	unknown   outcome = "unknown"  // it may be stored, or may be yet
	invalid   outcome = "invalid"  // the line is no checkpoint
)

// run is a number of lines, one after the other, with one outcome.
type run struct {
	outcome outcome
	reason  string
	lines   int
}

// appendRun adds a run to the end, where it may continue the last one.
func appendRun(runs []run, next run) []run {
	if n := len(runs); n > 0 && runs[n-1].outcome == next.outcome && runs[n-1].reason == next.reason {
		runs[n-1].lines += next.lines
		return runs
	}
	return append(runs, next)
}

// judge returns what became of a checkpoint, and why, in one line.
func judge(err error) (outcome, string) {
	var result outcome
	switch {
	case err == nil:
		return durable, ""
	case errors.Is(err, etcdstore.ErrOutcomeUnknown):
		result = unknown
	case errors.Is(err, etcdstore.ErrInvalidArgument):
		result = invalid
	case errors.Is(err, etcdstore.ErrOwnershipLost), errors.Is(err, etcdstore.ErrCheckpointConflict),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		result = rejected
	default:
		result = unknown
	}
	return result, strings.ReplaceAll(err.Error(), "\n", "; ")
}

// maxRuns bounds what is kept for a worker that does not read its answers. Only changes of outcome count: a million
// durable checkpoints are one run.
const maxRuns = 1024

// chunk is how many answers are written at once.
const chunk = 256

// answers are what a worker is to be told on descriptor 4, in the order of its lines. They wait for a worker that does
// not read, and nothing waits for them.
type answers struct {
	mu      sync.Mutex
	changed *sync.Cond
	runs    []run
	line    int // the number of the first line in runs, from 1
	closed  bool
}

func newAnswers() *answers {
	a := &answers{line: 1}
	a.changed = sync.NewCond(&a.mu)
	return a
}

// add takes in the outcomes of the next lines and reports how many answers had to be dropped for them, the oldest.
func (a *answers) add(runs []run) (dropped int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, next := range runs {
		a.runs = appendRun(a.runs, next)
	}
	for len(a.runs) > maxRuns {
		dropped += a.runs[0].lines
		a.line += a.runs[0].lines
		a.runs = a.runs[1:]
	}
	a.changed.Signal()
	return dropped
}

// close ends write, which may leave answers that nobody has read.
func (a *answers) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.changed.Signal()
}

// write writes the answers until close, or until nobody can read them any more.
func (a *answers) write(w io.Writer) {
	for {
		text, ok := a.take()
		if !ok {
			return
		}
		if _, err := w.Write(text); err != nil {
			return
		}
	}
}

// take waits for answers and returns some, as text.
func (a *answers) take() (text []byte, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.runs) == 0 && !a.closed {
		a.changed.Wait()
	}
	if a.closed {
		return nil, false
	}
	for left := chunk; left > 0 && len(a.runs) > 0; left-- {
		first := &a.runs[0]
		text = append(text, first.outcome...)
		text = strconv.AppendInt(append(text, ' '), int64(a.line), 10)
		if first.reason != "" {
			text = append(append(text, ' '), first.reason...)
		}
		text = append(text, '\n')
		a.line++
		if first.lines--; first.lines == 0 {
			a.runs = a.runs[1:]
		}
	}
	return text, true
}
