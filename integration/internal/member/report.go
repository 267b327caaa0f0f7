package member

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
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

	// Began is when the handler made up its mind to begin the event, right before it asked whether it still may, and
	// Trusted until when the lease could be trusted: when it began, or when it was done if that is later. At is when it
	// was done.
	Began   time.Duration `json:"began,omitempty"`
	Trusted time.Duration `json:"trusted,omitempty"`

	// Outcome is what became of it, in a few words. It is empty if all went well.
	Outcome string `json:"outcome,omitempty"`
}

// reportsFD is the pipe that [Start] gives a process, after its standard streams.
const reportsFD = 3

// reporter writes reports, each with one write.
type reporter struct{ to io.Writer }

func newReporter() *reporter { return &reporter{os.NewFile(reportsFD, "reports")} }

// report writes a report. A process that cannot report any more is of no use.
func (r *reporter) report(report Report) {
	if report.At == 0 {
		report.At = Now()
	}
	line, err := json.Marshal(report)
	if err == nil {
		_, err = r.to.Write(append(line, '\n'))
	}
	if err != nil {
		panic(fmt.Sprintf("cannot report: %v", err))
	}
}

// events reports the member's own events.
func (r *reporter) events() balancer.Events {
	as := func(kind Kind) func(balancer.Event) {
		return func(e balancer.Event) {
			report := Report{Kind: kind, Partition: e.Partition, Fence: e.Revision}
			if e.Err != nil {
				report.Outcome = e.Err.Error()
			}
			r.report(report)
		}
	}
	return balancer.Events{
		Joined: as(Joined), Planned: as(Planned), Claimed: as(Claimed), Draining: as(Draining), Released: as(Released),
		Lost: as(Lost), CheckpointRejected: as(Rejected), Failed: as(Failed),
	}
}
