package plan

import (
	"cmp"
	"math"
)

// cost is what a chain of exchanges adds to a plan, in order of importance.
type cost struct {
	avoided int   // partitions with a member that they are to avoid
	moved   int   // partitions with another member than the one that holds them
	rank    int64 // of choosy partitions and where they are
}

var unreached = cost{avoided: math.MaxInt} //nolint:gochecknoglobals // a constant

func (c cost) plus(d cost) cost {
	return cost{avoided: c.avoided + d.avoided, moved: c.moved + d.moved, rank: c.rank + d.rank}
}

func (c cost) minus(d cost) cost {
	return cost{avoided: c.avoided - d.avoided, moved: c.moved - d.moved, rank: c.rank - d.rank}
}

func (c cost) compare(d cost) int {
	return cmp.Or(cmp.Compare(c.avoided, d.avoided), cmp.Compare(c.moved, d.moved), cmp.Compare(c.rank, d.rank))
}

// rank decides between plans that are equal in all that matters. It knows nothing of who holds what, and the ranks are
// so scattered that two plans do not have the same sum.
func rank(partition, place int) int64 {
	// The finalizer of SplitMix64, and of that 40 bits, to leave room for a sum of millions.
	z := uint64(partition)<<32 ^ uint64(place) + 0x9e3779b97f4a7c15 //nolint:gosec // neither is negative
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return int64((z ^ z>>31) >> 24)
}
