//go:build !linux

package clock

// Boot returns the machine's clock.
func Boot() Clock {
	return wallClock()
}
