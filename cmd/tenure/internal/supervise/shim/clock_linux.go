package shim

import (
	"time"

	"golang.org/x/sys/unix"
)

// Now returns the time since the machine was started. It is the same for all of its processes.
func Now() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		panic("shim: CLOCK_BOOTTIME cannot be read: " + err.Error())
	}
	return time.Duration(now.Nano())
}
