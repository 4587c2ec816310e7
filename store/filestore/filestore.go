// Package filestore keeps answers in files, one for each entry, bounded in bytes. They survive a restart, and several
// processes of one machine may share a directory.
//
// A file is written beside its place and renamed into it: a reader sees the old entry or the new one. Nothing but
// invalidations is forced to the disk; what a power failure tears is told by checksums and is a miss. The package
// needs file locks, which it uses on the BSDs, illumos, Linux and macOS; elsewhere [Open] fails.
package filestore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// DefaultMaxBytes is the bound of a Store whose Config names none.
const DefaultMaxBytes = 1 << 30

// minBytes is the smallest bound under which an entry may take a block.
const minBytes = 4 * blockSize

// DefaultScanEvery is the time between two scans of a Store whose Config names none.
const DefaultScanEvery = 5 * time.Minute

// layout is the directory below the store's that the files are in. It changes with their form. It is part of every path,
// so that the store goes on when somebody empties its directory.
const layout = "v1"

// Config says how large a [Store] may grow. The zero value is usable.
type Config struct {
	_ [0]func()

	// MaxBytes bounds the files, in whole blocks of 4 KiB. What was not used for long goes when they are more; an
	// entry of more than a quarter of it is refused. Files written by another process count when a scan has found
	// them. 0 means [DefaultMaxBytes]; less than four blocks is refused.
	MaxBytes int64

	// ScanEvery is the time between scans of the directory, which remove what has expired and learn what other
	// processes wrote. 0 means [DefaultScanEvery]; negative: only the scan when the store is opened.
	ScanEvery time.Duration
}

// Store keeps entries in the files of a directory. Use [Open]. It is safe for concurrent use, by several processes too.
//
// A context that has ended is an error; a file operation that has begun is not interrupted.
type Store struct {
	root    *os.Root
	max     int64
	index   index
	stripes [64]sync.Mutex // held while the file of an id is replaced or removed
	shared  shared

	closeOnce sync.Once
	closed    chan struct{}
	calls     sync.RWMutex // held for reading by a call, for writing by Close
	scans     sync.WaitGroup
}

var _ interface {
	store.Store
	store.MultiGetter
	store.Sequencer
	store.Locker
	store.Lister
	store.Clearer
	store.Sizer
} = (*Store)(nil)

// Open opens the store in dir, which it creates if need be. It touches no file there but its own.
func Open(dir string, cfg Config) (*Store, error) {
	if dir == "" {
		return nil, errors.New("filestore: the directory has no name; give one, such as /var/cache/shop")
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.MaxBytes < minBytes {
		return nil, fmt.Errorf("filestore: MaxBytes: %d has no room for an entry; give bytes, as 4 << 30 for 4 GiB, or 0 for 1 GiB", cfg.MaxBytes)
	}
	if cfg.ScanEvery == 0 {
		cfg.ScanEvery = DefaultScanEvery
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("filestore: %w", err)
	}
	s := &Store{root: root, max: cfg.MaxBytes, closed: make(chan struct{})}
	s.shared = shared{root: root, closed: s.closed, turn: make(chan struct{}, 1)}
	if err := s.shared.do(context.Background(), false, func(*os.File) error { return nil }); err != nil {
		return nil, fmt.Errorf("filestore: %s: %w", dir, errors.Join(err, s.shared.close(), root.Close()))
	}
	s.scans.Go(func() { s.scanEvery(cfg.ScanEvery) })
	return s, nil
}

// Close ends the scan and waits for calls that have begun. The files stay.
func (s *Store) Close() error {
	s.closeOnce.Do(func() { close(s.closed) })
	s.scans.Wait()
	s.calls.Lock()
	defer s.calls.Unlock()
	return errors.Join(s.shared.close(), s.root.Close())
}

// begin is the beginning of a call; end must follow if it returns nil.
func (s *Store) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.calls.RLock()
	if s.isClosed() {
		s.calls.RUnlock()
		return store.ErrClosed
	}
	return nil
}

func (s *Store) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

func (s *Store) end() { s.calls.RUnlock() }

// failed is err with the name of the operation.
func failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("filestore: %s: %w", op, err)
}

// Get returns the value at key.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.begin(ctx); err != nil {
		return nil, failed("get", err)
	}
	defer s.end()
	return s.get(key)
}

func (s *Store) get(key string) ([]byte, error) {
	i := idOf(key)
	h, value, err := readEntry(s.root, i, s.max)
	switch {
	case err == nil && h.key == key:
		s.index.put(i, blocks(h.size()), h.expires)
		return value, nil
	case errors.Is(err, errBad), errors.Is(err, errExpired):
		if err := s.discard(i); err != nil {
			return nil, failed("get", err)
		}
		return nil, store.ErrNotFound
	case err == nil, errors.Is(err, fs.ErrNotExist):
		return nil, store.ErrNotFound
	default:
		return nil, failed("get", err)
	}
}

