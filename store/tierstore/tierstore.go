// Package tierstore puts a near store, in memory, before a far one that is shared.
//
// A value that was read stays near for a while, so that the next reader spares the far store its transfer. What this
// process sets or removes leaves the near store at once. What another process does leaves it when the far store is a
// [store.Notifier] and tells so, when the cache finds the copy to be invalidated or no longer fresh ([store.Layered]), and after
// [Config].NearTTL at the latest. Marks are always read from the far store: an invalidation that returned is obeyed at once,
// by near values too.
package tierstore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// DefaultNearTTL is how long a value stays near if Config names no time.
const DefaultNearTTL = 10 * time.Second

// restAfterError is the time between a watch of the far store that failed and the next.
const restAfterError = time.Second

// Config names the two stores. Close leaves both open.
type Config struct {
	_ [0]func()

	// Near keeps copies. It serves this store alone, and is a [store.Clearer], as that of package memstore. Required.
	Near store.Store

	// Far holds the values. Required.
	Far store.Store

	// NearTTL is how long a copy stays near at most, and so how much longer than its ttl a value may be seen. 0 means
	// [DefaultNearTTL].
	NearTTL time.Duration
}

// Store is what [New] returns.
type Store interface {
	store.Store
	store.MultiGetter
	io.Closer
}

