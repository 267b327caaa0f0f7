//go:build unix

package demo

import "syscall"

const supported = true

// What is done to members.
const (
	finish = syscall.SIGTERM
	stop   = syscall.SIGSTOP
	resume = syscall.SIGCONT
)
