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

	probeKey = "reprise|probe"
)

var errStoreOff = errors.New("not asked: it failed repeatedly")

// guards are the guards of a store: one for operations on several keys, and one for each node.
type guards struct {
	nodes  store.Partitioned // nil: there is one node
	all    *guard
	mu     sync.RWMutex
	byNode map[string]*guard
	logged rarely
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

// guard knows whether a node is worth asking. While nothing fails it takes no lock.
type guard struct {
	breaker *gobreaker.CircuitBreaker[struct{}]
	off     atomic.Bool   // the breaker is not closed
	phase   atomic.Uint64 // how often that has changed: what began in another phase says nothing of this one
	failed  atomic.Bool   // the last operation did
	probing atomic.Bool
}

func newGuard() *guard {
	g := new(guard)
	g.breaker = gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:      breakerPause,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= breakerFailures },
		IsSuccessful: func(err error) bool { return !isFailure(err) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			g.off.Store(to != gobreaker.StateClosed)
			g.phase.Add(1)
		},
	})
	return g
}

// isFailure reports whether err is a failure of the store: not an answer of it, nor its caller's.
func isFailure(err error) bool {
	return err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, context.Canceled) &&
		!errors.Is(err, store.ErrTooLarge) && !errors.Is(err, errors.ErrUnsupported)
}

// note takes note of how an operation ended that began in phase.
func (g *guard) note(phase uint64, err error) {
	failed := isFailure(err)
	if !failed && (err != nil && errors.Is(err, context.Canceled) || !g.failed.Load()) {
		return // a success among successes, or nobody knows
	}
	if g.off.Load() || g.phase.Load() != phase {
		return
	}
	g.failed.Store(failed)
	_, _ = g.breaker.Execute(func() (struct{}, error) { return struct{}{}, err })
}

// within runs operations before an answer, those before which have taken spent, and adds what they take.
func (b *backend) within(ctx context.Context, spent *time.Duration, ops func(context.Context)) {
	began := time.Now()
	b.waiters.until(ctx, began.Add(b.engine.config.Limits.StoreTimeout-*spent), ops)
	*spent += time.Since(began)
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
	return b.guarded(ctx, b.guardOf(key), key, op, fn)
}

// guardOf returns the guard of the node that key is on.
func (b *backend) guardOf(key string) *guard {
	if b.guards.nodes == nil {
		return b.guards.all
	}
	return b.guards.of(b.guards.nodes.Node(key))
}

// isBack reports whether key can be looked up again that could not, since the store was left alone.
func (b *backend) isBack(key string, why error) bool {
	return errors.Is(why, errStoreOff) && !b.guardOf(key).off.Load()
}

// guarded runs fn unless g knows better. key is on the node of g.
func (b *backend) guarded(ctx context.Context, g *guard, key, op string, fn func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return &StoreError{Op: op, Err: err} // which is not the store's fault
	}
	if g.off.Load() {
		b.probe(g, key)
		return &StoreError{Op: op, Err: errStoreOff}
	}
	phase := g.phase.Load()
	err := fn(ctx)
	g.note(phase, err)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, store.ErrNotFound):
		return store.ErrNotFound
	}
	err = &StoreError{Op: op, Err: err}
	if isFailure(err) {
		b.failed(err)
	}
	return err
}

// failed counts and logs a failure.
func (b *backend) failed(err error) {
	b.engine.counts.storeErrors.Add(1)
	if b.guards.logged.again() {
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
		for g.off.Load() {
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
