// Package clock is the time by which leases are trusted. It runs on while the machine is suspended, when Go's monotonic
// clock and its timers stand still.
package clock

import (
	"context"
	"time"
)

// Clock tells how much time has passed since some moment. It never goes back.
type Clock func() time.Duration

type key struct{}

// With returns a context that carries another clock, for tests: one that is wrong, or that of a simulation.
func With(ctx context.Context, c Clock) context.Context { return context.WithValue(ctx, key{}, c) }

// Of returns the clock that the context carries, or the machine's if there is none.
func Of(ctx context.Context) Clock {
	if c, ok := ctx.Value(key{}).(Clock); ok {
		return c
	}
	return Boot()
}
