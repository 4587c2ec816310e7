//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package filestore

import (
	"errors"
	"fmt"
	"os"
)

const withoutWaiting = 0

// lockFile fails: without locks two processes would issue one number twice.
func lockFile(*os.File, bool) error {
	return fmt.Errorf("file locks on this platform: %w", errors.ErrUnsupported)
}

func unlockFile(*os.File) error { return nil }
