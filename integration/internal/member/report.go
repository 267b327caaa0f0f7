package member

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/tenure-go/tenure/balancer"
)

// Kind is what a report is about.
type Kind string

// What is reported. Those from Joined on are the member's own events, by their names.
const (
	Handled  Kind = "handled"  // an event was handled
	Late     Kind = "late"     // a checkpoint was tried after the handler's context had ended
	Started  Kind = "started"  // a handler has started
	Returned Kind = "returned" // a handler has returned
	Finished Kind = "finished" // a handler has handed over its last position, and returns

	Checkpointed Kind = "checkpointed" // a checkpoint was tried, and answered or given up
	ReadBack     Kind = "read back"    // the checkpoint was read after it was acknowledged
	Vitals       Kind = "vitals"       // what the process holds
	Calling      Kind = "calling"      // a caller makes a call
	Called       Kind = "called"       // which has returned
	Asked        Kind = "asked"        // a member's transaction was answered or given up

	Joined   Kind = "joined"
	Planned  Kind = "planned"
	Claimed  Kind = "claimed"
	Draining Kind = "draining"
	Released Kind = "released"
	Lost     Kind = "lost"
	Rejected Kind = "rejected"
	Failed   Kind = "failed"
)

// Report is one thing that happened in a member's process. Times are by [Now].
type Report struct {
	Kind      Kind          `json:"kind"`
	At        time.Duration `json:"at"`
	Partition string        `json:"partition,omitempty"`

	// Fence is the revision of the claim that it happened under.
	Fence int64 `json:"fence,omitempty"`

	// Sequence is the event's number, or the checkpoint's.
	Sequence int64 `json:"sequence,omitempty"`

	// Began is when the handler made up its mind to begin the event, right before it asked whether it still may, or when
	// a checkpoint was called for, and
	// Trusted until when the lease could be trusted: when it began, or when it was done if that is later. At is when it
	// was done.
	Began   time.Duration `json:"began,omitempty"`
	Trusted time.Duration `json:"trusted,omitempty"`

	// Found is the number of the checkpoint that was read.
	Found int64 `json:"found,omitempty"`

	Goroutines int    `json:"goroutines,omitempty"`
	Heap       uint64 `json:"heap,omitempty"` // in bytes, of what is in use after a collection

	Call        *Call        `json:"call,omitempty"`
	Transaction *Transaction `json:"transaction,omitempty"`

	// Outcome is what became of it, in a few words. It is empty if all went well.
	Outcome string `json:"outcome,omitempty"`
}

// reportsFD is the pipe that [Start] gives a process, after its standard streams.
const reportsFD = 3

// reporter writes reports, each with one write. A quiet one writes them together, later.
type reporter struct {
	to io.Writer

	quiet bool
	mu    sync.Mutex
	kept  []Report
	later *time.Timer
}

func newReporter(quiet bool) *reporter {
	return &reporter{to: os.NewFile(reportsFD, "reports"), quiet: quiet}
}

// rest is for how long nothing must have been reported before a quiet reporter writes.
const rest = 500 * time.Millisecond

func (r *reporter) report(report Report) {
	if !r.quiet {
		r.write(report)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept = append(r.kept, report)
	if r.later == nil {
		r.later = time.AfterFunc(rest, r.flush)
	} else {
		r.later.Reset(rest)
	}
}

// flush writes what was kept.
func (r *reporter) flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, report := range r.kept {
		r.write(report)
	}
	r.kept = nil
}

// write writes a report. A process that cannot report any more is of no use.
func (r *reporter) write(report Report) {
	line, err := json.Marshal(report)
	if err == nil {
		_, err = r.to.Write(append(line, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("cannot report: %v", err))
	}
}

// events reports the member's own events.
func (a *actor) events() balancer.Events {
	if a.config.Quiet {
		return balancer.Events{}
	}
	as := func(kind Kind) func(balancer.Event) {
		return func(e balancer.Event) {
			report := Report{Kind: kind, Partition: e.Partition, Fence: e.Revision}
			if e.Err != nil {
				report.Outcome = e.Err.Error()
			}
			a.report(report)
		}
	}
	return balancer.Events{
		Joined: as(Joined), Planned: as(Planned), Claimed: as(Claimed), Draining: as(Draining), Released: as(Released),
		Lost: as(Lost), CheckpointRejected: as(Rejected), Failed: as(Failed),
	}
}
