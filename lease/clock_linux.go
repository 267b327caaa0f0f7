package lease

import (
	"time"

	"golang.org/x/sys/unix"
)

// newClock returns the clock by which trust is judged: CLOCK_BOOTTIME, which runs on while the machine is suspended.
func newClock() func() time.Duration {
	var probe unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &probe); err != nil {
		return wallClock() // a sandbox that knows no such clock
	}
	return func() time.Duration {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
			panic("lease: CLOCK_BOOTTIME could be read before: " + err.Error())
		}
		return time.Duration(now.Nano())
	}
}
