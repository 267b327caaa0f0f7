package demo

import "syscall"

// attributes keep a terminal's Ctrl-C from the process, and make the kernel end it with the one that started it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
