package shim

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm rings when the clock of [Now] has reached a time. A suspended machine does not hold it up.
type alarm struct {
	// ring receives once the time has come. It may receive for a time that has been changed since.
	ring <-chan struct{}

	fd int
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_BOOTTIME, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	ring := make(chan struct{}, 1)
	file := os.NewFile(uintptr(fd), "alarm")
	go func() { // for as long as the shim lives
		var expirations [8]byte
		for {
			if _, err := file.Read(expirations[:]); err != nil {
				return
			}
			select {
			case ring <- struct{}{}:
			default:
			}
		}
	}()
	return &alarm{ring: ring, fd: fd}, nil
}

// set changes the time to ring at. One that has passed rings at once.
func (a *alarm) set(at time.Duration) error {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(at, 1).Nanoseconds())} // 0 would turn it off
	if err := unix.TimerfdSettime(a.fd, unix.TFD_TIMER_ABSTIME, &spec, nil); err != nil {
		return fmt.Errorf("set the timer: %w", err)
	}
	return nil
}
