//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore

import (
	"errors"
	"os"
	"syscall"
)

// withoutWaiting opens a pipe at once, which has no place in the directory.
const withoutWaiting = syscall.O_NONBLOCK

// lockFile locks f among processes, for this one alone if it writes, and returns errBusy if it cannot at once. A lock
// that is held already is changed.
func lockFile(f *os.File, writes bool) error {
	how := syscall.LOCK_SH
	if writes {
		how = syscall.LOCK_EX
	}
	err := flock(f, how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errBusy
	}
	return err
}

func unlockFile(f *os.File) error { return flock(f, syscall.LOCK_UN) }

func flock(f *os.File, how int) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var flockErr error
	err = conn.Control(func(fd uintptr) {
		for {
			flockErr = syscall.Flock(int(fd), how)
			if !errors.Is(flockErr, syscall.EINTR) {
				return
			}
		}
	})
	return errors.Join(err, flockErr)
}
