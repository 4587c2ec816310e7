// Package storetest tests whether a type is a store: whether it keeps the contract of package store, and that of each
// capability it claims.
//
// A store's own test is a few lines:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Config{
//			Open: func(t *testing.T) store.Store { return mystore.New() },
//		})
//	}
//
// A store may lose any value at any time; the suite expects that one under no pressure does not.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Config tells [Run] what to test and what to allow for.
type Config struct {
	_ [0]func()

	// Open returns an empty store: a new one, or a part of a shared one that no other has. It releases with
	// t.Cleanup what it takes. A store that is an io.Closer may be closed before that by the test itself. Required.
	Open func(t *testing.T) store.Store

	// Reopen opens the data of s once more, as another process would; both are used from then on. Nil for a store
	// whose data are not seen by others.
	Reopen func(t *testing.T, s store.Store) store.Store

	// Unit is what the store rounds times up to; 0 if it does not.
	Unit time.Duration

	// MaxValue is the length of the longest value that the store must keep; 0 is 1 MiB. A longer one it keeps as
	// well, or refuses with [store.ErrTooLarge].
	MaxValue int

	// Bubble runs what waits under testing/synctest, in no time and with exact expiry. It needs a store without
	// network or other real-time waits.
	Bubble bool
}

// Run tests the store that cfg opens, each rule as a subtest with a store of its own.
func Run(t *testing.T, cfg Config) {
	t.Helper()
	if cfg.Open == nil {
		t.Fatal("storetest: Config.Open is nil")
	}
	if cfg.MaxValue == 0 {
		cfg.MaxValue = 1 << 20
	}
	var found []string
	t.Run("open", func(t *testing.T) {
		s := cfg.Open(t)
		for _, c := range capabilities {
			if c.has(s) {
				found = append(found, c.name)
			}
		}
		t.Logf("capabilities of %T: %s", s, strings.Join(found, ", "))
	})
	for _, c := range checks() {
		if !c.applies(found, cfg) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if c.waits && cfg.Bubble {
				synctest.Test(t, func(t *testing.T) { c.run(newEnv(t, t, cfg)) })
				return
			}
			c.run(newEnv(t, t, cfg))
		})
	}
}

// capabilities are what a store can be beyond a Store.
var capabilities = []struct {
	name string
	has  func(store.Store) bool
}{
	{"Local", implements[store.Local]},
	{"MultiGetter", implements[store.MultiGetter]},
	{"Sequencer", implements[store.Sequencer]},
	{"Sequenced", implements[store.Sequenced]},
	{"Locker", implements[store.Locker]},
	{"Lister", implements[store.Lister]},
	{"Clearer", implements[store.Clearer]},
	{"Notifier", implements[store.Notifier]},
	{"Sizer", implements[store.Sizer]},
	{"Closer", implements[io.Closer]},
}

func implements[T any](s store.Store) bool {
	_, ok := s.(T)
	return ok
}

// check is one rule.
type check struct {
	name  string
	needs string // capability; "" is none
	peer  bool   // needs Config.Reopen
	waits bool   // for time to pass
	run   func(*env)
}

func checks() []check {
	var all []check
	for _, section := range [][]check{
		storeChecks, keyChecks, valueChecks, timeChecks, contextChecks, concurrencyChecks, closeChecks,
		localChecks, multiChecks, sequenceChecks, lockChecks, listChecks, notifyChecks, peerChecks,
	} {
		all = append(all, section...)
	}
	return all
}

func (c check) applies(found []string, cfg Config) bool {
	if c.peer && cfg.Reopen == nil {
		return false
	}
	return c.needs == "" || slices.Contains(found, c.needs)
}

// tb is what a check needs of a test, so that the suite's own tests can watch it fail.
type tb interface {
	Helper()
	Context() context.Context
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// env is a rule's store and what it says of it.
type env struct {
	tb
	store.Store
	ctx    context.Context
	cfg    Config
	reopen func() store.Store
}

func newEnv(t *testing.T, report tb, cfg Config) *env {
	s := cfg.Open(t)
	return &env{
		tb: report, Store: s, ctx: report.Context(), cfg: cfg,
		reopen: func() store.Store { return cfg.Reopen(t, s) },
	}
}

// lifetime is the ttl of values that do not expire within a test.
const lifetime = time.Hour

func (e *env) set(key, value string, ttl time.Duration) {
	e.Helper()
	if err := e.Set(e.ctx, key, []byte(value), ttl); err != nil {
		e.Fatalf("Set(%q, %v) = %v; want nil", key, ttl, err)
	}
}

// fill sets "v" at keys, several at a time: there are many, and a server may be slow.
func (e *env) fill(keys []string) {
	e.Helper()
	next := make(chan string)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for key := range next {
				if err := e.Set(e.ctx, key, []byte("v"), lifetime); err != nil {
					e.Errorf("Set(%q) = %v; want nil", key, err)
				}
			}
		})
	}
	for _, key := range keys {
		next <- key
	}
	close(next)
	wg.Wait()
}

// has checks that key holds value.
func (e *env) has(key, value string) {
	e.Helper()
	got, err := e.Get(e.ctx, key)
	if err != nil || string(got) != value {
		e.Errorf("Get(%q) = %s, %v; want %s", key, brief(got), err, brief([]byte(value)))
	}
}

// hasNot checks that key holds nothing.
func (e *env) hasNot(key string) {
	e.Helper()
	got, err := e.Get(e.ctx, key)
	if got != nil || !errors.Is(err, store.ErrNotFound) {
		e.Errorf("Get(%q) = %s, %v; want nil, ErrNotFound", key, brief(got), err)
	}
}

func (e *env) gone(key string) bool {
	_, err := e.Get(e.ctx, key)
	return errors.Is(err, store.ErrNotFound)
}

func (e *env) deletes(want int, keys ...string) {
	e.Helper()
	if n, err := e.Delete(e.ctx, keys...); err != nil || n != want {
		e.Errorf("Delete(%s) = %d, %v; want %d, nil", briefKeys(keys), n, err, want)
	}
}

// patience is how much later than due something may happen on a busy machine.
const patience = 10 * time.Second

// soon waits until cond holds.
func (e *env) soon(within time.Duration, what string, cond func() bool) {
	e.Helper()
	for deadline := time.Now().Add(within + patience); !cond(); {
		if time.Now().After(deadline) {
			e.Fatalf("%s: not within %v", what, within+patience)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// brief is b, or how it begins if it is long.
func brief(b []byte) string {
	switch {
	case b == nil:
		return "nil"
	case len(b) > 60:
		return fmt.Sprintf("%q… (%d bytes)", b[:30], len(b))
	default:
		return strconv.Quote(string(b))
	}
}

func briefKeys(keys []string) string {
	if len(keys) > 3 {
		return fmt.Sprintf("%d keys", len(keys))
	}
	return fmt.Sprintf("%.40q", keys)
}
