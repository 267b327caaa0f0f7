package simulation

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/stretchr/testify/require"
)

// simulateFor is how long runs are made. TENURE_SIMULATE sets it, as a duration.
const simulateFor = 10 * time.Second

// Whatever happens, at whatever moment, what is promised holds.
func TestSimulatedGroups(t *testing.T) {
	lasts := simulateFor
	if set := os.Getenv("TENURE_SIMULATE"); set != "" {
		var err error
		lasts, err = time.ParseDuration(set)
		require.NoError(t, err)
	}
	seed := rand.Uint64()
	only := os.Getenv("TENURE_SIMULATE_SEED")
	if only != "" {
		_, err := fmt.Sscan(only, &seed)
		require.NoError(t, err)
	}
	var sum outcome
	var runs int
	for began := time.Now(); runs == 0 || only == "" && time.Since(began) < lasts; runs++ {
		result := replayed(t, seed)
		if len(result.violations) > 0 {
			t.Fatalf("TENURE_SIMULATE_SEED=%d after %d runs and %v\n%s\n%v", seed, runs, time.Since(began),
				strings.Join(result.story, "\n"), result.violations)
		}
		sum.account.Add(result.account)
		sum.calls.Add(result.calls)
		sum.owned = max(sum.owned, result.owned)
		seed++
	}
	t.Logf("%d runs up to seed %d: %d events, %d handled again; %d checkpoints; %d calls, %d of unknown outcome; "+
		"owned again after %v at most", runs, seed-1, sum.account.Events, sum.account.Repeated, sum.account.Checkpoints,
		sum.calls.Calls, sum.calls.Unknown, sum.owned)
}

// replayed simulates with all chance coming from the seed.
func replayed(t *testing.T, seed uint64) (result outcome) {
	t.Helper()
	t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, seed)
		result = simulate(t, seed)
	})
	return result
}
