package member

import "syscall"

// attributes make the kernel end a member with the test that started it: a paused one would notice nothing.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
