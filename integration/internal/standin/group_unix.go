//go:build unix

package standin

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from the server: it ends when the program that started it is done with it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
