package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWaitsDoubleWithinTheirBounds(t *testing.T) {
	b := New(10*time.Millisecond, 50*time.Millisecond)
	for _, milliseconds := range []int{10, 20, 40, 50, 50} {
		wait, whole := b.Next(), time.Duration(milliseconds)*time.Millisecond
		require.GreaterOrEqual(t, wait, whole/2)
		require.LessOrEqual(t, wait, whole)
	}
	b.Reset()
	require.LessOrEqual(t, b.Next(), 10*time.Millisecond)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		b := New(time.Minute, time.Minute)
		start := time.Now()
		require.ErrorIs(t, b.Wait(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, b.Wait(t.Context()))
	})
}
