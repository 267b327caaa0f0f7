package proof

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// Tenure is one run of a handler, as far as it handled events.
type Tenure struct {
	Member, Partition string
	Fence             int64
	Begin             time.Duration   // of the first event
	End               time.Duration   // of the last event, or of trust if that ended first
	Events            []member.Report // in order
	Finished          *member.Report  // the handler has handed over its last position
	Released          *member.Report  // and the member has released the partition
}

func (t Tenure) String() string {
	return fmt.Sprintf("%s from %v to %v under fence %d", t.Member, t.Begin, t.End, t.Fence)
}

// last is the number of the last event that was handled.
func (t Tenure) last() int64 { return t.Events[len(t.Events)-1].Sequence }

// TenuresOf returns each partition's tenures, in the order in which they began.
func TenuresOf(reports map[string][]member.Report) map[string][]*Tenure {
	type id struct {
		member, partition string
		fence             int64
	}
	found := make(map[id]*Tenure)
	all := make(map[string][]*Tenure)
	for name, told := range reports {
		for _, r := range told {
			id := id{name, r.Partition, r.Fence}
			t := found[id]
			if t == nil && r.Kind == member.Handled {
				t = &Tenure{Member: name, Partition: r.Partition, Fence: r.Fence, Begin: r.Began}
				found[id] = t
				all[r.Partition] = append(all[r.Partition], t)
			}
			switch {
			case t == nil:
			case r.Kind == member.Handled:
				t.Events = append(t.Events, r)
				t.End = max(t.End, min(r.At, r.Trusted))
			case r.Kind == member.Finished:
				t.Finished = &r
			case r.Kind == member.Released:
				t.Released = &r
			}
		}
	}
	for _, of := range all {
		slices.SortFunc(of, func(a, b *Tenure) int { return cmp.Compare(a.Begin, b.Begin) })
	}
	return all
}
