// Package memstore keeps answers in the memory of this process, bounded in bytes.
//
// A [Store] keeps bytes and live values, evicts by W-TinyLFU and forgets what has expired without being asked. A
// look-up takes no lock and allocates nothing. It is what a cache uses when it is given no store.
package memstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/reprise-go/reprise/store"
)

// DefaultMaxBytes is the bound of a Store whose Config names none.
const DefaultMaxBytes = 64 << 20

// minBytes is the smallest bound under which there can be an entry, with a key of one byte.
const minBytes = 4 * (EntryOverhead + 1)

// Config says how large a [Store] may grow. The zero value is usable.
type Config struct {
	_ [0]func()

	// MaxBytes bounds what the entries take: key, value and [EntryOverhead] each. An entry of more than a quarter
	// of it is refused. 0 means [DefaultMaxBytes]; what is too little for any entry is refused.
	MaxBytes int64
}

// Store keeps entries in memory. Use [New]. It is safe for concurrent use.
//
// Bytes and keys are kept as they are given and returned as they are kept, never copied: nobody may change them. An
// entry can go at any time to make room for another.
type Store struct {
	cache atomic.Pointer[otter.Cache[uint64, entry]] // nil once closed
	seed  maphash.Seed
	mask  uint64 // all ones; a test clears bits so that keys collide
	limit int64  // of one entry
	clock clock
	room  room

	sequence    *store.Sequence
	incarnation uint64
	leases      leases
}

var _ interface {
	store.Store
	store.Local
	store.MultiGetter
	store.Sequencer
	store.Sequenced
	store.Locker
	store.Lister
	store.Clearer
	store.Sizer
} = (*Store)(nil)

// entry is what stands at a hash. Two keys of one hash displace each other, so a reader compares the key.
type entry struct {
	key string
	v   any // a live value, or raw
}

// raw is the form in which Set keeps bytes, so that they are no live value, and a live []byte is not what Set kept.
type raw []byte

// New returns an empty Store. The error says that cfg is invalid.
func New(cfg Config) (*Store, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.MaxBytes < minBytes {
		return nil, fmt.Errorf("memstore: MaxBytes: %d has no room for an entry; give bytes, as 512 << 20 for 512 MiB, or 0 for 64 MiB", cfg.MaxBytes)
	}
	s := &Store{
		seed:     maphash.MakeSeed(),
		mask:     math.MaxUint64,
		limit:    min(cfg.MaxBytes/4, math.MaxUint32),
		sequence: store.NewSequence(),
	}
	s.clock = newClock()
	s.room.slack = max(cfg.MaxBytes/32, 1)
	for s.incarnation == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		s.incarnation = binary.LittleEndian.Uint64(b[:])
	}
	cache, err := otter.New(&otter.Options[uint64, entry]{
		MaximumWeight:    uint64(cfg.MaxBytes),
		Weigher:          s.room.weigh,
		ExpiryCalculator: otter.ExpiryWritingFunc(s.ttl),
		Clock:            s.clock.coarse,
	})
	if err != nil {
		return nil, fmt.Errorf("memstore: %w", err)
	}
	s.cache.Store(cache)
	return s, nil
}

// Close releases what the store holds and ends its goroutines. Every later call finds nothing or returns
// [store.ErrClosed].
func (s *Store) Close() error {
	if c := s.cache.Swap(nil); c != nil {
		c.StopAllGoroutines()
		s.clock.coarse.Stop()
	}
	return nil
}

// open returns the cache, or why there is none to ask.
func (s *Store) open(ctx context.Context, op string) (*otter.Cache[uint64, entry], error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("memstore: %s: %w", op, err)
	}
	c := s.cache.Load()
	if c == nil {
		return nil, fmt.Errorf("memstore: %s: %w", op, store.ErrClosed)
	}
	return c, nil
}

func (s *Store) hash(key string) uint64 { return maphash.String(s.seed, key) & s.mask }

// Load returns the live value kept at key, also one whose ttl has been over for less than a second. It takes no lock, allocates
// nothing and does not read the clock.
func (s *Store) Load(key []byte) (any, bool) {
	c := s.cache.Load()
	if c == nil {
		return nil, false
	}
	e, ok := c.GetIfPresent(maphash.Bytes(s.seed, key) & s.mask)
	if !ok || e.key != string(key) {
		return nil, false
	}
	if _, ok := e.v.(raw); ok {
		return nil, false
	}
	return e.v, true
}

