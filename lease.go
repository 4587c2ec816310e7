package reprise

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/reprise-go/reprise/store"
)

// In a store that grants leases, one process of many runs the handler or loader for a cold key; the others wait until its answer
// is in the store. The lease is renewed while the run lasts and falls to another process when its owner dies. A run that
// has lost it does not overwrite what a later owner has stored. A store that fails here costs nothing but the
// collapsing between processes.

const (
	leaseTime  = 2 * time.Second
	leaseRenew = leaseTime / 4
	pollFirst  = 5 * time.Millisecond // between two looks at the store, or up to half of it; then twice as long each time
	pollMost   = 50 * time.Millisecond
	passShared = 10 * time.Second // how long other processes know that an answer could not be shared
)

// lease is the right to run for a key.
type lease struct {
	b     *backend
	name  string
	fence uint64
	stop  context.CancelFunc // of the renewal
}

func leaseName(key string) string  { return string(finishKey([]byte("~L|" + key))) }
func leaseNoter(key string) string { return string(finishKey([]byte("~P|" + key))) }

// acquire takes the lease of key, and waits for it while another process has it, until ctx ends. answered looks whether
// the answer is in the store by now; then there is nothing to run. The lease is nil where none is to be had or needed: the
// store fails, or the last run made nothing that can be shared. spent is what the store has taken of its time so far.
func (b *backend) acquire(ctx context.Context, key string, spent *time.Duration, answered func() bool) (*lease, bool) {
	if b.local != nil || b.locker == nil {
		return nil, false
	}
	noter := leaseNoter(key)
	var wake <-chan struct{}
	for pause := pollFirst; ; pause = min(2*pause, pollMost) {
		l, busy := b.tryAcquire(ctx, key, spent)
		switch {
		case busy:
		case l != nil && answered(): // by whoever had the lease before
			l.release()
			return nil, true
		default:
			return l, false
		}
		if wake == nil {
			var forget func()
			wake, forget = b.wakeups.wait(b, key, noter)
			defer forget()
			continue // what has happened before woke nobody
		}
		select {
		case <-wake:
			pause = pollFirst
		// The store does not tell, or the owner has died. Not all ask at the same moment.
		case <-time.After(pause/2 + rand.N(pause/2)): //nolint:gosec // nothing to guess
		case <-ctx.Done():
			return nil, false
		}
		*spent = 0 // the store works, and another process is waited for
		if answered() {
			return nil, true
		}
		if b.noted(ctx, spent, noter) {
			return nil, false
		}
	}
}

// tryAcquire takes the lease of key if nobody has it. The lease is nil where none is to be had; busy says that another
// process has it.
func (b *backend) tryAcquire(ctx context.Context, key string, spent *time.Duration) (l *lease, busy bool) {
	if b.local != nil || b.locker == nil {
		return nil, false
	}
	name := leaseName(key)
	var fence uint64
	var ok bool
	err := b.timed(ctx, spent, name, "lock", func(ctx context.Context) (err error) {
		fence, ok, err = b.locker.Lock(ctx, name, leaseTime)
		return err
	})
	switch {
	case err != nil:
		return nil, false
	case !ok:
		return nil, true
	}
	return b.hold(name, fence), false
}

// timed is doAt under the store's deadline, of which spent has passed.
func (b *backend) timed(ctx context.Context, spent *time.Duration, key, op string, fn func(context.Context) error) error {
	var err error
	b.within(ctx, spent, func(ctx context.Context) { err = b.doAt(ctx, key, op, fn) })
	return err
}

// hold renews a lease until it is released or lost.
func (b *backend) hold(name string, fence uint64) *lease {
	ctx, cancel := context.WithCancel(b.engine.ctx)
	l := &lease{b: b, name: name, fence: fence, stop: cancel}
	if !b.engine.begin() {
		cancel()
		return l
	}
	go func() { // ends with the lease or the cache
		defer b.engine.work.Done()
		defer cancel()
		tick := time.NewTicker(leaseRenew)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			held := true
			err := b.timed(ctx, new(time.Duration), name, "renew", func(ctx context.Context) (err error) {
				held, err = b.locker.Renew(ctx, name, fence, leaseTime)
				return err
			})
			if err == nil && !held {
				return
			}
		}
	}()
	return l
}

