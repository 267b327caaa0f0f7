package eventhubs

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newProgress(10, time.Second)
		ticked := func(after time.Duration) bool {
			select {
			case <-p.due():
				return true
			case <-time.After(after):
				return false
			}
		}
		require.False(t, ticked(time.Hour), "nothing is handled yet")

		require.False(t, p.add(3, position{sequenceNumber: 2}))
		require.False(t, ticked(600*time.Millisecond))
		require.False(t, p.add(3, position{sequenceNumber: 5}))
		began := time.Now()
		require.True(t, ticked(time.Hour), "the first event has waited long enough")
		require.Equal(t, 400*time.Millisecond, time.Since(began))
		require.Equal(t, int64(5), p.end.sequenceNumber)

		p.saved()
		require.False(t, ticked(time.Hour), "all is saved")

		require.False(t, p.add(9, position{}))
		require.True(t, p.add(1, position{}), "enough events")
		p.saved()
		require.False(t, ticked(time.Hour), "all is saved")
		require.True(t, p.add(10, position{}), "enough events at once")
	})
}
