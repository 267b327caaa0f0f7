package plan

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// How large groups are in the properties that are not compared with brute force.
const (
	somePartitions = 60
	someMembers    = 8
)

func counts(in Input, to []int32) []int {
	counts := make([]int, len(in.Members))
	for _, m := range to {
		if m != None {
			counts[m]++
		}
	}
	return counts
}

// requireFair fails if one seat less here and one more there would even the load out.
func requireFair(t require.TestingT, in Input, to []int32) {
	n := counts(in, to)
	load := func(m, count int) *big.Rat {
		return big.NewRat(int64(count), int64(max(in.Members[m].Weight, 1)))
	}
	for from := range n {
		for there := range n {
			if c := in.Members[there].Capacity; n[from] > 0 && from != there && (c <= 0 || n[there] < c) {
				require.LessOrEqual(t, load(from, n[from]).Cmp(load(there, n[there]+1)), 0, "%+v\n%v", in, to)
			}
		}
	}
}

func TestFair(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.unequal(d(0, somePartitions), d(0, someMembers))
		in.Owner = d.members(in, 4)
		to := Assign(in)
		requireFair(t, in, to)
		room := 0
		for _, m := range in.Members {
			room += len(to)
			if m.Capacity > 0 {
				room += min(m.Capacity, len(to)) - len(to)
			}
		}
		total := 0
		for m, n := range counts(in, to) {
			total += n
			if c := in.Members[m].Capacity; c > 0 {
				require.LessOrEqual(t, n, c)
			}
		}
		require.Equal(t, min(len(to), room), total)
	})
}

// TestFairUniform: without weights and capacities, counts differ by one at most.
func TestFairUniform(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.uniform(d(0, somePartitions), d(1, someMembers))
		n := counts(in, Assign(in))
		require.LessOrEqual(t, slices.Max(n)-slices.Min(n), 1, "%v", n)
	})
}

// balanced is a group in which all is as planned.
func (d draw) balanced() Input {
	in := d.unequal(d(0, somePartitions), d(1, someMembers))
	in.Owner = d.members(in, 4)
	in.Owner = Assign(in)
	return in
}

// TestStill: the plan stays the same while it is carried out, and when it has been.
func TestStill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.group(d(0, somePartitions), d(0, someMembers))
		to := Assign(in)
		for range d(1, 3) {
			in = carryOut(in, to, func() int { return d(notYet, stages-1) })
			require.Equal(t, to, Assign(in), "%+v", in)
		}
		in.Owner = to
		require.Equal(t, to, Assign(in), "%+v", in)
	})
}

func TestJoiningMovesOnlyToWhoJoined(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.balanced()
		joined := d.index(len(in.Members) + 1)
		in.Members = slices.Insert(slices.Clone(in.Members), int(joined), d.unequal(0, 1).Members[0])
		for p, m := range in.Owner {
			if m >= joined {
				in.Owner[p]++
			}
		}
		to := Assign(in)
		requireFair(t, in, to)
		for p, m := range to {
			if h := in.Owner[p]; m != h && h != None {
				require.Equal(t, joined, m, "%+v\n%v", in, to)
			}
		}
	})
}

func TestLeavingMovesNothingElse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.balanced()
		gone := d.index(len(in.Members))
		in.Members = slices.Delete(slices.Clone(in.Members), int(gone), int(gone)+1)
		for p, m := range in.Owner {
			switch {
			case m == gone:
				in.Owner[p] = None
			case m > gone:
				in.Owner[p]--
			}
		}
		requireNoMoves(t, in)
	})
}

func TestGrowingMovesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.balanced()
		for range d(1, 20) {
			at := d(0, len(in.Owner))
			in.Owner = slices.Insert(in.Owner, at, None)
		}
		in.Partitions = ids(len(in.Owner))
		requireNoMoves(t, in)
	})
}

func requireNoMoves(t require.TestingT, in Input) {
	to := Assign(in)
	for p, h := range in.Owner {
		if h != None {
			require.Equal(t, h, to[p], "%+v\n%v", in, to)
		}
	}
	requireFair(t, in, to)
}

// TestRules: in groups of all kinds, what members hold is within what they may have, and what is settled is so.
func TestRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.group(d(0, somePartitions), d(0, someMembers))
		before := fmt.Sprintf("%+v", in)
		to := Assign(in)
		require.Equal(t, before, fmt.Sprintf("%+v", in), "the input is changed")
		for m, n := range counts(in, to) {
			if member := in.Members[m]; !member.Foreign && member.Capacity > 0 {
				require.LessOrEqual(t, n, member.Capacity)
			}
		}
		for p, m := range to {
			h := in.Owner[p]
			if h == None && in.Reserved != nil {
				h = in.Reserved[p]
			}
			switch paused := in.Paused != nil && in.Paused[p]; {
			case in.Owner[p] != None && in.Members[in.Owner[p]].Foreign:
				require.Equal(t, in.Owner[p], m, "taken from a foreign owner")
			case paused:
				require.Equal(t, None, m, "paused")
			case h == Away:
				require.Equal(t, None, m, "reserved")
			case m != None:
				require.False(t, in.Members[m].Foreign, "given to a foreign owner")
				require.False(t, in.Members[m].Draining, "draining")
				require.True(t, h == m || !in.Members[m].Cordoned, "given to a cordoned member")
			}
		}
	})
}

// TestPinsBind to members that can have all that is pinned to them.
func TestPinsBind(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.group(d(0, somePartitions), d(1, someMembers))
		in.Pin, in.Avoid = d.members(in, 2), nil
		to := Assign(in)
		for p, bound := range boundPins(in) {
			if bound != None {
				require.Equal(t, bound, to[p], "%+v\n%v", in, to)
			}
		}
	})
}

