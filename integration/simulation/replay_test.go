package simulation

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// With the same seed the same happens to a group, at the same moments to the nanosecond. What the group does at one
// moment may come in another order, as goroutines do, and then differ from there on.
func TestASeedHasTheSameHappen(t *testing.T) {
	const seeds = 8
	first, same := rand.Uint64(), 0
	for seed := first; seed < first+seeds; seed++ {
		once, again := replayed(t, seed), replayed(t, seed)
		require.Equal(t, once.story, again.story, "seed %d", seed)
		alike := 0
		for alike < min(len(once.trace), len(again.trace)) && once.trace[alike] == again.trace[alike] {
			alike++
		}
		if alike == len(once.trace) {
			same++
		}
	}
	t.Logf("%d of %d runs were the same to the last change in etcd", same, seeds)
}
