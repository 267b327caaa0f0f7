package plan

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkAssign plans large groups of equal members. The bar is 50 ms for the first.
func BenchmarkAssign(b *testing.B) {
	for _, size := range []struct{ partitions, members int }{{500_000, 10_000}, {1_000_000, 2_000}, {50_000, 1_000}} {
		in := uniform(size.partitions, size.members)
		name := fmt.Sprintf("%dx%d", size.partitions, size.members)
		b.Run(name+"/from nothing", func(b *testing.B) { benchmark(b, in) })
		in = withoutFirst(in, Assign(in))
		b.Run(name+"/one left", func(b *testing.B) { benchmark(b, in) })
	}
}

// BenchmarkKinds plans a group of members that differ, and groups with few and many pairs to avoid.
func BenchmarkKinds(b *testing.B) {
	in := uniform(500_000, 10_000)
	for i := range in.Members {
		in.Members[i].Weight, in.Members[i].Capacity = 1+i%7, 40+i%50
	}
	b.Run("weights and capacities", func(b *testing.B) { benchmark(b, in) })
	for _, failing := range []int{1, 20, 200, 2_000} {
		in := uniform(100_000, 1_000)
		in.Owner = Assign(in)
		for p := range failing {
			in.Avoid = append(in.Avoid, [2]int32{int32(p), in.Owner[p]})
		}
		b.Run(fmt.Sprintf("%d to avoid", failing), func(b *testing.B) { benchmark(b, in) })
	}
}

func benchmark(b *testing.B, in Input) {
	b.Helper()
	b.ReportAllocs()
	for b.Loop() {
		require.Len(b, Assign(in), len(in.Partitions))
	}
}

// withoutFirst is a group after its first member left.
func withoutFirst(in Input, owner []int32) Input {
	in.Owner = make([]int32, len(owner))
	for p, m := range owner {
		in.Owner[p] = m - 1 // which is None for the first
	}
	in.Members = in.Members[1:]
	return in
}
