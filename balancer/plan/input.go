package plan

// What stands where an index of Members could.
const (
	None int32 = -1 // nobody
	Away int32 = -2 // in Input.Reserved: an owner that is not among Members
)

// Member is one that owns partitions or could.
type Member struct {
	ID string

	// Weight is the member's share, relative to the other members' weights. Below 1 counts as 1.
	Weight int

	// Capacity is the most partitions that the member takes. 0 is no limit.
	Capacity int

	// Cordoned: the member takes nothing beyond what it holds. That may still move off it for balance.
	Cordoned bool

	// Draining: the member is to own nothing, because it is leaving or an operator drains it.
	Draining bool

	// Foreign: this owner is no member, but the like of a Processor of the Event Hubs SDK. Its share is what it holds:
	// nothing is taken from it, by pin or pause either, and nothing is given to it.
	Foreign bool
}

// Input is what is known of a group at one revision of etcd. Indices that are out of range count as [None].
type Input struct {
	// Partitions are the ids in byte order, each once.
	Partitions []string

	// Members are in byte order of their IDs.
	Members []Member

	// Owner is, by partition, the member that holds it. Nil means nobody for all of them, here and in Pin and Reserved.
	Owner []int32

	// Pin is, by partition, the member that an operator wants to own it.
	Pin []int32

	// Reserved is, by partition, whom it is kept for while it has no owner: a member, as if that held it, or Away.
	Reserved []int32

	// Avoid are pairs of a partition and a member that is passed over for it while another one can take it.
	Avoid [][2]int32

	// Paused is, by partition, whether nobody is to own it. Nil means none of them.
	Paused []bool
}

// indexOf returns the member that one of the slices has for partition p.
func (in *Input) indexOf(slice []int32, p int) int32 {
	if p >= len(slice) || slice[p] < 0 || int(slice[p]) >= len(in.Members) {
		return None
	}
	return slice[p]
}

// standing returns who holds partition p, and who is to own it or that this is open.
func (in *Input) standing(p int) (holder, to int32) {
	owner := in.indexOf(in.Owner, p)
	switch {
	case owner != None && in.Members[owner].Foreign:
		return owner, owner
	case p < len(in.Paused) && in.Paused[p]:
		return None, None
	case owner != None:
		return owner, open
	case p < len(in.Reserved) && in.Reserved[p] == Away:
		return None, None
	}
	reserved := in.indexOf(in.Reserved, p)
	if reserved != None && in.Members[reserved].Foreign {
		return None, None // it has no member record, so whoever reserved it is away
	}
	return reserved, open
}
