//go:build !unix

package devetcd

import (
	"errors"
	"os/exec"
)

const supported = false

var errUnsupported = errors.New("--dev runs on Linux and macOS only: give --endpoints of an etcd instead")

func detach(*exec.Cmd) {}
