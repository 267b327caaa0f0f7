package proof

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tenure-go/tenure/integration/internal/member"
)

// record is an ownership or a checkpoint of a partition.
type record struct{ kind, partition string }

// asked is a transaction that was answered.
type asked struct {
	member.Report

	by string
}

// checkTransactions checks that members' transactions are linearizable, in etcd's own order of revisions: what each was
// answered was true at its revision, what it was said to have written is in etcd's history there, and a revision is no
// lower than that of whatever was answered before the call.
func checkTransactions(run Run) (answered int, found Violations) {
	var all []asked
	for name, reports := range run.Reports {
		for _, r := range reports {
			if r.Kind == member.Asked && r.Outcome == "" {
				all = append(all, asked{r, name})
			}
		}
	}
	violated := func(a asked, what string) {
		found = append(found, Violation{Linear, fmt.Sprintf("%s, from %v to %v, was answered at revision %d %s",
			a.by, a.Began, a.At, a.Transaction.Revision, what)})
	}
	history := newHistory(run.Changes)
	byEnd := slices.SortedFunc(slices.Values(all), func(a, b asked) int { return cmp.Compare(a.At, b.At) })
	slices.SortFunc(all, func(a, b asked) int { return cmp.Compare(a.Began, b.Began) })
	known := int64(0) // the highest revision that was answered before a call began
	for _, a := range all {
		for ; byEnd[0].At < a.Began; byEnd = byEnd[1:] {
			known = max(known, byEnd[0].Transaction.Revision)
		}
		if a.Transaction.Revision < known {
			violated(a, fmt.Sprintf("after revision %d had been answered", known))
		}
		for _, untrue := range history.untrue(a.Transaction) {
			violated(a, untrue)
		}
	}
	return len(all), found
}

// history is when records were written, in order.
type history map[record][]Change

func newHistory(changes []Change) history {
	h := make(history)
	for _, c := range changes {
		of := record{c.Kind, c.Partition}
		h[of] = append(h[of], c)
	}
	return h
}

// untrue returns what is not so of what a transaction was answered.
func (h history) untrue(t *member.Transaction) (found []string) {
	before := t.Revision
	if t.Wrote {
		before--
	}
	for _, p := range t.Parts {
		differs := slices.IndexFunc(p.If, func(r member.Record) bool { return h.at(r, before) != r.Revision })
		switch {
		case p.Held && differs >= 0:
			found = append(found, fmt.Sprintf("that %+v holds, and it was at %d", p.If[differs], h.at(p.If[differs], before)))
		case !p.Held && differs < 0 && !p.More:
			found = append(found, fmt.Sprintf("that one of %+v does not hold, and all did", p.If))
		}
		for _, r := range p.Wants {
			if p.Held && !h.has(r, t.Revision) {
				found = append(found, fmt.Sprintf("that %+v is changed, and it is not", r))
			}
		}
	}
	return found
}

// at returns the revision at which a record had last been written by some revision, 0 if there was none.
func (h history) at(r member.Record, revision int64) int64 {
	last := h.last(r, revision)
	if last.Deleted {
		return 0
	}
	return last.Revision
}

// has reports whether a record was changed so at a revision.
func (h history) has(r member.Record, revision int64) bool {
	last := h.last(r, revision)
	return last.Revision == revision && last.Deleted == r.Deleted
}

// last returns the last change of a record up to a revision, none if there is none.
func (h history) last(r member.Record, revision int64) Change {
	changes := h[record{r.Kind, r.Partition}]
	after, _ := slices.BinarySearchFunc(changes, revision+1, func(c Change, at int64) int {
		return cmp.Compare(c.Revision, at)
	})
	if after == 0 {
		return Change{}
	}
	return changes[after-1]
}
