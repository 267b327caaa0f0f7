//go:build unix

package devetcd

import (
	"errors"
	"os/exec"
	"syscall"
)

const supported = true

var errUnsupported = errors.ErrUnsupported

// detach gives the process a session of its own, so that neither a closed terminal nor a signal to the starter's
// process group reaches it.
func detach(command *exec.Cmd) { command.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
