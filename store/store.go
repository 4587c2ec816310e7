// Package store is the contract between reprise and the places where it keeps answers.
//
// A [Store] is three methods. What a store can do beyond them it says by implementing one of the small
// capability interfaces of this package, which are looked for once, when a cache is built: [Local],
// [MultiGetter], [Sequencer], [Sequenced], [Locker], [Lister], [Clearer], [Notifier], [Partitioned], [Layered] and [Sizer]. A store that must be
// released implements io.Closer.
//
// Package storetest is the executable form of this contract.
package store

import (
	"context"
	"errors"
	"iter"
	"math"
	"time"
)

// ErrNotFound is what Get and GetMarked return, possibly wrapped, for a key that holds nothing.
var ErrNotFound = errors.New("store: key not found")

// ErrClosed is what a closed store's methods return, possibly wrapped.
var ErrClosed = errors.New("store: closed")

// ErrTooLarge is what Set returns, possibly wrapped, for a value that this store never keeps.
var ErrTooLarge = errors.New("store: value too large")

// Forever is the ttl of a value that does not expire by itself.
const Forever time.Duration = math.MaxInt64

// MaxKey is the length in bytes of the longest key.
const MaxKey = 200

// Store keeps values under keys for a limited time.
//
// A key is 1 to [MaxKey] bytes of printable ASCII without space ('!' to '~'); a store may refuse any other.
// Bytes that cross this interface are frozen on both sides: neither the caller nor the store changes them
// afterwards. A store may lose any value at any time, and never returns a value that was set under another key.
//
// Every method is safe for concurrent use and honours the deadline and the cancellation of its context.
type Store interface {
	// Get returns the value at key, or an error that matches [ErrNotFound].
	Get(ctx context.Context, key string) ([]byte, error)

	// Set keeps value at key for ttl, which is positive or [Forever], and replaces what was there. A store
	// that counts time in larger units rounds up: values carry their own deadline. When Set fails, the key
	// holds the new value, the old one or nothing.
	Set(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Delete removes what is at the keys and returns how many of them held something. A key that holds
	// nothing is no error.
	Delete(ctx context.Context, keys ...string) (int, error)
}

// Local is a store in this process that keeps live values beside bytes. A key holds bytes or a live value; each
// is invisible to the other's reader, and the later of Set and Keep replaces the earlier.
type Local interface {
	// Load returns the live value kept at key. One whose ttl is over may still be there, for a second: who keeps values
	// looks at the clock himself. It neither keeps key nor allocates.
	Load(key []byte) (any, bool)

	// Keep keeps v at key for ttl, which is positive or [Forever]. bytes is what v holds in memory, the key
	// not counted. A value that is too large for the store is not kept, and what was at key is gone.
	Keep(key string, v any, bytes int64, ttl time.Duration)
}

// MultiGetter reads several keys in one round trip (or one for each server).
type MultiGetter interface {
	// GetMulti returns a value for each key, in the order of keys; nil for a key that holds nothing. (A
	// value of no bytes is not nil.)
	GetMulti(ctx context.Context, keys []string) ([][]byte, error)
}

// Marks is one reading of a [Sequencer].
type Marks struct {
	// Incarnation names the life of the numbers. It changes when numbers or marks may have been lost; what
	// was numbered under another incarnation is not comparable. 0 is no incarnation at all.
	Incarnation uint64
	// Newest is the number that was issued last; 0 before the first.
	Newest uint64
	// Slots has, for each name asked for, the number it was last raised to, or a later one that had been issued by then. For a
	// name that was never raised it is 0 or, in a store that forgets slots, such a number.
	Slots []uint64
}

// Sequencer issues numbers that fence invalidations. Names are mapped to a fixed number of slots, so that the
// memory is bounded; two names in one slot invalidate too much, never too little. Lists of names are the caller's: a store
// does not change them.
type Sequencer interface {
	// Marks reads the slots of names. The slots and Newest are as of one moment, or Newest is older: no reading has
	// the number of a Raise without the slots of that Raise.
	Marks(ctx context.Context, names ...string) (Marks, error)

	// Raise issues the next number and raises the slots of names to it; none is ever lowered. When it
	// returns without error, every later Marks and GetMarked, in any process, sees it.
	Raise(ctx context.Context, names ...string) (uint64, error)

	// GetMarked is Get and Marks in one round trip, but for exceptions. The marks are valid also when the error
	// matches [ErrNotFound].
	GetMarked(ctx context.Context, key string, names ...string) ([]byte, Marks, error)
}

// Sequenced is a [Local] store whose numbers live in this process. A look-up then costs one atomic load.
type Sequenced interface {
	Sequence() *Sequence
}

// Locker grants leases. A lease is known by its fence: a number that is larger than that of every earlier lease
// of the same name.
type Locker interface {
	// Lock takes the lease of name for ttl. ok is false while another holds it.
	Lock(ctx context.Context, name string, ttl time.Duration) (fence uint64, ok bool, err error)

	// Renew extends the lease to ttl from now. ok is false if fence is no longer the holder's.
	Renew(ctx context.Context, name string, fence uint64, ttl time.Duration) (ok bool, err error)

	// Unlock gives the lease back if fence still holds it, and does nothing otherwise.
	Unlock(ctx context.Context, name string, fence uint64) error

	// SetLocked is Set on the condition, checked in the same step, that no later lease of name than fence was
	// granted. ok is false, and nothing changed, if one was.
	SetLocked(
		ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64,
	) (ok bool, err error)
}

// Lister enumerates keys.
type Lister interface {
	// Keys yields each key that begins with prefix, in no order, live values included. A key that comes or
	// goes meanwhile may or may not be among them. An error ends the sequence. "" is every key of the store.
	Keys(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// Clearer removes many keys at once.
type Clearer interface {
	// Clear removes every key that begins with prefix and returns how many. "" is every key that belongs to
	// this store, and no other's.
	Clear(ctx context.Context, prefix string) (int, error)
}

// Notifier tells what other processes change.
type Notifier interface {
	// Notify calls changed with each key that was set, removed or has expired, and lost when changes may have
	// been missed, until ctx ends; its error is then ctx's. Both are called from one goroutine and must not
	// block. lost is called once when watching begins.
	Notify(ctx context.Context, changed func(key string), lost func()) error
}

// Partitioned is a store whose keys are spread over nodes that fail one by one. Who knows that one is down need not wait
// for it, and need not do without the others.
type Partitioned interface {
	// Node names the node that key is on; that of "" has the marks of a [Sequencer]. It answers from what is known
	// already, which may be wrong for a while after keys have moved.
	Node(key string) string
}

// Layered is a store that keeps copies of its values near, which may be older than the values.
type Layered interface {
	// Forget drops the copy of key, so that the next look-up reads the value itself, which it does not touch. It is false
	// where no copies are kept at all.
	Forget(key string) bool
}

// Sizer tells what a store holds.
type Sizer interface {
	// Size returns the number of entries and the bytes they take, as the store counts them against its bound.
	Size() (entries int, bytes int64)
}
