package filestore_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store/filestore"
)

// TestFullDisk: on a full disk Set fails, what was there stays, and the store works again when there is room. It needs
// the right to mount.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := open(t, dir, filestore.Config{})
	set(t, s, "small", "v")
	var err error
	kept := 0
	for ; err == nil && kept < 100; kept++ {
		err = s.Set(t.Context(), fmt.Sprint(kept), make([]byte, 100_000), time.Hour)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("Set = %v after %d; want ENOSPC", err, kept)
	}
	wantValue(t, s, "small", "v")
	wantValue(t, s, "0", string(make([]byte, 100_000)))
	if _, err := s.Raise(t.Context(), "a", "b", "c"); err != nil {
		t.Errorf("Raise on a full disk = %v; want nil: its table was there", err)
	}
	if n, err := s.Delete(t.Context(), "0"); n != 1 || err != nil {
		t.Errorf("Delete = %d, %v; want 1", n, err)
	}
	set(t, s, "again", "v")

	// On a disk that can only be read the store does not open: it could keep no marks.
	closeStore(t, s)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if s, err := filestore.Open(dir, filestore.Config{}); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Open on a read-only disk = %v, %v; want EROFS", s, err)
	}
}