// TestAvoid: a partition is with a member that it is to avoid only if there is no other one.
func TestAvoid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.group(d(0, somePartitions), d(1, someMembers))
		in.Pin, in.Reserved, in.Avoid = nil, nil, d.avoid(in, 2*len(in.Partitions))
		for m := range in.Members {
			in.Members[m].Capacity = 0
		}
		requireAvoided(t, in)
	})
}

// TestManyToAvoid: with more pairs than the best plan can be found for in reasonable time, the rules hold, and what is
// planned once is not planned otherwise for ever.
func TestManyToAvoid(t *testing.T) {
	d := random(t)
	for range 10 {
		in := d.uniform(1_200, 6)
		in.Avoid = d.avoid(in, 3*len(in.Partitions))
		for p, m := range in.Owner {
			if m != None {
				in.Avoid = append(in.Avoid, [2]int32{int32(p), m})
			}
		}
		requireAvoided(t, in)
		n := counts(in, Assign(in))
		require.LessOrEqual(t, slices.Max(n)-slices.Min(n), 2, "%v", n)
		for range 10 {
			in.Owner = Assign(in)
		}
		require.True(t, slices.Equal(in.Owner, Assign(in)))
	}
}

func requireAvoided(t require.TestingT, in Input) {
	to := Assign(in)
	for p, m := range to {
		if m == None || in.Members[m].Foreign || !avoids(in, p, m) {
			continue
		}
		for other, member := range in.Members {
			require.False(t, takes(member) && !avoids(in, p, int32(other)), "%d to %d: %+v\n%v", p, m, in, to)
		}
	}
}

// found is a partition as it is found in records, which name members by their ids.
type found struct {
	id, owner, pin string
	avoid          []string
}

// arrange makes the input of partitions and members in whatever order they were found.
func arrange(partitions []found, members []Member) Input {
	partitions, members = slices.Clone(partitions), slices.Clone(members)
	slices.SortFunc(partitions, func(p, q found) int { return cmp.Compare(p.id, q.id) })
	slices.SortFunc(members, func(m, n Member) int { return cmp.Compare(m.ID, n.ID) })
	index := map[string]int32{nobody: None}
	for i, m := range members {
		index[m.ID] = int32(i)
	}
	in := Input{Members: members}
	for i, p := range partitions {
		in.Partitions = append(in.Partitions, p.id)
		in.Owner, in.Pin = append(in.Owner, index[p.owner]), append(in.Pin, index[p.pin])
		for _, id := range p.avoid {
			in.Avoid = append(in.Avoid, [2]int32{int32(i), index[id]})
		}
	}
	return in
}

const nobody = "nobody"

// TestOrder: it does not matter in which order partitions, members and pairs to avoid are found, nor how often.
func TestOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := fromRapid(t)
		in := d.group(d(0, somePartitions), d(1, someMembers))
		in.Reserved, in.Paused = nil, nil
		id := func(members []int32, p int) string {
			if m := entry(members, p); m != None {
				return in.Members[m].ID
			}
			return nobody
		}
		partitions := make([]found, len(in.Partitions))
		for p := range partitions {
			partitions[p] = found{id: in.Partitions[p], owner: id(in.Owner, p), pin: id(in.Pin, p)}
		}
		for _, pair := range append(in.Avoid, in.Avoid...) {
			partition := &partitions[pair[0]]
			partition.avoid = append(partition.avoid, in.Members[pair[1]].ID)
		}
		shuffled := arrange(
			rapid.Permutation(partitions).Draw(t, "partitions"), rapid.Permutation(in.Members).Draw(t, "members"))
		require.Equal(t, Assign(in), Assign(shuffled))
	})
}

// TestMalformed: whatever the input, there is a plan with owners that exist.
func TestMalformed(t *testing.T) {
	t.Parallel()
	index := rapid.OneOf(rapid.Int32Range(-5, 12), rapid.Int32())
	indices := rapid.SliceOfN(index, -1, 15)
	rapid.Check(t, func(t *rapid.T) {
		in := Input{
			Partitions: rapid.SliceOfN(rapid.StringN(0, 1, -1), -1, 12).Draw(t, "partitions"),
			Members: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Member {
				return Member{
					ID:       rapid.StringN(0, 1, -1).Draw(t, "id"),
					Weight:   rapid.OneOf(rapid.IntRange(-1, 3), rapid.Int()).Draw(t, "weight"),
					Capacity: rapid.OneOf(rapid.IntRange(-1, 3), rapid.Int()).Draw(t, "capacity"),
					Cordoned: rapid.Bool().Draw(t, "cordoned"),
					Draining: rapid.Bool().Draw(t, "draining"),
					Foreign:  rapid.Bool().Draw(t, "foreign"),
				}
			}), -1, 8).Draw(t, "members"),
			Owner:    indices.Draw(t, "owner"),
			Pin:      indices.Draw(t, "pin"),
			Reserved: indices.Draw(t, "reserved"),
			Paused:   rapid.SliceOfN(rapid.Bool(), -1, 15).Draw(t, "paused"),
		}
		for _, p := range indices.Draw(t, "avoiding") {
			in.Avoid = append(in.Avoid, [2]int32{p, index.Draw(t, "avoided")})
		}
		to := Assign(in)
		require.Len(t, to, len(in.Partitions))
		for _, m := range to {
			require.GreaterOrEqual(t, m, None)
			require.Less(t, int(m), max(len(in.Members), 0))
		}
	})
}
