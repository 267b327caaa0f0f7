package plan_test

import (
	"fmt"

	"github.com/tenure-go/tenure/balancer/plan"
)

// A third member joins two that have three partitions each. It gets the last one of both.
func ExampleAssign() {
	in := plan.Input{
		Partitions: []string{"0", "1", "2", "3", "4", "5"},
		Members:    []plan.Member{{ID: "a"}, {ID: "b"}, {ID: "c"}},
		Owner:      []int32{0, 1, 0, 1, 0, 1},
	}
	show(in)
	// Output:
	// 0: a
	// 1: b
	// 2: a
	// 3: b
	// 4: a -> c
	// 5: b -> c
}

// A heavier member has more. One is drained, partition 1 is to avoid the first member, and partition 4 is paused.
func ExampleAssign_rules() {
	show(plan.Input{
		Partitions: []string{"0", "1", "2", "3", "4", "5"},
		Members:    []plan.Member{{ID: "a"}, {ID: "b", Weight: 2}, {ID: "c", Draining: true}},
		Owner:      []int32{0, 0, 1, 2, 2, plan.None},
		Avoid:      [][2]int32{{1, 0}},
		Paused:     []bool{4: true, 5: false},
	})
	// Output:
	// 0: a
	// 1: a -> b
	// 2: b
	// 3: c -> a
	// 4: c -> nobody
	// 5: nobody -> b
}

func show(in plan.Input) {
	name := func(m int32) string {
		if m == plan.None {
			return "nobody"
		}
		return in.Members[m].ID
	}
	for p, m := range plan.Assign(in) {
		if h := in.Owner[p]; h == m {
			fmt.Printf("%s: %s\n", in.Partitions[p], name(m))
		} else {
			fmt.Printf("%s: %s -> %s\n", in.Partitions[p], name(h), name(m))
		}
	}
}
