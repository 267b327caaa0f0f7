//go:build unix

package etcdtest

import "syscall"

// Pause stops the i-th member with SIGSTOP: its connections stay, its clocks run on.
func (p *Processes) Pause(i int) {
	p.tb.Helper()
	p.Signal(i, syscall.SIGSTOP)
}

// Resume lets a paused member go on.
func (p *Processes) Resume(i int) {
	p.tb.Helper()
	p.Signal(i, syscall.SIGCONT)
}
