//go:build !unix

package demo

import "syscall"

const supported = false

// There is no such thing here, and the demo does not begin.
const (
	finish = syscall.SIGTERM
	stop   = syscall.SIGTERM
	resume = syscall.SIGTERM
)

func attributes() *syscall.SysProcAttr { return nil }
