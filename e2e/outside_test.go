package e2e

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store"
)

// outside runs calls on goroutines outside the bubble of testing/synctest in which a scenario takes place. There a clock
// runs that sockets know; in the bubble a goroutine that waits for a socket would let no time pass, and one that was
// started there may not touch what a client outside has made. A goroutine that waits for such a call does not count as
// blocked, so that the clock of the scenario stands still meanwhile: to a scenario the server answers in no time.
type outside struct {
	idle chan *worker // made outside, as all that both sides use
}

type worker struct {
	calls chan func()
	done  chan struct{}
}

const (
	workers     = 16
	callTimeout = 10 * time.Second // of the real clock
)

// newOutside is called outside the bubble.
func newOutside(t *testing.T) *outside {
	o := &outside{idle: make(chan *worker, workers)}
	for range workers {
		w := &worker{calls: make(chan func()), done: make(chan struct{})}
		go func() { // ends with the test
			for call := range w.calls {
				call()
				w.done <- struct{}{}
			}
		}()
		o.idle <- w
	}
	t.Cleanup(func() {
		for range workers {
			close((<-o.idle).calls)
		}
	})
	return o
}

// do runs call outside and returns when it has ended.
func (o *outside) do(call func()) {
	w := <-o.idle
	w.calls <- call
	<-w.done
	o.idle <- w
}

// with is do under a deadline of the real clock: a context of the bubble means nothing outside, but that it has ended.
func (o *outside) with(ctx context.Context, call func(context.Context)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		call(ctx)
	})
	return nil
}

// open opens a store outside and returns it for use in the bubble, with the capabilities that it has.
func (o *outside) open(p place) (store.Store, error) {
	var (
		s        store.Store
		closeAll func() error
		err      error
	)
	o.do(func() { s, closeAll, err = p.open() })
	if err != nil {
		return nil, err
	}
	full, ok := s.(fullStore)
	if !ok {
		return nil, fmt.Errorf("%T lacks capabilities that every store outside the process has here", s)
	}
	b := &bridge{outside: o, fullStore: full, close: closeAll}
	lister, lists := s.(store.Lister)
	clearer, clears := s.(store.Clearer)
	switch {
	case lists && clears:
		return &listingBridge{b, lister, clearer}, nil
	case lists || clears:
		return nil, fmt.Errorf("%T lists or clears but does not do both", s)
	default:
		return b, nil
	}
}

// fullStore is what all stores under test have in common. That is embedded below for its type alone: every method is
// replaced.
type fullStore interface {
	store.Store
	store.MultiGetter
	store.Sequencer
	store.Locker
}

// bridge is a store as a scenario sees it.
type bridge struct {
	*outside
	fullStore
	close func() error
}

func (b *bridge) Get(ctx context.Context, key string) (v []byte, err error) {
	gone := b.with(ctx, func(ctx context.Context) { v, err = b.fullStore.Get(ctx, key) })
	return v, first(gone, err)
}

func (b *bridge) Set(ctx context.Context, key string, value []byte, ttl time.Duration) (err error) {
	gone := b.with(ctx, func(ctx context.Context) { err = b.fullStore.Set(ctx, key, value, ttl) })
	return first(gone, err)
}

func (b *bridge) Delete(ctx context.Context, keys ...string) (n int, err error) {
	gone := b.with(ctx, func(ctx context.Context) { n, err = b.fullStore.Delete(ctx, keys...) })
	return n, first(gone, err)
}

func (b *bridge) GetMulti(ctx context.Context, keys []string) (vs [][]byte, err error) {
	gone := b.with(ctx, func(ctx context.Context) { vs, err = b.fullStore.GetMulti(ctx, keys) })
	return vs, first(gone, err)
}

func (b *bridge) Marks(ctx context.Context, names ...string) (m store.Marks, err error) {
	gone := b.with(ctx, func(ctx context.Context) { m, err = b.fullStore.Marks(ctx, names...) })
	return m, first(gone, err)
}

func (b *bridge) Raise(ctx context.Context, names ...string) (n uint64, err error) {
	gone := b.with(ctx, func(ctx context.Context) { n, err = b.fullStore.Raise(ctx, names...) })
	return n, first(gone, err)
}

func (b *bridge) GetMarked(ctx context.Context, key string, names ...string) (v []byte, m store.Marks, err error) {
	gone := b.with(ctx, func(ctx context.Context) { v, m, err = b.fullStore.GetMarked(ctx, key, names...) })
	return v, m, first(gone, err)
}

func (b *bridge) Lock(ctx context.Context, name string, ttl time.Duration) (fence uint64, ok bool, err error) {
	gone := b.with(ctx, func(ctx context.Context) { fence, ok, err = b.fullStore.Lock(ctx, name, ttl) })
	return fence, ok, first(gone, err)
}

func (b *bridge) Renew(ctx context.Context, name string, fence uint64, ttl time.Duration) (ok bool, err error) {
	gone := b.with(ctx, func(ctx context.Context) { ok, err = b.fullStore.Renew(ctx, name, fence, ttl) })
	return ok, first(gone, err)
}

func (b *bridge) Unlock(ctx context.Context, name string, fence uint64) (err error) {
	gone := b.with(ctx, func(ctx context.Context) { err = b.fullStore.Unlock(ctx, name, fence) })
	return first(gone, err)
}

func (b *bridge) SetLocked(
	ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64,
) (ok bool, err error) {
	gone := b.with(ctx, func(ctx context.Context) { ok, err = b.fullStore.SetLocked(ctx, key, value, ttl, name, fence) })
	return ok, first(gone, err)
}

// Close closes the store.
func (b *bridge) Close() (err error) {
	b.do(func() { err = b.close() })
	return err
}

// listingBridge is a bridge to a store that lists and clears.
type listingBridge struct {
	*bridge
	lister  store.Lister
	clearer store.Clearer
}

// Keys reads all keys before it yields the first: the caller's part of the iteration belongs into the bubble.
func (b *listingBridge) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	type found struct {
		key string
		err error
	}
	return func(yield func(string, error) bool) {
		var all []found
		gone := b.with(ctx, func(ctx context.Context) {
			for key, err := range b.lister.Keys(ctx, prefix) {
				all = append(all, found{key, err})
			}
		})
		if gone != nil {
			yield("", gone)
			return
		}
		for _, f := range all {
			if !yield(f.key, f.err) {
				return
			}
		}
	}
}

func (b *listingBridge) Clear(ctx context.Context, prefix string) (n int, err error) {
	gone := b.with(ctx, func(ctx context.Context) { n, err = b.clearer.Clear(ctx, prefix) })
	return n, first(gone, err)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
