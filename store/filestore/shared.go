package filestore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/reprise-go/reprise/store"
)

// The file of the numbers that all processes share is a head of sharedHead bytes and a table of slots of 8 bytes each.
// Numbers are little-endian. It is read and written under a lock of the file.
//
//	 0  8  magic
//	 8  8  incarnation
//	16  8  the number issued last
//	24  8  the fence granted last
const (
	sharedName  = layout + "/sequence"
	sharedMagic = "rpseq\x00\x00\x02"
	sharedHead  = 32
	slots       = 1 << 18
	sharedSize  = sharedHead + 8*slots
)

// errBusy is what lockFile returns while another process holds the lock.
var errBusy = errors.New("locked by another process")

// shared is the file that all processes share.
type shared struct {
	root   *os.Root
	closed <-chan struct{}

	turn chan struct{} // holds a token while a goroutine of this process has its turn; guards file
	file *os.File
	info os.FileInfo
}

// do runs fn while no other process writes the file, and none reads it either if fn writes. Whoever stops while it holds
// the lock stops the others, which wait as long as their contexts allow.
func (h *shared) do(ctx context.Context, writes bool, fn func(*os.File) error) error {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return ctx.Err()
	case <-h.closed:
		return store.ErrClosed
	}
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 5*time.Millisecond) {
		err := h.try(writes, fn)
		if !errors.Is(err, errBusy) {
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-h.closed:
			timer.Stop()
			return store.ErrClosed
		}
	}
}

func (h *shared) try(writes bool, fn func(*os.File) error) error {
	if err := h.open(); err != nil {
		return err
	}
	if err := lockFile(h.file, writes); err != nil {
		return err
	}
	valid, err := h.valid()
	if err == nil && !valid {
		// Whoever finds the file new or broken makes it anew, under another incarnation.
		if err = lockFile(h.file, true); err == nil {
			err = h.create()
		}
	}
	if errors.Is(err, errReplaced) {
		return errors.Join(errBusy, h.drop()) // and with the file its lock
	}
	if err == nil {
		err = fn(h.file)
	}
	return errors.Join(err, unlockFile(h.file))
}

// open opens the file, and creates it if need be.
func (h *shared) open() error {
	if h.file != nil {
		return nil
	}
	const flags = os.O_RDWR | os.O_CREATE
	f, err := h.root.OpenFile(sharedName, flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := h.root.MkdirAll(layout, 0o700); err != nil {
			return err
		}
		f, err = h.root.OpenFile(sharedName, flags, 0o600)
	}
	if err != nil {
		return err
	}
	if h.info, err = f.Stat(); err != nil {
		return errors.Join(err, f.Close())
	}
	h.file = f
	return nil
}

// drop closes the file; the next turn opens it again.
func (h *shared) drop() error {
	err := h.file.Close()
	h.file = nil
	return err
}

// errReplaced is what valid returns when the open file is not the one at its place: somebody emptied the directory.
var errReplaced = errors.New("replaced")

// valid reports whether the file is whole.
func (h *shared) valid() (bool, error) {
	info, err := h.root.Stat(sharedName)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(info, h.info) {
		return false, errReplaced
	}
	if err != nil {
		return false, err
	}
	var b [len(sharedMagic)]byte
	if _, err := h.file.ReadAt(b[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return info.Size() == sharedSize && string(b[:]) == sharedMagic, nil
}

// create makes the file anew, the magic last. The table is written, not left out as a hole: a full disk shows here and
// not when a slot is raised.
func (h *shared) create() error {
	if valid, err := h.valid(); err != nil || valid {
		return err // another process was faster
	}
	if err := h.file.Truncate(0); err != nil {
		return err
	}
	b := make([]byte, sharedSize)
	for binary.LittleEndian.Uint64(b[8:]) == 0 {
		_, _ = rand.Read(b[8:16]) // never fails
	}
	if _, err := h.file.WriteAt(b, 0); err != nil {
		return err
	}
	if err := h.file.Sync(); err != nil {
		return err
	}
	if _, err := h.file.WriteAt([]byte(sharedMagic), 0); err != nil {
		return err
	}
	return h.file.Sync()
}

func (h *shared) close() error {
	h.turn <- struct{}{}
	defer func() { <-h.turn }()
	if h.file == nil {
		return nil
	}
	return h.drop()
}

// uint64At reads the number at off.
func uint64At(f *os.File, off int64) (uint64, error) {
	var b [8]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[:]), nil
}

func putUint64At(f *os.File, off int64, n uint64) error {
	_, err := f.WriteAt(binary.LittleEndian.AppendUint64(nil, n), off)
	return err
}
