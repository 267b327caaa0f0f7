package plan

import (
	"flag"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	seed      = flag.Uint64("seed", rand.Uint64(), "seed of the random instances")
	instances = flag.Int("instances", 20_000, "number of random instances")
)

// random draws from -seed, a different one in each run unless it is given.
func random(t *testing.T) draw {
	t.Helper()
	t.Logf("to repeat: -seed=%d", *seed)
	return fromRand(rand.New(rand.NewPCG(*seed, 0)))
}

// requireBest fails unless no assignment is better than the plan.
func requireBest(t *testing.T, in Input) {
	t.Helper()
	to := Assign(in)
	v, allowed := judge(in, to)
	require.True(t, allowed, "%+v\n%v", in, to)
	if b := best(in); v.compare(b) != 0 {
		require.Equal(t, b, v, "%+v\n%v", in, to)
	}
}

// TestEverySmallGroup tries all small groups of equal members.
func TestEverySmallGroup(t *testing.T) {
	for members := range 4 {
		for partitions := range 6 {
			in := uniform(partitions, members)
			for in.Owner = range vectors(partitions, members) {
				requireBest(t, in)
				requireKeptInAllParts(t, in)
			}
		}
	}
}

// TestEverySmallAvoidance tries all sets of pairs to avoid, too.
func TestEverySmallAvoidance(t *testing.T) {
	for _, size := range []struct{ partitions, members int32 }{{1, 3}, {2, 2}, {2, 3}, {3, 2}} {
		in := uniform(int(size.partitions), int(size.members))
		var pairs [][2]int32
		for p := range size.partitions {
			for m := range size.members {
				pairs = append(pairs, [2]int32{p, m})
			}
		}
		for chosen := range vectors(len(pairs), 1) {
			in.Avoid = in.Avoid[:0]
			for i, choice := range chosen {
				if choice != None {
					in.Avoid = append(in.Avoid, pairs[i])
				}
			}
			for in.Owner = range vectors(len(in.Partitions), len(in.Members)) {
				requireBest(t, in)
				requireKeptInAllParts(t, in)
			}
		}
	}
}

// TestRandomGroups compares with all assignments what is planned for small groups of all kinds.
func TestRandomGroups(t *testing.T) {
	d := random(t)
	for range *instances {
		requireBest(t, d.group(d(0, 5), d(0, 3)))
	}
}

// TestRandomUniformGroups tries, for larger groups of equal members, all choices of those that have one partition more.
func TestRandomUniformGroups(t *testing.T) {
	d := random(t)
	for range *instances {
		in := d.uniform(d(0, 40), d(1, 8))
		to := Assign(in)
		held, counts := make([]int, len(in.Members)), make([]int, len(in.Members))
		moved := 0
		for p, m := range to {
			require.NotEqual(t, None, m)
			counts[m]++
			if h := in.Owner[p]; h != None {
				held[h]++
				if h != m {
					moved++
				}
			}
		}
		quota, rest := len(to)/len(held), len(to)%len(held)
		fewest := math.MaxInt
		for more := range uint(1) << len(held) {
			if bits.OnesCount(more) != rest {
				continue
			}
			moves := 0
			for m, n := range held {
				moves += max(0, n-quota-int(more>>m&1))
			}
			fewest = min(fewest, moves)
		}
		require.Equal(t, fewest, moved, "%+v\n%v", in, to)
		for _, n := range counts {
			require.True(t, n == quota || n == quota+1 && rest > 0, "%v", counts)
		}
	}
}
