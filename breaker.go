package reprise

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/reprise-go/reprise/store"
)

// A store outside the process that fails is a miss and an event. After a few failures in a row it is left alone, so that its
// silence costs no request anything, until a probe succeeds. Where keys are spread over nodes that fail one by one, that is so
// for each node.

const (
	breakerFailures = 5                      // in a row, and a node is left alone
	breakerPause    = 500 * time.Millisecond // between two probes
	probeEvery      = 100 * time.Millisecond // how often it is looked whether the pause is over
	maxGuards       = 256                    // nodes that are told apart
	logEvery        = 10 * time.Second

	probeKey = "reprise|probe"
)

var errStoreOff = errors.New("not asked: it failed repeatedly")

// guards are the guards of a store: one for operations on several keys, and one for each node.
type guards struct {
	nodes  store.Partitioned // nil: there is one node
	all    *guard
	mu     sync.RWMutex
	byNode map[string]*guard
	logged atomic.Int64 // when, in Unix nanoseconds
}

// of returns the guard of a node.
func (g *guards) of(node string) *guard {
	g.mu.RLock()
	found := g.byNode[node]
	g.mu.RUnlock()
	if found != nil {
		return found
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if found = g.byNode[node]; found == nil {
		if len(g.byNode) >= maxGuards {
			return g.all
		}
		found = newGuard()
		g.byNode[node] = found
	}
	return found
}

// guard knows whether a node is worth asking.
type guard struct {
	breaker *gobreaker.CircuitBreaker[struct{}]
	probing atomic.Bool
}

func newGuard() *guard {
	return &guard{breaker: gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:     breakerPause,
		ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsExcluded:  func(err error) bool { return errors.Is(err, context.Canceled) },
		IsSuccessful: func(err error) bool {
			return err == nil || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrTooLarge) ||
				errors.Is(err, errors.ErrUnsupported)
		},
	})}
}

// within returns a context for operations before an answer, those before which have taken spent. The function that it
// returns, to be called after them, adds what they took.
func (b *backend) within(ctx context.Context, spent *time.Duration) (context.Context, func()) {
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, began.Add(b.engine.config.Limits.StoreTimeout-*spent))
	return ctx, func() {
		cancel()
		*spent += time.Since(began)
	}
}

// do runs an operation on the marks, or on several keys, of a store outside the process. Its error is a *StoreError, or
// store.ErrNotFound as it is.
func (b *backend) do(ctx context.Context, op string, fn func(context.Context) error) error {
	g := b.guards.all
	if b.guards.nodes != nil && (op == "marks" || op == "raise") {
		g = b.guards.of(b.guards.nodes.Node(""))
	}
	return b.guarded(ctx, g, probeKey, op, fn)
}

// doAt is do for an operation on one key.
func (b *backend) doAt(ctx context.Context, key, op string, fn func(context.Context) error) error {
	g := b.guards.all
	if b.guards.nodes != nil {
		g = b.guards.of(b.guards.nodes.Node(key))
	}
	return b.guarded(ctx, g, key, op, fn)
}

// guarded runs fn unless g knows better. key is on the node of g.
func (b *backend) guarded(ctx context.Context, g *guard, key, op string, fn func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return &StoreError{Op: op, Err: err} // which is not the store's fault
	}
	if g.breaker.State() != gobreaker.StateClosed {
		b.probe(g, key)
		return &StoreError{Op: op, Err: errStoreOff}
	}
	_, err := g.breaker.Execute(func() (struct{}, error) { return struct{}{}, fn(ctx) })
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return store.ErrNotFound
	case errors.Is(err, gobreaker.ErrOpenState):
		return &StoreError{Op: op, Err: errStoreOff} // since a moment ago
	}
	err = &StoreError{Op: op, Err: err}
	if !errors.Is(err, context.Canceled) {
		b.failed(err)
	}
	return err
}

// failed counts and logs a failure.
func (b *backend) failed(err error) {
	b.engine.counts.storeErrors.Add(1)
	now, last := time.Now().UnixNano(), b.guards.logged.Load()
	if (last == 0 || now-last >= int64(logEvery)) && b.guards.logged.CompareAndSwap(last, now) {
		b.engine.log.Error("reprise: the store fails; answers come from the handlers", slog.Any("error", err))
	}
}

// probe looks up key, on a node that was left alone, until that succeeds. No request waits for it.
func (b *backend) probe(g *guard, key string) {
	if !g.probing.CompareAndSwap(false, true) {
		return
	}
	if !b.engine.begin() {
		g.probing.Store(false)
		return
	}
	go func() { // ends when the node answers, or with the cache
		defer b.engine.work.Done()
		defer g.probing.Store(false)
		for g.breaker.State() != gobreaker.StateClosed {
			if g.breaker.State() == gobreaker.StateHalfOpen {
				_, _ = g.breaker.Execute(func() (struct{}, error) { return struct{}{}, b.lookUp(key) })
			}
			select {
			case <-b.engine.ctx.Done():
				return
			case <-time.After(probeEvery):
			}
		}
	}()
}

// lookUp does what a look-up does: a value that can be read is of no use without its marks.
func (b *backend) lookUp(key string) error {
	ctx, cancel := context.WithTimeout(b.engine.ctx, b.engine.config.Limits.StoreTimeout)
	defer cancel()
	if b.numbers == nil {
		_, err := b.raw.Get(ctx, key)
		return err
	}
	_, _, err := b.numbers.GetMarked(ctx, key)
	return err
}
