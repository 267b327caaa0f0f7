//go:build !linux

package shim

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes make the program lead a process group.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// showName would give the process a name of its own in lists.
func showName(string) {}

// awaitExit returns when a child has ended. It leaves the child to be reaped: until then the id stays its own.
func awaitExit(pid int) {
	queue, err := unix.Kqueue()
	if err != nil {
		return
	}
	defer unix.Close(queue) //nolint:errcheck // It was only read.
	var watch unix.Kevent_t
	unix.SetKevent(&watch, pid, unix.EVFILT_PROC, unix.EV_ADD|unix.EV_ONESHOT)
	watch.Fflags = unix.NOTE_EXIT
	events := make([]unix.Kevent_t, 1)
	for {
		// That there is no such process any more is an answer too.
		if _, err := unix.Kevent(queue, []unix.Kevent_t{watch}, events, nil); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
