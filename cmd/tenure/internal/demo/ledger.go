package demo

import (
	"fmt"
	"time"
)

// run is what one member printed of one partition without a gap: all of one tenure.
type run struct {
	partition   int
	member      string
	first, next int // it holds the events from first up to but not including next
	phase       int // in which it began
}

// ledger holds what the members have printed.
type ledger struct {
	runs   []*run               // in the order in which they began
	open   map[place]*run       // each member's last run of each partition
	latest [partitions]*run     // each partition's run that began last
	seen   [partitions][]bool   // by event: it was printed
	upTo   [partitions]int      // all events before this one have been printed
	strips [partitions][]string // by second: who printed of the partition, "" if nobody did
	stray  []string             // lines that are no event of the stream
}

// place is a partition as one member reads it.
type place struct {
	member    string
	partition int
}

func newLedger() *ledger { return &ledger{open: make(map[place]*run)} }

// add takes in a line and returns the run that it goes on with, or nil if it is none of the stream's. at is the time
// since the demo began.
func (l *ledger) add(member string, e event, phase int, at time.Duration) *run {
	p, known := e.partition()
	if !known || e.Body != body(p, e.SequenceNumber) {
		l.stray = append(l.stray, fmt.Sprintf("%s printed what was never appended: %+v", member, e))
		return nil
	}
	n := e.SequenceNumber
	r := l.open[place{member, p}]
	if r == nil || r.next != n {
		r = &run{partition: p, member: member, first: n, next: n, phase: phase}
		l.open[place{member, p}] = r
		l.latest[p] = r
		l.runs = append(l.runs, r)
	}
	r.next++
	for len(l.seen[p]) <= n {
		l.seen[p] = append(l.seen[p], false)
	}
	l.seen[p][n] = true
	for l.upTo[p] < len(l.seen[p]) && l.seen[p][l.upTo[p]] {
		l.upTo[p]++
	}
	if r == l.latest[p] { // or it is what a member had in hand when it lost the partition
		second := int(at.Seconds())
		for len(l.strips[p]) <= second {
			l.strips[p] = append(l.strips[p], "")
		}
		l.strips[p][second] = member
	}
	return r
}
