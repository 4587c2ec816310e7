package redisstore

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/reprise-go/reprise/store"
)

// lazy is a connection that is opened when it is needed. To open one takes as long as it takes, whatever the contexts
// of those who wait for it say; so a goroutine opens it, one at a time, and each caller waits as long as it may.
type lazy[T any] struct {
	open    func() (*T, error) // ends by itself
	release func(*T)

	current atomic.Pointer[T]
	mu      sync.Mutex
	attempt *attempt[T] // being made, or nil
	closed  bool
	running sync.WaitGroup // attempts and releases; none is added once closed
}

type attempt[T any] struct {
	done  chan struct{}
	value *T
	err   error
}

// get returns what is open, or opens it.
func (l *lazy[T]) get(ctx context.Context) (*T, error) {
	if v := l.current.Load(); v != nil {
		return v, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil, store.ErrClosed
	}
	if v := l.current.Load(); v != nil {
		l.mu.Unlock()
		return v, nil
	}
	a := l.attempt
	if a == nil {
		a = &attempt[T]{done: make(chan struct{})}
		l.attempt = a
		l.running.Go(func() { l.try(a) })
	}
	l.mu.Unlock()
	select {
	case <-a.done:
		return a.value, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *lazy[T]) try(a *attempt[T]) {
	v, err := l.open()
	l.mu.Lock()
	closed := l.closed
	switch {
	case closed:
		a.err = store.ErrClosed
	case err != nil:
		a.err = err
	default:
		a.value = v
		l.current.Store(v)
	}
	l.attempt = nil
	l.mu.Unlock()
	close(a.done)
	if closed && err == nil {
		l.release(v)
	}
}

// drop gives v up, if nobody has before, so that the next get opens another. It does not wait for the release.
func (l *lazy[T]) drop(v *T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed && l.current.CompareAndSwap(v, nil) {
		l.running.Go(func() { l.release(v) })
	}
}

// close releases what is open and waits for what is being opened and released; nothing is opened afterwards.
func (l *lazy[T]) close() {
	l.mu.Lock()
	l.closed = true
	v := l.current.Swap(nil)
	l.mu.Unlock()
	if v != nil {
		l.release(v)
	}
	l.running.Wait()
}
