//go:build !linux

package realserver

import (
	"errors"
	"os/exec"
	"syscall"
)

const (
	supported   = false
	sigStop     = syscall.Signal(0)
	sigContinue = syscall.Signal(0)
)

type process struct {
	pid  int
	done chan struct{}
}

func startProcess(*exec.Cmd) (*process, error) { return nil, errors.ErrUnsupported }

func (*process) signal(syscall.Signal) error { return errors.ErrUnsupported }

func (*process) kill() {}

func alive(int) bool { return true }