// New returns a store that is also a [store.Sequencer], [store.Locker], [store.Lister] or [store.Clearer] if cfg.Far is
// one. It is no [store.Notifier]: who watches for changes watches cfg.Far. The error names everything that is missing.
func New(cfg Config) (Store, error) {
	var errs []error
	clearer, ok := cfg.Near.(store.Clearer)
	switch {
	case cfg.Near == nil:
		errs = append(errs, errors.New("tierstore: Near is nil; give a store in memory, such as that of memstore.New"))
	case !ok:
		errs = append(errs, fmt.Errorf("tierstore: Near: %T is no store.Clearer; give one that is, such as that of memstore.New", cfg.Near))
	}
	if cfg.Far == nil {
		errs = append(errs, errors.New("tierstore: Far is nil; give the store that is shared"))
	}
	if cfg.NearTTL < 0 {
		errs = append(errs, fmt.Errorf("tierstore: NearTTL: %v is negative; 0 is %v", cfg.NearTTL, DefaultNearTTL))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	t := &tier{
		near: cfg.Near, clearNear: clearer, far: cfg.Far, ttl: cfg.NearTTL,
		seed: maphash.MakeSeed(), closed: make(chan struct{}),
	}
	if t.ttl == 0 {
		t.ttl = DefaultNearTTL
	}
	watch, stop := context.WithCancel(context.Background())
	t.stopWatch = stop
	if n, ok := cfg.Far.(store.Notifier); ok {
		t.watching.Go(func() { t.watch(watch, n) })
	}
	return t.withCapabilities(), nil
}

// tier is a near store before a far one.
type tier struct {
	near      store.Store
	clearNear store.Clearer
	far       store.Store
	ttl       time.Duration

	seed    maphash.Seed
	changes [256]changes

	closeOnce sync.Once
	closed    chan struct{}
	stopWatch context.CancelFunc
	watching  sync.WaitGroup
}

// changes counts the changes of the keys that share it: a copy that was read before a change is not kept after it.
type changes struct {
	mu sync.Mutex
	n  uint64
	_  [48]byte // no two in one cache line
}

func (t *tier) changesOf(key string) *changes {
	return &t.changes[maphash.String(t.seed, key)%uint64(len(t.changes))]
}

// begun returns the count before a value is read from the far store, for keep.
func (t *tier) begun(key string) uint64 {
	c := t.changesOf(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// keep keeps a copy, unless key has changed since begun.
func (t *tier) keep(ctx context.Context, key string, value []byte, begun uint64) {
	c := t.changesOf(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == begun {
		_ = t.near.Set(ctx, key, value, t.ttl) // it is only a copy
	}
}

// forget removes the copy of key, and any that is on its way.
func (t *tier) forget(ctx context.Context, key string) {
	c := t.changesOf(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	_, _ = t.near.Delete(context.WithoutCancel(ctx), key) // the change may be why ctx has ended
}

// forgetAll removes every copy whose key begins with prefix, and all that are on their way.
func (t *tier) forgetAll(ctx context.Context, prefix string) {
	for i := range t.changes {
		t.changes[i].mu.Lock()
		t.changes[i].n++
		t.changes[i].mu.Unlock()
	}
	_, _ = t.clearNear.Clear(context.WithoutCancel(ctx), prefix)
}

// watch removes copies of what others change, until ctx ends.
func (t *tier) watch(ctx context.Context, n store.Notifier) {
	for ctx.Err() == nil {
		_ = n.Notify(ctx, func(key string) { t.forget(ctx, key) }, func() { t.forgetAll(ctx, "") })
		t.forgetAll(ctx, "") // from here on nobody tells
		select {
		case <-ctx.Done():
		case <-time.After(restAfterError):
		}
	}
}

// Close ends the watch of the far store. Both stores stay open.
func (t *tier) Close() error {
	t.closeOnce.Do(func() {
		close(t.closed)
		t.stopWatch()
	})
	t.watching.Wait()
	return nil
}

// Node implements [store.Partitioned]: the far store's node, if it has several.
func (t *tier) Node(key string) string {
	if p, ok := t.far.(store.Partitioned); ok {
		return p.Node(key)
	}
	return ""
}

// Forget implements [store.Layered]: what this process has copied of key is dropped.
func (t *tier) Forget(key string) bool {
	t.forget(context.Background(), key)
	if l, ok := t.far.(store.Layered); ok {
		l.Forget(key)
	}
	return true
}

func (t *tier) begin(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("tierstore: %s: %w", op, err)
	}
	select {
	case <-t.closed:
		return fmt.Errorf("tierstore: %s: %w", op, store.ErrClosed)
	default:
		return nil
	}
}

// Get returns the copy that is near, or the value that is far.
func (t *tier) Get(ctx context.Context, key string) ([]byte, error) {
	if err := t.begin(ctx, "get"); err != nil {
		return nil, err
	}
	if value, err := t.near.Get(ctx, key); err == nil {
		return value, nil
	}
	begun := t.begun(key)
	value, err := t.far.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	t.keep(ctx, key, value, begun)
	return value, nil
}

// GetMulti asks the far store for what is not near.
func (t *tier) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	if err := t.begin(ctx, "get"); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	var far []string
	var at []int
	var begun []uint64
	for i, key := range keys {
		if value, err := t.near.Get(ctx, key); err == nil {
			values[i] = value
			continue
		}
		far, at, begun = append(far, key), append(at, i), append(begun, t.begun(key))
	}
	if len(far) == 0 {
		return values, nil
	}
	got, err := t.getFar(ctx, far)
	if err != nil {
		return nil, err
	}
	for i, value := range got {
		if value != nil {
			values[at[i]] = value
			t.keep(ctx, far[i], value, begun[i])
		}
	}
	return values, nil
}

func (t *tier) getFar(ctx context.Context, keys []string) ([][]byte, error) {
	if m, ok := t.far.(store.MultiGetter); ok {
		values, err := m.GetMulti(ctx, keys)
		if err == nil && len(values) != len(keys) {
			err = fmt.Errorf("tierstore: get: %T returned %d values for %d keys", t.far, len(values), len(keys))
		}
		return values, err
	}
	values := make([][]byte, len(keys))
	for i, key := range keys {
		value, err := t.far.Get(ctx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		if err == nil && value == nil {
			value = []byte{}
		}
		values[i] = value
	}
	return values, nil
}

// Set writes to the far store; a copy is made by the next who reads. Two who set at once could else leave the value of one
// near and that of the other far.
func (t *tier) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := t.begin(ctx, "set"); err != nil {
		return err
	}
	defer t.forget(ctx, key) // whether it failed or not
	return t.far.Set(ctx, key, value, ttl)
}

// Delete removes from both stores and returns what the far one held.
func (t *tier) Delete(ctx context.Context, keys ...string) (int, error) {
	if err := t.begin(ctx, "delete"); err != nil {
		return 0, err
	}
	defer func() {
		for _, key := range keys {
			t.forget(ctx, key)
		}
	}()
	return t.far.Delete(ctx, keys...)
}
