package demo

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFewestMoves(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		held    map[string]int
		members []string
		want    int
	}{
		{map[string]int{}, []string{"a"}, 0},
		{map[string]int{"a": 4, "b": 4, "c": 4}, []string{"a", "b", "c"}, 0},
		{map[string]int{"a": 4, "b": 4, "c": 4}, []string{"a", "b", "c", "d"}, 3},
		{map[string]int{"a": 3, "b": 3, "c": 3, "d": 3}, []string{"a", "c", "d"}, 3},
		{map[string]int{"a": 4, "c": 4, "d": 4}, []string{"a", "d"}, 4},
		{map[string]int{"a": 6, "d": 6}, []string{"a"}, 6},
		{map[string]int{"a": 12}, []string{"a", "d"}, 6},
		{map[string]int{"a": 5, "b": 2}, []string{"a", "b"}, 1},    // who has most keeps the odd one
		{map[string]int{"a": 7}, []string{"a", "b", "c"}, 4},       // 3, 2, 2
		{map[string]int{"a": 1, "b": 9}, []string{"a", "b"}, 4},    // 5, 5
		{map[string]int{"gone": 3, "a": 1}, []string{"a", "b"}, 3}, // 2, 2
	} {
		require.Equal(t, test.want, fewestMoves(test.held, test.members), "%v to %v", test.held, test.members)
	}
}
