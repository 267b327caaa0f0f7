//go:build !unix

package standin

import "syscall"

func ownGroup() *syscall.SysProcAttr {
	return nil
}
