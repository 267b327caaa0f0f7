package clock

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPassedCountsForwardJumpsOfTheWallClock(t *testing.T) {
	require.Equal(t, time.Hour, passed(time.Second, time.Hour))
	require.Equal(t, time.Second, passed(time.Second, -time.Hour))
	require.Equal(t, time.Second, passed(time.Second, time.Second+clockStep))
	require.Equal(t, time.Duration(0), passed(0, 0))
}

func TestClocksRun(t *testing.T) {
	for _, clock := range []Clock{Boot(), wallClock()} {
		start, first := time.Now(), clock()
		for clock() == first {
			require.Less(t, time.Since(start), time.Minute)
		}
		require.Greater(t, clock(), first)
	}
	synctest.Test(t, func(t *testing.T) {
		clock := wallClock()
		<-time.After(time.Hour)
		require.Equal(t, time.Hour, clock())
	})
}

func TestAContextCarriesAClock(t *testing.T) {
	still := func() time.Duration { return 42 }
	require.Equal(t, time.Duration(42), Of(With(t.Context(), still))())
	require.Greater(t, Of(t.Context())(), time.Duration(42))
}