// Keep keeps v at key for ttl, and key itself with it: a key cut from a string that v holds costs nothing more. bytes
// is what v holds in memory. A value of more than a quarter of the store is not kept, and neither is one whose ttl is
// not positive; what was at key is gone then.
func (s *Store) Keep(key string, v any, bytes int64, ttl time.Duration) {
	c := s.cache.Load()
	if c == nil {
		return
	}
	if w, ok := s.weight(key, bytes); ok && ttl > 0 {
		s.room.put(c, s.hash(key), entry{key, v}, w, ttl)
		return
	}
	s.remove(c, key)
}

// Get returns the bytes at key, which the caller must not change.
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	c, err := s.open(ctx, "get")
	if err != nil {
		return nil, err
	}
	b := s.get(c, key)
	if b == nil {
		return nil, store.ErrNotFound
	}
	return b, nil
}

// get returns the bytes at key, nil if there are none.
func (s *Store) get(c *otter.Cache[uint64, entry], key string) []byte {
	e, ok := c.GetEntry(s.hash(key))
	if !ok || e.Value.key != key || s.clock.over(&e) {
		return nil
	}
	b, _ := e.Value.v.(raw)
	return b
}

// GetMulti returns the bytes at each key, nil where there are none.
func (s *Store) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	c, err := s.open(ctx, "get")
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = s.get(c, key)
	}
	return values, nil
}

// Set keeps value at key for ttl. It keeps the slice itself, which nobody may change afterwards. A value of more than
// a quarter of the store is refused with [store.ErrTooLarge].
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	c, err := s.open(ctx, "set")
	if err != nil {
		return err
	}
	return s.set(c, key, value, ttl)
}

func (s *Store) set(c *otter.Cache[uint64, entry], key string, value []byte, ttl time.Duration) error {
	if ttl <= 0 {
		return fmt.Errorf("memstore: set: ttl %v is not positive", ttl)
	}
	w, ok := s.weight(key, int64(len(value)))
	if !ok {
		return fmt.Errorf("memstore: set: %d bytes: %w", len(value), store.ErrTooLarge)
	}
	if value == nil {
		value = []byte{}
	}
	// Without spare capacity an append by a reader cannot write behind the value.
	s.room.put(c, s.hash(key), entry{key, raw(slices.Clip(value))}, w, ttl)
	return nil
}

// Delete removes what is at the keys, bytes or live values, and returns how many there were.
func (s *Store) Delete(ctx context.Context, keys ...string) (int, error) {
	c, err := s.open(ctx, "delete")
	if err != nil {
		return 0, err
	}
	n := 0
	for _, key := range keys {
		if s.remove(c, key) {
			n++
		}
	}
	return n, nil
}

// remove reports whether something was at key whose time was not over.
func (s *Store) remove(c *otter.Cache[uint64, entry], key string) (removed bool) {
	hash := s.hash(key)
	found, ok := c.GetEntryQuietly(hash)
	over := ok && s.clock.over(&found)
	c.ComputeIfPresent(hash, func(e entry) (entry, otter.ComputeOp) {
		if e.key != key {
			return e, otter.CancelOp
		}
		removed = !over
		return entry{}, otter.InvalidateOp
	})
	return removed
}

// Keys yields each key that begins with prefix, of bytes and of live values. It holds no lock: the loop may use the
// store.
func (s *Store) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		c, err := s.open(ctx, "keys")
		if err != nil {
			yield("", err)
			return
		}
		for hash, v := range c.All() {
			if err := ctx.Err(); err != nil {
				yield("", fmt.Errorf("memstore: keys: %w", err))
				return
			}
			if !strings.HasPrefix(v.key, prefix) {
				continue
			}
			if e, ok := c.GetEntryQuietly(hash); !ok || s.clock.over(&e) {
				continue
			}
			if !yield(v.key, nil) {
				return
			}
		}
	}
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

// Size returns the number of entries and the bytes they count for, [EntryOverhead] included. Entries that have expired
// count until they are swept, which takes a second or two.
func (s *Store) Size() (entries int, bytes int64) {
	c := s.cache.Load()
	if c == nil {
		return 0, 0
	}
	c.CleanUp() // what was written a moment ago is weighed in the background
	return c.EstimatedSize(), int64(min(c.WeightedSize(), math.MaxInt64))
}
