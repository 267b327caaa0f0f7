package clock

import (
	"sync"
	"time"
)

// clockStep is by how much the wall clock must outrun the monotonic one between two readings to count as time that
// passed unseen. Less than that is the wall clock's grain or its slow correction.
const clockStep = 50 * time.Millisecond

// wallClock returns a clock of the time since it was made that counts forward jumps of the wall clock as elapsed: where
// Go's monotonic clock stands still while the machine is suspended, the wall clock is what shows it. A wall clock that
// is set forward ends trust early, which is safe.
func wallClock() Clock {
	var mu sync.Mutex
	var elapsed time.Duration
	last := time.Now()
	return func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		next := time.Now()
		elapsed += passed(next.Sub(last), next.Round(0).Sub(last.Round(0)))
		last = next
		return elapsed
	}
}

// passed returns how much time passed between two readings, given the difference by either clock.
func passed(monotonic, wall time.Duration) time.Duration {
	if wall-monotonic > clockStep {
		return wall
	}
	return monotonic
}
