package simulation

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenure-go/tenure/integration/internal/build"
	"github.com/tenure-go/tenure/integration/internal/sameorder"
)

// With the same seed the same happens, to the nanosecond and to the last change in etcd, whatever else the machine has
// to do.
func TestASeedReplays(t *testing.T) {
	if unfit := build.Fits(sameorder.Edits()...); unfit != nil && !sameorder.Built {
		t.Skip("this Go is not the one that is known: ", unfit)
	}
	const seeds = 6
	folder, first := t.TempDir(), rand.Uint64()
	for seed := first; seed < first+seeds; seed++ {
		once := make(chan outcome)
		go func() {
			result, err := played(t.Context(), folder, seed)
			if err != nil {
				t.Error(err)
			}
			once <- result
		}()
		again, err := played(t.Context(), folder, seed)
		require.NoError(t, err)
		require.Equal(t, <-once, again, "seed %d", seed)
		require.NotEmpty(t, again.Trace, "seed %d", seed)
	}
}
