package filestore

import (
	"context"
	"errors"
	"io/fs"
	"iter"
	"strings"
	"time"
)

const (
	// tempPrefix begins the name of a file that is being written.
	tempPrefix = ".t-"

	// tempAge is the age from which on a file that is being written is what a crash left.
	tempAge = 10 * time.Minute
)

// scanEvery scans at once and then every d until the store is closed.
func (s *Store) scanEvery(d time.Duration) {
	s.scan()
	if d < 0 {
		return
	}
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-s.closed:
			return
		case <-ticker.C:
			s.scan()
		}
	}
}

// scan brings the index in line with the files, and removes what has expired, what is no entry and what crashes left. It
// leaves alone what it cannot read, and any file whose name is not one of the store's.
func (s *Store) scan() {
	s.index.beginScan()
	for dir := range 256 {
		names, _ := s.names(id{byte(dir)}.dir())
		for _, name := range names {
			if s.isClosed() {
				return
			}
			s.scanFile(byte(dir), name)
		}
		s.evict()
	}
	for _, i := range s.index.unseen() {
		s.forgetGone(i)
	}
	s.scanLeases()
}

// names returns the names in the directory at path, none if it does not exist. They are read at once: what is removed or
// added meanwhile confuses no reading of the directory.
func (s *Store) names(path string) ([]string, error) {
	f, err := s.root.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	return names, errors.Join(err, f.Close())
}

func (s *Store) scanFile(dir byte, name string) {
	path := id{dir}.dir() + "/" + name
	if strings.HasPrefix(name, tempPrefix) {
		s.removeOldTemp(path)
		return
	}
	i, ok := idAt(dir, name)
	if !ok {
		return
	}
	info, err := s.root.Lstat(path)
	if err != nil || s.index.seen(i, blocks(info.Size())) {
		return
	}
	mu := s.stripe(i)
	mu.Lock()
	defer mu.Unlock()
	h, err := readHead(s.root, i)
	switch {
	case err == nil:
		s.index.putUsed(i, blocks(h.size()), h.expires, info.ModTime().UnixNano())
	case errors.Is(err, errBad), errors.Is(err, errExpired):
		_ = s.remove(i)
	}
}

// removeOldTemp removes a file that nobody can still be writing.
func (s *Store) removeOldTemp(path string) {
	if info, err := s.root.Lstat(path); err == nil && time.Since(info.ModTime()) > tempAge {
		_ = s.root.Remove(path)
	}
}

// forgetGone takes i out of the index if another process removed its file.
func (s *Store) forgetGone(i id) {
	mu := s.stripe(i)
	mu.Lock()
	defer mu.Unlock()
	if _, err := s.root.Lstat(i.path()); errors.Is(err, fs.ErrNotExist) {
		s.index.remove(i)
	}
}

// Keys yields each key that begins with prefix. It reads the head of every file.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for dir := range 256 {
			names, err := s.list(ctx, byte(dir))
			if err != nil {
				yield("", failed("keys", err))
				return
			}
			for _, name := range names {
				i, ok := idAt(byte(dir), name)
				if !ok {
					continue
				}
				key, err := s.keyAt(ctx, i)
				if err != nil {
					yield("", failed("keys", err))
					return
				}
				if key != "" && strings.HasPrefix(key, prefix) && !yield(key, nil) {
					return
				}
			}
		}
	}
}

// list returns the names in the directory dir.
func (s *Store) list(ctx context.Context, dir byte) ([]string, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.end()
	return s.names(id{dir}.dir())
}

// keyAt returns the key of the file of i, "" if it is gone or no entry.
func (s *Store) keyAt(ctx context.Context, i id) (string, error) {
	if err := s.begin(ctx); err != nil {
		return "", err
	}
	defer s.end()
	h, err := readHead(s.root, i)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errBad) || errors.Is(err, errExpired) {
		return "", nil
	}
	return h.key, err
}

// Clear removes every key that begins with prefix and returns how many.
func (s *Store) Clear(ctx context.Context, prefix string) (int, error) {
	n := 0
	for key, err := range s.Keys(ctx, prefix) {
		if err != nil {
			return n, err
		}
		removed, err := s.Delete(ctx, key)
		n += removed
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