// release gives the lease back. A nil lease is none.
func (l *lease) release() {
	if l == nil {
		return
	}
	l.stop()
	ctx, cancel := l.b.writeContext()
	defer cancel()
	_ = l.b.doAt(ctx, l.name, "unlock", func(ctx context.Context) error { return l.b.locker.Unlock(ctx, l.name, l.fence) })
}

// dismiss gives the lease back and tells those who wait that there will be nothing to share, so that they do not take turns.
func (l *lease) dismiss(key string) {
	if l == nil {
		return
	}
	ctx, cancel := l.b.writeContext()
	defer cancel()
	noter := leaseNoter(key)
	_ = l.b.doAt(ctx, noter, "set", func(ctx context.Context) error {
		return l.b.raw.Set(ctx, noter, []byte{'-'}, passShared)
	})
	l.release()
}

// noted reports whether whoever had the lease said that there is nothing to share.
func (b *backend) noted(ctx context.Context, spent *time.Duration, noter string) bool {
	return b.timed(ctx, spent, noter, "get", func(ctx context.Context) error {
		_, err := b.raw.Get(ctx, noter)
		return err
	}) == nil
}

// keepUnder is keep for a run that may have a lease: what a later owner has stored stays.
func (b *backend) keepUnder(ctx context.Context, l *lease, e *entry, ttl time.Duration) (Reason, error) {
	if l == nil {
		return b.keep(ctx, e, e, e.bytes(), ttl)
	}
	if why := b.refuses(ctx, e); why != "" {
		return why, nil
	}
	var ok bool
	err := b.doAt(ctx, e.Key(), "set", func(ctx context.Context) (err error) {
		ok, err = b.locker.SetLocked(ctx, e.Key(), e.Append(nil), ttl, l.name, l.fence)
		return err
	})
	switch {
	case err == nil && ok:
		return "", nil
	case err == nil:
		return ReasonLateFill, nil
	case errors.Is(err, store.ErrTooLarge):
		return ReasonTooLarge, err
	}
	return ReasonStoreFailed, err
}

// wakeups wakes who waits for a key to change in a store that tells of it. Who is not woken polls.
type wakeups struct {
	mu      sync.Mutex
	started bool
	waiters map[string]map[chan struct{}]struct{}
}

// wait returns a channel that gets a token when one of the keys has changed.
func (w *wakeups) wait(b *backend, keys ...string) (wake <-chan struct{}, forget func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiters == nil {
		w.waiters = make(map[string]map[chan struct{}]struct{})
	}
	for _, k := range keys {
		if w.waiters[k] == nil {
			w.waiters[k] = make(map[chan struct{}]struct{})
		}
		w.waiters[k][c] = struct{}{}
	}
	if !w.started && b.notify != nil && b.engine.begin() {
		w.started = true
		go w.listen(b)
	}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, k := range keys {
			if delete(w.waiters[k], c); len(w.waiters[k]) == 0 {
				delete(w.waiters, k)
			}
		}
	}
}

// listen watches the store until the cache is closed.
func (w *wakeups) listen(b *backend) {
	defer b.engine.work.Done()
	ctx := b.engine.ctx
	for ctx.Err() == nil {
		_ = b.notify.Notify(ctx, w.changed, w.lost)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func (w *wakeups) changed(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.waiters[key] {
		wakeUp(c)
	}
}

// lost wakes everybody: what has happened meanwhile is not known.
func (w *wakeups) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, cs := range w.waiters {
		for c := range cs {
			wakeUp(c)
		}
	}
}

func wakeUp(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has a token already
	}
}
