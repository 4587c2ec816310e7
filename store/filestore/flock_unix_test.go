//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/store/filestore"
)

// TestProcessesTakeTurns: who reads numbers waits for a process that writes them, and who writes for any other.
func TestProcessesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, filestore.Config{})
		other, err := os.Open(filepath.Join(dir, "v1", "sequence"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		for _, tt := range []struct {
			name         string
			how          int
			reads, grows bool
		}{
			{"a reader", syscall.LOCK_SH, true, false},
			{"a writer", syscall.LOCK_EX, false, false},
			{"nobody", syscall.LOCK_UN, true, true},
		} {
			if err := syscall.Flock(int(other.Fd()), tt.how); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := s.Marks(ctx, "name")
			cancel()
			if tt.reads != (err == nil) || err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Marks beside %s = %v; want it to end well: %v", tt.name, err, tt.reads)
			}
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			_, err = s.Raise(ctx, "name")
			cancel()
			if tt.grows != (err == nil) || err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Raise beside %s = %v; want it to end well: %v", tt.name, err, tt.grows)
			}
		}
	})
}
