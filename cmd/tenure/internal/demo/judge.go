package demo

import (
	"fmt"
	"slices"
	"time"

	"github.com/tenure-go/tenure/cmd/tenure/internal/screen"
)

// evidence is all that was witnessed.
type evidence struct {
	appended [partitions]int // events, by partition
	phases   []phase
	runs     []run    // in the order in which they began
	claims   []claim  // in etcd's order
	rejected int      // checkpoints that etcd refused
	wrong    []string // checkpoints that etcd should have refused
	stray    []string // lines that are no event of the stream
	exits    []string // members that did not end as they should
}

// verdict is what the evidence comes to.
type verdict struct {
	rows []row // one for each phase

	appended int
	lost     int
	planned  int // events repeated by planned changes
	crashed  int // events repeated by crashes
	astray   int // runs that did not begin at the checkpoint that their claim found
	rejected int // checkpoints
	accepted int // checkpoints that should have been rejected

	// wrong says what is not as promised. It is empty if all is well.
	wrong []string
}

// row is what one phase came to.
type row struct {
	phase

	moved    int
	repeated int
}

func judge(e evidence) verdict {
	v := verdict{rejected: e.rejected, accepted: len(e.wrong)}
	for _, p := range e.phases {
		v.rows = append(v.rows, row{phase: p})
	}
	for _, c := range e.claims {
		if c.owner != c.from {
			v.rows[c.phase].moved++
		}
	}
	seen := v.countRepeated(e.runs)
	for p, appended := range e.appended {
		v.appended += appended
		for n := range appended {
			if n >= len(seen[p]) || !seen[p][n] {
				v.lost++
			}
		}
		if len(seen[p]) > appended {
			e.stray = append(e.stray, fmt.Sprintf("partition %s holds %d events, and event %d was printed",
				partitionID(p), appended, len(seen[p])-1))
		}
	}
	v.findFaults(e)
	return v
}

// countRepeated lays the runs over one another and returns which events are in any.
func (v *verdict) countRepeated(runs []run) (seen [partitions][]bool) {
	for _, r := range runs {
		for len(seen[r.partition]) < r.next {
			seen[r.partition] = append(seen[r.partition], false)
		}
		for n := r.first; n < r.next; n++ {
			if seen[r.partition][n] {
				v.rows[r.phase].repeated++
			}
			seen[r.partition][n] = true
		}
	}
	for _, r := range v.rows {
		if r.planned {
			v.planned += r.repeated
		} else {
			v.crashed += r.repeated
		}
	}
	return seen
}

func (v *verdict) findFaults(e evidence) {
	fault := func(format string, values ...any) { v.wrong = append(v.wrong, fmt.Sprintf(format, values...)) }
	if v.lost > 0 {
		fault("%s lost", screen.Count(v.lost, "event was", "events were"))
	}
	for _, r := range v.rows {
		if r.planned && r.repeated > 0 {
			fault("%s: %s repeated by a planned change", r.what, screen.Count(r.repeated, "event was", "events were"))
		}
		if r.counted && r.moved != r.fewest {
			fault("%s: %s moved, and %d had to", r.what, screen.Count(r.moved, "partition", "partitions"), r.fewest)
		}
	}
	for _, r := range e.runs {
		if !slices.ContainsFunc(e.claims, func(c claim) bool {
			return c.owner == r.member && c.partition == r.partition && c.next == r.first
		}) {
			v.astray++
			fault("%s began partition %s at event %d, and no claim of its own found a checkpoint there",
				r.member, partitionID(r.partition), r.first)
		}
	}
	v.wrong = slices.Concat(v.wrong, e.wrong, e.stray, e.exits)
}

// longest returns the longest that a partition had no owner in a phase's moves.
func longest(claims []claim, phase int) (rested time.Duration) {
	for _, c := range claims {
		if c.phase == phase && c.from != "" {
			rested = max(rested, c.rested)
		}
	}
	return rested
}
