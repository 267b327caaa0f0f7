package plan_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/balancer/plan"
)

func TestFromNothing(t *testing.T) {
	in := plan.Input{Partitions: []string{"0", "1", "2", "3", "4"}, Members: []plan.Member{{ID: "a"}, {ID: "b"}}}
	require.Equal(t, []int32{0, 0, 0, 1, 1}, plan.Assign(in))
	in.Owner = []int32{0, 0, 0, 0, 0}
	require.Equal(t, []int32{0, 0, 0, 1, 1}, plan.Assign(in))
	in.Members[1].Weight = 3
	require.Equal(t, []int32{0, 1, 1, 1, 1}, plan.Assign(in))
	in.Members[1].Capacity = 1
	in.Members[0].Capacity = 3
	require.Equal(t, []int32{0, 0, 0, 1, -1}, plan.Assign(in))
}
