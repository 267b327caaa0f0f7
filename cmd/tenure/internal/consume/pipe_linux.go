package consume

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// inPipe returns how many bytes lie in the pipe that w writes to, not yet read by anybody, and whether nobody is left
// to read them. What is no pipe keeps nothing back.
func inPipe(w io.Writer) (unread int, abandoned bool) {
	file, ok := w.(*os.File)
	if !ok {
		return 0, false
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return 0, false
	}
	connection, err := file.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = connection.Control(func(fd uintptr) {
		if count, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ); err == nil {
			unread = count
		}
		poll := []unix.PollFd{{Fd: int32(fd)}} //nolint:gosec // A descriptor is a small number.
		if _, err := unix.Poll(poll, 0); err == nil {
			abandoned = poll[0].Revents&unix.POLLERR != 0
		}
	})
	if err != nil {
		return 0, false
	}
	return unread, abandoned
}
