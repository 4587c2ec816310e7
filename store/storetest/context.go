package storetest

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/reprise-go/reprise/store"
)

var contextChecks = []check{
	{name: "claims", run: claims},
	{name: "context/cancelled", run: cancelled},
	{name: "context/deadline", run: deadlinePassed},
}

// op is one call of a store.
type op struct {
	name string
	call func(ctx context.Context) error
}

// ops are the calls of s that take a context and end by themselves, each with arguments that work.
func ops(s store.Store) []op {
	all := []op{
		{"Set", func(ctx context.Context) error { return s.Set(ctx, "key", []byte("v"), lifetime) }},
		{"Get", func(ctx context.Context) error { _, err := s.Get(ctx, "key"); return err }},
	}
	if m, ok := s.(store.MultiGetter); ok {
		keys := []string{"key", "b"}
		all = append(all, op{"GetMulti", func(ctx context.Context) error { _, err := m.GetMulti(ctx, keys); return err }})
	}
	if q, ok := s.(store.Sequencer); ok {
		all = append(all,
			op{"Raise", func(ctx context.Context) error { _, err := q.Raise(ctx, "name"); return err }},
			op{"Marks", func(ctx context.Context) error { _, err := q.Marks(ctx, "name"); return err }},
			op{"GetMarked", func(ctx context.Context) error { _, _, err := q.GetMarked(ctx, "key", "name"); return err }})
	}
	if l, ok := s.(store.Locker); ok {
		var fence uint64
		all = append(all,
			op{"Lock", func(ctx context.Context) (err error) { fence, _, err = l.Lock(ctx, "name", lifetime); return err }},
			op{"Renew", func(ctx context.Context) error { _, err := l.Renew(ctx, "name", fence, lifetime); return err }},
			op{"SetLocked", func(ctx context.Context) error {
				_, err := l.SetLocked(ctx, "key", []byte("v"), lifetime, "name", fence)
				return err
			}},
			op{"Unlock", func(ctx context.Context) error { return l.Unlock(ctx, "name", fence) }})
	}
	if l, ok := s.(store.Lister); ok {
		all = append(all, op{"Keys", func(ctx context.Context) error {
			for _, err := range l.Keys(ctx, "k") {
				if err != nil {
					return err
				}
			}
			return nil
		}})
	}
	if c, ok := s.(store.Clearer); ok {
		all = append(all, op{"Clear", func(ctx context.Context) error { _, err := c.Clear(ctx, "other"); return err }})
	}
	return append(all, op{"Delete", func(ctx context.Context) error { _, err := s.Delete(ctx, "key", "b"); return err }})
}

// claims: a method that is there works. A wrapper that has the methods of every capability and passes them on to a
// store without them makes a cache rely on what is not there.
func claims(e *env) {
	for _, o := range ops(e.Store) {
		if err := o.call(e.ctx); errors.Is(err, errors.ErrUnsupported) {
			e.Errorf("%s = %v: a capability is claimed that is not there", o.name, err)
		} else if err != nil {
			e.Errorf("%s = %v; want nil", o.name, err)
		}
	}
	if n, ok := e.Store.(store.Notifier); ok {
		ctx, cancel := context.WithTimeout(e.ctx, patience)
		defer cancel()
		if err := n.Notify(ctx, func(string) {}, cancel); errors.Is(err, errors.ErrUnsupported) {
			e.Errorf("Notify = %v: a capability is claimed that is not there", err)
		}
	}
}

// cancelled: a call under a context that has ended says so, at once.
func cancelled(e *env) {
	ctx, cancel := context.WithCancel(e.ctx)
	cancel()
	ended(ctx, e, context.Canceled)
}

func deadlinePassed(e *env) {
	ctx, cancel := context.WithDeadline(e.ctx, time.Now().Add(-time.Second))
	defer cancel()
	ended(ctx, e, context.DeadlineExceeded)
}

func ended(ctx context.Context, e *env, want error) {
	e.set("key", "kept", lifetime)
	all := ops(e.Store)
	if n, ok := e.Store.(store.Notifier); ok {
		all = append(all, op{"Notify", func(ctx context.Context) error { return n.Notify(ctx, func(string) {}, func() {}) }})
	}
	// Unlock of a lease that is not held asks nothing of anybody.
	all = slices.DeleteFunc(all, func(o op) bool { return o.name == "Unlock" })
	for _, o := range all {
		done := make(chan error, 1)
		go func() { done <- o.call(ctx) }()
		select {
		case err := <-done:
			if !errors.Is(err, want) {
				e.Errorf("%s under an ended context = %v; want %v", o.name, err, want)
			}
		case <-time.After(patience):
			e.Fatalf("%s under an ended context does not return", o.name)
		}
	}
	e.has("key", "kept") // and the store still works
}
