package plan

import (
	"cmp"
	"math/bits"
	"slices"
	"sort"
)

// share sets the quotas. On top of what is bound already, one seat after the other goes to the member whose load, count
// by weight, would be the lowest with it (D'Hondt's order), until each partition has one or all members are full. Of
// equally low seats those go first that need no move, then those of the first members.
//
// The seats are not dealt out singly. All members are filled up to a level of load, as high as there are partitions
// for, which bisection finds; then less than a seat for each is left.
func (a *assignment) share() {
	want, most := a.open, 0
	for i := range a.seats {
		s := &a.seats[i]
		s.quota = s.bound
		want += s.bound
		most += s.limit()
	}
	want = min(want, most)
	for {
		unit := a.heaviest()
		if unit == 0 {
			return // all are full
		}
		// At the level of want the heaviest has them all, unless it is full before: then the others go on without it.
		level := sort.Search(want, func(level int) bool { return a.seatsUpTo(level+1, unit) > want })
		dealt := 0
		for i := range a.seats {
			a.seats[i].quota = a.seats[i].upTo(level, unit)
			dealt += a.seats[i].quota
		}
		if level < want || dealt == want {
			a.shareRest(want-dealt, level, unit)
			return
		}
	}
}

// heaviest returns the weight of the heaviest member that is not full.
func (a *assignment) heaviest() uint64 {
	var heaviest uint64
	for i := range a.seats {
		if s := &a.seats[i]; s.quota < s.limit() {
			heaviest = max(heaviest, s.weight)
		}
	}
	return heaviest
}

// seatsUpTo returns how many seats all members have up to a load of level by unit.
func (a *assignment) seatsUpTo(level int, unit uint64) int {
	total := 0
	for i := range a.seats {
		total += a.seats[i].upTo(level, unit)
	}
	return total
}

// upTo returns how many seats the member has up to a load of level by unit.
func (s *seats) upTo(level int, unit uint64) int {
	if s.weight > unit {
		return s.quota // it is full, or it would be the heaviest
	}
	high, low := bits.Mul64(uint64(level), s.weight) //nolint:gosec // not negative
	count, _ := bits.Div64(high, low, unit)
	return min(max(int(count), s.bound), s.limit()) //nolint:gosec // at most level
}

// shareRest deals out the seats that are left when all members are filled up to a level. They are below the next level,
// to which each member has one at most.
func (a *assignment) shareRest(rest, level int, unit uint64) {
	if rest == 0 {
		return
	}
	var next []int
	for i := range a.seats {
		if s := &a.seats[i]; s.upTo(level+1, unit) > s.quota {
			next = append(next, i)
		}
	}
	slices.SortFunc(next, func(i, j int) int {
		s, t := &a.seats[i], &a.seats[j]
		return cmp.Or(compareLoads(s.quota+1, s.weight, t.quota+1, t.weight), s.compareFilled(t), cmp.Compare(i, j))
	})
	for _, i := range next[:rest] {
		a.seats[i].quota++
	}
}

// compareFilled puts members first that hold enough for one more seat than their quota.
func (s *seats) compareFilled(t *seats) int {
	switch filled := s.held > s.quota; {
	case filled == (t.held > t.quota):
		return 0
	case filled:
		return -1
	default:
		return 1
	}
}

// compareLoads compares m/v with n/w.
func compareLoads(m int, v uint64, n int, w uint64) int {
	high, low := bits.Mul64(uint64(m), w)   //nolint:gosec // not negative
	high2, low2 := bits.Mul64(uint64(n), v) //nolint:gosec // nor this
	return cmp.Or(cmp.Compare(high, high2), cmp.Compare(low, low2))
}
