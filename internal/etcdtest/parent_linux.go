package etcdtest

import "syscall"

// dieWithParent makes the kernel end a member with the test that started it: a paused one would not see its standard
// input end.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
