package shim

import (
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attributes make the program lead a process group, and die with the thread that started it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// showName gives the process a name of its own in lists: that of the file would be "exe" for /proc/self/exe.
func showName(name string) {
	if text, err := unix.BytePtrFromString(name); err == nil {
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(text)), 0, 0, 0) //nolint:gosec // As the call wants it.
	}
}

// awaitExit returns when a child has ended. It leaves the child to be reaped: until then the id stays its own.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
