//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package filestore_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/filestore"
)

// TestNoFile: what stands in the place of a file and is none is a miss, is not waited for, and goes.
func TestNoFile(t *testing.T) {
	for name, plant := range map[string]func(path string) error{
		"link that leads out":     func(path string) error { return os.Symlink(os.Args[0], path) },
		"link to itself":          func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"link to another file":    func(path string) error { return os.Symlink("../sequence", path) },
		"link that leads nowhere": func(path string) error { return os.Symlink("nowhere", path) },
		"pipe":                    func(path string) error { return syscall.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, filestore.Config{ScanEvery: -1})
			set(t, s, "key", "v")
			path := files(t, dir)[0]
			replace := func(path string) {
				t.Helper()
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := plant(path); err != nil {
					t.Fatal(err)
				}
			}
			for what, use := range map[string]func() error{
				"Keys": func() error {
					if keys := keysOf(t, s); len(keys) != 0 {
						t.Errorf("Keys = %q; want none", keys)
					}
					return nil
				},
				"Delete": func() error { _, err := s.Delete(t.Context(), "key"); return err },
				"Set":    func() error { return s.Set(t.Context(), "key", []byte("v"), time.Hour) },
				"Get": func() error {
					if b, err := s.Get(t.Context(), "key"); !errors.Is(err, store.ErrNotFound) {
						t.Errorf("Get = %q, %v; want ErrNotFound", b, err)
					}
					return nil
				},
			} {
				replace(path)
				if err := use(); err != nil {
					t.Errorf("%s = %v; want nil", what, err)
				}
				set(t, s, "key", "v")
				wantValue(t, s, "key", "v")
			}

			fence, ok, err := s.Lock(t.Context(), "name", time.Hour)
			if !ok || err != nil {
				t.Fatalf("Lock = %v, %v", ok, err)
			}
			leases, err := filepath.Glob(filepath.Join(dir, "v1", "leases", "*"))
			if len(leases) != 1 || err != nil {
				t.Fatalf("leases: %q, %v; want one", leases, err)
			}
			replace(leases[0])
			if later, ok, err := s.Lock(t.Context(), "name", time.Hour); !ok || err != nil || later <= fence {
				t.Errorf("Lock = %d, %v, %v; want a lease after %d: nobody knows of it", later, ok, err, fence)
			}
		})
	}
}
