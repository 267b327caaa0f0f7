//go:build !linux

package lease

import "time"

// newClock returns the clock by which trust is judged.
func newClock() func() time.Duration {
	return wallClock()
}
