package plan

// None and Away stand where an index of Members does.
const (
	None int32 = -1 // nobody
	Away int32 = -2 // in Input.Reserved: an owner that is not among Members
)

// Member is an owner of partitions, or one that could be.
type Member struct {
	ID       string
	Weight   int  // its share, relative to the others' weights; below 1 counts as 1
	Capacity int  // the most partitions that it takes; 0 is no limit
	Cordoned bool // it takes nothing beyond what it holds
	Draining bool // it is to own nothing: it is leaving, or an operator drains it
	Foreign  bool // it is no member, such as a Processor of the Event Hubs SDK: what it holds is its share
}

// Input is what is known of a group at one revision. The slices that go by partition may be nil, which is None, or
// false, for all.
type Input struct {
	Partitions []string   // ids in byte order, each once
	Members    []Member   // in byte order of ID
	Owner      []int32    // by partition: the index of the member that holds it
	Pin        []int32    // by partition: the member that an operator wants to have it
	Reserved   []int32    // by partition: whom it is kept for while it has no owner, or Away
	Avoid      [][2]int32 // partition, member: passed over for it while another eligible member exists
	Paused     []bool     // by partition: nobody is to own it
}

// Assign returns, by partition, who should own it, or None.
func Assign(in Input) []int32 {
	a := newAssignment(in)
	a.bindPins()
	a.share()
	a.keep()
	a.fill()
	return a.to
}

// open stands in an assignment's result for a partition whose owner is still to be found.
const open int32 = -3

// assignment is a plan in the making.
type assignment struct {
	Input

	to     []int32 // by partition: the result, or open
	holder []int32 // by partition: who holds it or has it reserved
	open   int     // how many partitions are still to be shared out

	members []seats
	avoided map[[2]int32]struct{}
	special map[int32]struct{} // partitions that some member is passed over for
}

// seats is what a member has and may have of the partitions that are shared out.
type seats struct {
	weight uint64
	limit  int // the most it may have
	held   int // how many of what it has or is pinned to it may stay
	pinned int // how many are bound to it
	quota  int // how many it is to have
	taken  int // how many it has been given
}

func at(slice []int32, i, members int) int32 {
	if i < len(slice) && slice[i] >= 0 && int(slice[i]) < members {
		return slice[i]
	}
	return None
}

func newAssignment(in Input) *assignment {
	a := &assignment{
		Input:   in,
		to:      make([]int32, len(in.Partitions)),
		holder:  make([]int32, len(in.Partitions)),
		members: make([]seats, len(in.Members)),
	}
	for p := range a.to {
		a.to[p], a.holder[p] = a.standing(p)
		if a.to[p] == open {
			a.open++
		}
		if m := a.holder[p]; m != None && a.to[p] == open {
			a.members[m].held++
		}
	}
	for i, m := range in.Members {
		s := &a.members[i]
		s.weight, s.limit = uint64(max(m.Weight, 1)), a.open
		if m.Capacity > 0 {
			s.limit = min(m.Capacity, a.open)
		}
		switch {
		case m.Draining, m.Foreign:
			s.limit = 0
		case m.Cordoned:
			s.limit = min(s.limit, s.held)
		}
	}
	for _, pair := range in.Avoid {
		p, m := pair[0], pair[1]
		if p < 0 || int(p) >= len(a.to) || m < 0 || int(m) >= len(a.members) || a.to[p] != open {
			continue
		}
		if a.avoided == nil {
			a.avoided = make(map[[2]int32]struct{}, len(in.Avoid))
			a.special = make(map[int32]struct{}, len(in.Avoid))
		}
		a.special[p] = struct{}{}
		a.avoided[pair] = struct{}{}
	}
	return a
}

// standing returns what is decided about a partition from the start, or open, and who holds it.
func (a *assignment) standing(p int) (to, holder int32) {
	owner := at(a.Owner, p, len(a.Members))
	switch {
	case owner != None && a.Members[owner].Foreign:
		return owner, owner
	case p < len(a.Paused) && a.Paused[p]:
		return None, None
	case owner != None:
		return open, owner
	case p < len(a.Reserved) && a.Reserved[p] == Away:
		return None, None
	}
	reserved := at(a.Reserved, p, len(a.Members))
	if reserved != None && a.Members[reserved].Foreign {
		return None, None
	}
	return open, reserved
}

func (a *assignment) give(p int, m int32) {
	a.to[p] = m
	a.members[m].taken++
}

func (a *assignment) avoids(p int, m int32) bool {
	if a.avoided == nil {
		return false
	}
	_, ok := a.avoided[[2]int32{int32(p), m}]
	return ok
}

// bindPins gives pinned partitions to their members, first those that are there already.
func (a *assignment) bindPins() {
	if a.Pin == nil {
		return
	}
	for _, there := range []bool{true, false} {
		for p := range a.to {
			m := at(a.Pin, p, len(a.Members))
			if a.to[p] != open || m == None || there != (a.holder[p] == m) || a.avoids(p, m) {
				continue
			}
			s := &a.members[m]
			if s.pinned == s.limit || a.Members[m].Cordoned && !there {
				continue
			}
			a.give(p, m)
			a.open--
			s.pinned++
			if h := a.holder[p]; h != m {
				s.held++
				if h != None {
					a.members[h].held--
				}
			}
		}
	}
}

// keep leaves partitions where they are, the first ones of a member that has too many.
func (a *assignment) keep() {
	for p, m := range a.holder {
		if a.to[p] == open && m != None && a.members[m].taken < a.members[m].quota && !a.avoids(p, m) {
			a.give(p, m)
		}
	}
}

// fill gives what is left to those that have too few, in the order of both.
func (a *assignment) fill() {
	for p := range a.to {
		if _, special := a.special[int32(p)]; special && a.to[p] == open {
			a.place(p)
		}
	}
	m := 0
	for p := range a.to {
		if a.to[p] != open {
			continue
		}
		for m < len(a.members) && a.members[m].taken >= a.members[m].quota {
			m++
		}
		if m == len(a.members) {
			a.to[p] = None
			continue
		}
		a.give(p, int32(m))
	}
}

func (a *assignment) place(p int) {
	for m := range a.members {
		s := &a.members[m]
		if s.taken < s.quota && !a.avoids(p, int32(m)) && (!a.Members[m].Cordoned || a.holder[p] == int32(m)) {
			a.give(p, int32(m))
			return
		}
	}
}
