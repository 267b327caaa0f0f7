package plan

// Assign returns, by partition, the index of the member that should own it, or [None]: because it is paused, because it
// is reserved for somebody who is away, or because nobody has room for it. The input is not changed.
func Assign(in Input) []int32 {
	a := newAssignment(in)
	a.bindPins()
	a.bindChoosy()
	a.share()
	a.keep()
	a.fill()
	return a.to
}

// What stands in an unfinished assignment for a partition whose owner is still to be found.
const (
	open   int32 = -3
	choosy int32 = -4 // open, and there are members for it to avoid
)

// assignment is a plan in the making. At first every partition is settled, open or choosy. Those that need a certain
// member are bound to it, then the open ones, which are all alike but for who holds them, are shared out.
type assignment struct {
	Input

	holder []int32 // by partition: who holds it
	to     []int32 // by partition: who is to own it, or open, or choosy
	open   int     // how many are open
	choosy []wish  // in the order of the partitions
	seats  []seats // by member
}

// seats are what a member has, can have and is to have of the partitions.
type seats struct {
	weight   uint64
	capacity int // 0 for who is to own nothing
	cordoned bool

	bound int // partitions that are decided to be the member's
	held  int // those, and open ones that it holds: as many as it can have without another one moving
	quota int // how many it is to have
}

// limit is the most that the member may have.
func (s *seats) limit() int {
	if s.cordoned {
		return min(s.capacity, s.held)
	}
	return s.capacity
}

// takes reports whether the member may be given what it does not hold.
func (s *seats) takes() bool { return s.capacity > 0 && !s.cordoned }

func newAssignment(in Input) *assignment {
	a := &assignment{
		Input:  in,
		holder: make([]int32, len(in.Partitions)),
		to:     make([]int32, len(in.Partitions)),
		seats:  make([]seats, len(in.Members)),
	}
	for i, m := range in.Members {
		s := seats{weight: uint64(max(m.Weight, 1)), capacity: len(in.Partitions), cordoned: m.Cordoned}
		switch {
		case m.Draining, m.Foreign:
			s.capacity = 0
		case m.Capacity > 0:
			s.capacity = min(s.capacity, m.Capacity)
		}
		a.seats[i] = s
	}
	for p := range a.to {
		a.holder[p], a.to[p] = in.standing(p)
	}
	a.markChoosy()
	for p, to := range a.to {
		if to == open {
			a.count(p, 1)
		}
	}
	return a
}

// count adds so many times an open partition to the counts.
func (a *assignment) count(p, times int) {
	a.open += times
	if h := a.holder[p]; h != None {
		a.seats[h].held += times
	}
}

// bind decides who is to own a partition before the open ones are shared out.
func (a *assignment) bind(p int, to int32) {
	if a.to[p] == open {
		a.count(p, -1)
	}
	a.to[p] = to
	if to != None {
		a.seats[to].bound++
		a.seats[to].held++
	}
}

// keep leaves open partitions where they are. Who has too many keeps the first ones.
func (a *assignment) keep() {
	for p, h := range a.holder {
		if a.to[p] != open || h == None {
			continue
		}
		if s := &a.seats[h]; s.bound < s.quota {
			a.to[p] = h
			s.bound++
		}
	}
}

// fill gives the partitions that are left, in their order, to the members that have too few, in theirs. When some of
// them have arrived, the others are still dealt out in the same way.
func (a *assignment) fill() {
	m := 0
	for p, to := range a.to {
		if to != open {
			continue
		}
		for m < len(a.seats) && a.seats[m].bound >= a.seats[m].quota {
			m++
		}
		if m == len(a.seats) {
			a.to[p] = None
			continue
		}
		a.to[p] = int32(m)
		a.seats[m].bound++
	}
}
