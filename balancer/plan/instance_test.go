package plan

import (
	"fmt"
	"math"
	"math/rand/v2"

	"pgregory.net/rapid"
)

// draw returns a number from low to high.
type draw func(low, high int) int

func fromRand(r *rand.Rand) draw {
	return func(low, high int) int { return low + r.IntN(high-low+1) }
}

// chance is true once in n times.
func (d draw) chance(n int) bool { return d(1, n) == n }

// index draws an index of so many.
func (d draw) index(n int) int32 { return int32(d(0, n-1)) } //nolint:gosec // small

func ids(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%06d", i)
	}
	return ids
}

// uniform is a group whose members are all alike.
func uniform(partitions, members int) Input {
	in := Input{Partitions: ids(partitions), Members: make([]Member, members)}
	for i, id := range ids(members) {
		in.Members[i].ID = id
	}
	return in
}

func (d draw) uniform(partitions, members int) Input {
	in := uniform(partitions, members)
	in.Owner = d.members(in, 4)
	return in
}

// members draws a member for each partition, or None once in n times.
func (d draw) members(in Input, n int) []int32 {
	drawn := make([]int32, len(in.Partitions))
	for p := range drawn {
		drawn[p] = None
		if len(in.Members) > 0 && !d.chance(n) {
			drawn[p] = d.index(len(in.Members))
		}
	}
	return drawn
}

// group is one in which everything occurs that an input can have.
func (d draw) group(partitions, members int) Input {
	in := d.uniform(partitions, members)
	weighted, limited, odd := d.chance(2), d.chance(2), d.chance(2)
	for i := range in.Members {
		m := &in.Members[i]
		if weighted {
			m.Weight = d(1, 4)
		}
		if limited {
			m.Capacity = d(0, 3)
		}
		if odd {
			m.Cordoned, m.Draining, m.Foreign = d.chance(4), d.chance(5), d.chance(5)
		}
	}
	if d.chance(2) && members > 0 {
		in.Pin = d.members(in, 2)
	}
	if d.chance(2) && members > 0 {
		in.Avoid = d.avoid(in, partitions*members)
	}
	if d.chance(3) {
		in.Reserved = d.members(in, 2)
		for p := range in.Reserved {
			if in.Owner[p] != None {
				in.Reserved[p] = None
			} else if d.chance(5) {
				in.Reserved[p] = Away
			}
		}
	}
	if d.chance(3) {
		in.Paused = make([]bool, partitions)
		for p := range in.Paused {
			in.Paused[p] = d.chance(4)
		}
	}
	return in
}

func (d draw) avoid(in Input, most int) [][2]int32 {
	pairs := make([][2]int32, 0, most)
	if len(in.Partitions) == 0 || len(in.Members) == 0 {
		return nil
	}
	for range d(0, most) {
		pairs = append(pairs, [2]int32{d.index(len(in.Partitions)), d.index(len(in.Members))})
	}
	return pairs
}

func fromRapid(t *rapid.T) draw {
	return func(low, high int) int { return rapid.IntRange(low, high).Draw(t, "number") }
}

// unequal is a group of members that have weights, some of them huge, and capacities.
func (d draw) unequal(partitions, members int) Input {
	in := uniform(partitions, members)
	for i := range in.Members {
		m := &in.Members[i]
		m.Weight = d(-1, 6)
		if d.chance(6) {
			m.Weight = math.MaxInt - d(0, 6)
		}
		if d.chance(3) {
			m.Capacity = d(0, max(partitions, 1))
		}
	}
	return in
}
