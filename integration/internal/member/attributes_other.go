//go:build !linux

package member

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
