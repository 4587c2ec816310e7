package reprise

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// limited is a context like that of context.WithDeadline, which it makes only when somebody waits for its end. That is a third of
// what a hit in a store outside the process costs here, and many a store has no use for it: a connection knows deadlines
// of its own, and a tier in memory answers at once.
type limited struct {
	context.Context // the request's
	at              time.Time
	waiters         *waiters

	mu     sync.Mutex
	real   context.Context // nil: nobody waits
	cancel context.CancelFunc
	err    error // why it has ended, as it was told or without real
	ended  bool
}

// waiters is for how many more operations a store is taken for one that waits for the end of contexts, as it did before. For
// such a store it is a waste not to make them at once.
type waiters struct{ atomic.Int32 }

const takenForWaiting = 64

// until calls f with a context that has the values of parent, and ends with it, at a moment, or with f.
func (w *waiters) until(parent context.Context, at time.Time, f func(context.Context)) {
	if w.Load() > 0 {
		w.Add(-1)
		ctx, cancel := context.WithDeadline(parent, at)
		defer cancel()
		f(ctx)
		return
	}
	if d, ok := parent.Deadline(); ok && d.Before(at) {
		at = d
	}
	ctx := &limited{Context: parent, at: at, waiters: w}
	defer ctx.end()
	f(ctx)
}

// end releases what the context holds. Nobody need wait for it any more.
func (l *limited) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	switch {
	case l.cancel != nil:
		l.cancel()
	case l.err == nil:
		l.err = context.Canceled
	}
}

func (l *limited) Deadline() (time.Time, bool) { return l.at, true }

func (l *limited) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.real == nil {
		l.waiters.Store(takenForWaiting)
		l.real, l.cancel = context.WithDeadline(l.Context, l.at)
		if l.ended {
			l.cancel()
		}
	}
	return l.real.Done()
}

func (l *limited) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil: // whoever was told is not told anything else
	case l.real != nil:
		l.err = l.real.Err()
	case l.Context.Err() != nil:
		l.err = l.Context.Err()
	case time.Until(l.at) <= 0:
		l.err = context.DeadlineExceeded
	}
	return l.err
}

// Value is that of the real context as soon as there is one: by it package context finds the parent of contexts that are made of
// this one, and needs no goroutine to end them.
func (l *limited) Value(key any) any {
	l.mu.Lock()
	ctx := l.real
	l.mu.Unlock()
	if ctx == nil {
		ctx = l.Context
	}
	return ctx.Value(key)
}