// discard removes the file of i if it is no entry, or one that has expired. Whoever found it so may have read it before
// it was replaced.
func (s *Store) discard(i id) error {
	mu := s.stripe(i)
	mu.Lock()
	defer mu.Unlock()
	_, _, err := readEntry(s.root, i, s.max)
	if errors.Is(err, errBad) || errors.Is(err, errExpired) {
		return s.remove(i)
	}
	return nil
}

// remove removes the file of i, whose stripe is held.
func (s *Store) remove(i id) error {
	err := s.root.Remove(i.path())
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		s.index.remove(i)
		return nil
	}
	return err
}

func (s *Store) stripe(i id) *sync.Mutex { return &s.stripes[int(i[0])%len(s.stripes)] }

// GetMulti returns the value at each key, nil where there is none.
func (s *Store) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for n, key := range keys {
		value, err := s.Get(ctx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		values[n] = value
	}
	if err := ctx.Err(); err != nil {
		return nil, failed("get", err)
	}
	return values, nil
}

// Set keeps value at key for ttl. A value of more than a quarter of the store is refused with [store.ErrTooLarge].
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.begin(ctx); err != nil {
		return failed("set", err)
	}
	defer s.end()
	w, err := s.write(key, value, ttl)
	if err != nil {
		return failed("set", err)
	}
	return failed("set", w.commit())
}

// written is an entry that is on the disk and not yet in its place.
type written struct {
	s       *Store
	i       id
	temp    string
	size    int64
	expires int64
}

// write writes an entry to a temporary file. Commit or abandon must follow.
func (s *Store) write(key string, value []byte, ttl time.Duration) (*written, error) {
	if len(key) == 0 || len(key) > store.MaxKey {
		return nil, fmt.Errorf("a key of %d bytes", len(key))
	}
	if ttl <= 0 {
		return nil, fmt.Errorf("ttl %v is not positive", ttl)
	}
	size := headSize + int64(len(key)) + int64(len(value))
	if size > math.MaxInt64-blockSize || blocks(size) > s.max/4 {
		return nil, fmt.Errorf("%d bytes: %w", len(value), store.ErrTooLarge)
	}
	i := idOf(key)
	w := &written{
		s: s, i: i, temp: i.dir() + "/" + tempPrefix + rand.Text(),
		size: blocks(size), expires: deadline(time.Now(), ttl),
	}
	s.index.reserve(w.size)
	s.evict()
	head := appendHead(make([]byte, 0, headSize+len(key)), key, value, w.expires)
	if err := s.writeFile(w.temp, head, value); err != nil {
		w.abandon()
		return nil, err
	}
	return w, nil
}

// writeFile creates the file at path, and its directory if need be.
func (s *Store) writeFile(path string, parts ...[]byte) error {
	f, err := s.create(path)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := f.Write(part); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

func (s *Store) create(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := s.root.OpenFile(path, flags, 0o600)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if err := s.root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return s.root.OpenFile(path, flags, 0o600)
}

// commit puts the entry into its place.
func (w *written) commit() error {
	mu := w.s.stripe(w.i)
	mu.Lock()
	defer mu.Unlock()
	if err := w.s.root.Rename(w.temp, w.i.path()); err != nil {
		w.abandon()
		return err
	}
	w.s.index.put(w.i, w.size, w.expires)
	w.s.index.release(w.size)
	return nil
}

// abandon removes the temporary file, if it can: a scan does otherwise.
func (w *written) abandon() {
	_ = w.s.root.Remove(w.temp)
	w.s.index.release(w.size)
}

// evict removes entries until the bound holds.
func (s *Store) evict() {
	for {
		i, e, ok := s.index.victim(s.max)
		if !ok {
			return
		}
		mu := s.stripe(i)
		mu.Lock()
		if s.index.is(i, e) {
			_ = s.remove(i)
			s.index.remove(i) // also if it could not be removed: it would be chosen again and again
		}
		mu.Unlock()
	}
}

// Delete removes what is at the keys and returns how many held something.
func (s *Store) Delete(ctx context.Context, keys ...string) (int, error) {
	n := 0
	if err := ctx.Err(); err != nil {
		return n, failed("delete", err)
	}
	for _, key := range keys {
		removed, err := s.deleteOne(ctx, key)
		if err != nil {
			return n, failed("delete", err)
		}
		if removed {
			n++
		}
	}
	return n, nil
}

func (s *Store) deleteOne(ctx context.Context, key string) (removed bool, err error) {
	if err := s.begin(ctx); err != nil {
		return false, err
	}
	defer s.end()
	i := idOf(key)
	mu := s.stripe(i)
	mu.Lock()
	defer mu.Unlock()
	h, err := readHead(s.root, i)
	switch {
	case err == nil && h.key != key:
		return false, nil
	case err == nil, errors.Is(err, errBad), errors.Is(err, errExpired):
		return err == nil, s.remove(i)
	case errors.Is(err, fs.ErrNotExist):
		s.index.remove(i)
		return false, nil
	default:
		return false, err
	}
}

// Size returns the number of entries that this process knows of and the bytes they take, in whole blocks of 4 KiB.
func (s *Store) Size() (entries int, bytes int64) { return s.index.size() }
