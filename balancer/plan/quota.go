package plan

import (
	"cmp"
	"math/bits"
	"slices"
	"sort"
)

// share sets the quotas: as many seats as there are partitions, each to the member whose count would be the lowest for
// its weight with it (D'Hondt's order). Of seats that are equal in that, those go first that are filled already.
func (a *assignment) share() {
	want := a.open
	most := 0
	for i := range a.members {
		a.members[i].quota = a.members[i].pinned
		want += a.members[i].pinned
		most += a.members[i].limit
	}
	want = min(want, most)
	for {
		// The heaviest member that can still take something measures the level to which all are filled.
		var ref uint64
		for i := range a.members {
			if s := &a.members[i]; s.quota < s.limit {
				ref = max(ref, s.weight)
			}
		}
		if ref == 0 {
			return
		}
		level := sort.Search(want, func(level int) bool { return a.upTo(uint64(level+1), ref) > want })
		total := 0
		for i := range a.members {
			a.members[i].quota = a.members[i].upTo(uint64(level), ref)
			total += a.members[i].quota
		}
		if level < want {
			a.shareRest(want-total, uint64(level+1), ref)
			return
		}
		if total == want {
			return
		}
	}
}

func (a *assignment) upTo(level, ref uint64) int {
	total := 0
	for i := range a.members {
		total += a.members[i].upTo(level, ref)
	}
	return total
}

func (s *seats) upTo(level, ref uint64) int {
	if s.weight > ref {
		return s.quota // full
	}
	hi, lo := bits.Mul64(level, s.weight)
	n, _ := bits.Div64(hi, lo, ref)
	return min(max(int(n), s.pinned), s.limit)
}

func (a *assignment) shareRest(rest int, level, ref uint64) {
	if rest == 0 {
		return
	}
	var next []int32
	for i := range a.members {
		if s := &a.members[i]; s.upTo(level, ref) > s.quota {
			next = append(next, int32(i))
		}
	}
	slices.SortFunc(next, func(i, j int32) int {
		s, t := &a.members[i], &a.members[j]
		if c := compareProducts(uint64(s.quota+1), t.weight, uint64(t.quota+1), s.weight); c != 0 {
			return c
		}
		if filled := s.held > s.quota; filled != (t.held > t.quota) {
			if filled {
				return -1
			}
			return 1
		}
		return cmp.Compare(i, j)
	})
	for _, i := range next[:rest] {
		a.members[i].quota++
	}
}

func compareProducts(a, b, c, d uint64) int {
	hi, lo := bits.Mul64(a, b)
	hi2, lo2 := bits.Mul64(c, d)
	return cmp.Or(cmp.Compare(hi, hi2), cmp.Compare(lo, lo2))
}
