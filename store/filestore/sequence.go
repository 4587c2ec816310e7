package filestore

import (
	"context"
	"encoding/binary"
	"errors"
	"os"

	"github.com/reprise-go/reprise/store"
)

// slotAt is where the slot of name is in the shared file.
func slotAt(name string) int64 {
	i := idOf(name)
	return sharedHead + 8*int64(binary.LittleEndian.Uint32(i[:])%slots)
}

// Marks reads the slots of names.
func (s *Store) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	if err := s.begin(ctx); err != nil {
		return store.Marks{}, failed("marks", err)
	}
	defer s.end()
	m, err := s.marks(ctx, names)
	return m, failed("marks", err)
}

func (s *Store) marks(ctx context.Context, names []string) (m store.Marks, err error) {
	if len(names) > 0 {
		m.Slots = make([]uint64, len(names))
	}
	err = s.shared.do(ctx, false, func(f *os.File) (err error) {
		if m.Incarnation, err = uint64At(f, 8); err != nil {
			return err
		}
		if m.Newest, err = uint64At(f, 16); err != nil {
			return err
		}
		for i, name := range names {
			if m.Slots[i], err = uint64At(f, slotAt(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return store.Marks{}, err
	}
	return m, nil
}

// Raise issues the next number and raises the slots of names to it. It returns when they are on the disk.
func (s *Store) Raise(ctx context.Context, names ...string) (n uint64, err error) {
	if err := s.begin(ctx); err != nil {
		return 0, failed("raise", err)
	}
	defer s.end()
	var file *os.File
	err = s.shared.do(ctx, true, func(f *os.File) error {
		file = f
		last, err := uint64At(f, 16)
		if err != nil {
			return err
		}
		n = last + 1
		// The number first: if what follows fails, it is lost, and not issued again with other slots.
		if err := putUint64At(f, 16, n); err != nil {
			return err
		}
		for _, name := range names {
			if err := putUint64At(f, slotAt(name), n); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		// Not under the lock: those who read need not wait for the disk. A file that was closed meanwhile was replaced, and
		// with it the incarnation.
		if err = file.Sync(); errors.Is(err, os.ErrClosed) {
			err = nil
		}
	}
	if err != nil {
		return 0, failed("raise", err)
	}
	return n, nil
}

// GetMarked is Get and Marks. The marks are read last, so that an invalidation that returned before the value was read
// is among them.
func (s *Store) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	if err := s.begin(ctx); err != nil {
		return nil, store.Marks{}, failed("get", err)
	}
	defer s.end()
	value, err := s.get(key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, store.Marks{}, err
	}
	m, marksErr := s.marks(ctx, names)
	if marksErr != nil {
		return nil, store.Marks{}, failed("marks", marksErr)
	}
	return value, m, err
}
