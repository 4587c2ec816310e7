package reprise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/internal/flight"
	"github.com/reprise-go/reprise/internal/wire"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// NamespacePolicy says how the namespace of a route, a function or a handle joins the one above it.
type NamespacePolicy uint8

const (
	Concat  NamespacePolicy = iota // root:route
	Replace                        // the route's alone, where it has one
)

// StatusHeader is the field that tells clients whether an answer came from the cache. The zero value is
// X-Cache: HIT or MISS.
type StatusHeader struct {
	Name, Hit, Miss string // "" is X-Cache, HIT, MISS
	Off             bool
}

// Limits bound what a cache takes. Beyond one the client still gets its answer, nothing is stored, and an event says
// why. In each, 0 is the default.
type Limits struct {
	_ [0]func()

	StoreTimeout time.Duration // all operations of the store before one answer; 250 ms
	FillBytes    int64         // bodies held by fills at once; 256 MiB
	FieldBytes   int           // names and values of a stored response's fields; 64 KiB, at most 1 MiB
	Variants     int           // of one URL; 64
	Followers    int           // requests that wait for one run of a handler; 1000. Calls of a function wait in any number
	Ranges       int           // of one Range field; 8
	Refreshes    int           // background refreshes at once; 64
}

// Config configures a [Cache]. The zero value is usable.
type Config struct {
	_ [0]func()

	// Store keeps the answers. nil is 64 MiB of memory, which the cache closes; a store given here it does not.
	Store store.Store

	// Namespace is the root of every key, and the cache's name in Cache-Status. "" is "reprise".
	Namespace       string
	NamespacePolicy NamespacePolicy

	// Defaults apply first to every route and function, RouteDefaults to every route. Without a TTL among them answers
	// and results live for 60 seconds.
	Defaults      []Policy
	RouteDefaults []RouteOption

	StatusHeader StatusHeader

	// Codec encodes the values of functions in a store outside the process; nil is JSON.
	Codec Codec

	// Logger gets store failures, panics of handlers and loaders that reach no caller, and panics of options' functions: each
	// at most once in 10 seconds for a store, route or function. It also gets, once per route, the option that would let
	// identified requests be cached. nil is slog.Default().
	Logger *slog.Logger

	// Observe is called once for each answer, on the goroutine that serves it. It must not block. nil: none.
	Observe func(context.Context, Event)

	Limits Limits

	// Disabled lets every request and call pass through.
	Disabled bool
}

// Cache caches responses and values. Make one with [New]; Namespace and Soft return handles to the same cache. It is
// safe for concurrent use.
type Cache struct {
	*engine
	namespace string // full, not escaped
	soft      bool
}

// engine is what all handles of a cache share.
type engine struct {
	config  Config
	log     *slog.Logger
	store   backend
	fills   *flight.Group[fill]
	pending pendingWrites
	passes  memory[struct{}] // keys whose last answer could not be shared
	varies  memory[*learned] // what a URL's answers vary on
	wholes  memory[struct{}] // keys whose handler gives the whole when it is shown a range

	searches  memory[searchRule] // what No-Vary-Search says of a path
	searching atomic.Bool        // it said something once
	retries   memory[retryState] // background refreshes that failed
	text      texts              // Age and Cache-Status without allocation
	counts    counters
	horizon   *horizon // of results in a store of this process
	indexes   turns    // by base key, to rewrite the index of a URL's variants

	statusHeader string // canonical; "" is off
	disabled     atomic.Bool
	fillBytes    atomic.Int64
	running      atomic.Int64
	refreshing   atomic.Int64

	ctx    context.Context // of background work; ends with Close
	cancel context.CancelFunc
	closed atomic.Bool
	mu     sync.Mutex // guards work against Close
	work   sync.WaitGroup
	funcs  sync.Map // names of functions in use
	owned  io.Closer
}

// New returns a cache. The error is every mistake in cfg, each a [*ConfigError], joined.
func New(cfg Config) (*Cache, error) {
	var s policySettings // collects errors
	if cfg.Namespace == "" {
		cfg.Namespace = "reprise"
	}
	if reason := namespaceFault(cfg.Namespace); reason != "" {
		s.fail("Config.Namespace", cfg.Namespace, reason)
	} else if reason := fullNamespaceFault(cfg.Namespace); reason != "" {
		s.fail("Config.Namespace", cfg.Namespace, reason)
	}
	if cfg.NamespacePolicy > Replace {
		s.fail("Config.NamespacePolicy", cfg.NamespacePolicy, "is neither Concat nor Replace; use one of them")
	}
	status := cfg.StatusHeader
	setDefault(&status.Name, "X-Cache")
	setDefault(&status.Hit, "HIT")
	setDefault(&status.Miss, "MISS")
	if !isToken(status.Name) {
		s.fail("Config.StatusHeader.Name", status.Name, `is not a field name; give one, such as "X-Cache"`)
	}
	for _, v := range []string{status.Hit, status.Miss} {
		if !fieldText(v) {
			s.fail("Config.StatusHeader", v, `is not a field value; give printable ASCII, such as "HIT"`)
		}
	}
	cfg.StatusHeader = status
	cfg.Limits.setDefaults(&s)
	if cfg.Codec == nil {
		cfg.Codec = JSON
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}

	e := &engine{config: cfg, log: cfg.Logger, fills: flight.New[fill](), horizon: newHorizon()}
	c := &Cache{engine: e, namespace: cfg.Namespace}
	// The defaults are tried once here, so that a mistake in them shows even before the first route.
	trial := c.routeSettings()
	trial.check()
	s.errs = append(s.errs, trial.errs...)
	if len(s.errs) > 0 {
		return nil, errors.Join(s.errs...)
	}

	if cfg.Store == nil {
		m, err := memstore.New(memstore.Config{})
		if err != nil {
			return nil, fmt.Errorf("reprise: %w", err)
		}
		cfg.Store, e.owned = m, m
	}
	e.disabled.Store(cfg.Disabled)
	if !status.Off {
		e.statusHeader = http.CanonicalHeaderKey(status.Name)
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.store.open(e, cfg.Store)
	e.passes.max, e.varies.max, e.wholes.max, e.searches.max, e.retries.max = 10_000, 10_000, 10_000, 10_000, 10_000
	e.pending.lately.max = 10_000
	return c, nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

func fieldText(v string) bool {
	return v != "" && strings.TrimSpace(v) == v && !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r >= 0x7f })
}

func (l *Limits) setDefaults(s *policySettings) {
	for _, x := range []struct {
		name string
		v    int64
	}{
		{"StoreTimeout", int64(l.StoreTimeout)},
		{"FillBytes", l.FillBytes},
		{"FieldBytes", int64(l.FieldBytes)},
		{"Variants", int64(l.Variants)},
		{"Followers", int64(l.Followers)},
		{"Ranges", int64(l.Ranges)},
		{"Refreshes", int64(l.Refreshes)},
	} {
		if x.v < 0 {
			s.fail("Config.Limits."+x.name, x.v, "is negative; 0 is the default")
		}
	}
	if l.FieldBytes > wire.MaxValue {
		s.fail("Config.Limits.FieldBytes", l.FieldBytes, fmt.Sprintf("is more than a record can hold; give at most %d", wire.MaxValue))
	}
	s.meant("Config.Limits.StoreTimeout", l.StoreTimeout)
	setDefault(&l.StoreTimeout, 250*time.Millisecond)
	setDefault(&l.FillBytes, 256<<20)
	setDefault(&l.FieldBytes, 64<<10)
	setDefault(&l.Variants, 64)
	setDefault(&l.Followers, 1000)
	setDefault(&l.Ranges, 8)
	setDefault(&l.Refreshes, 64)
}

// Must returns c, and panics if err is not nil.
func Must(c *Cache, err error) *Cache {
	if err != nil {
		panic(err)
	}
	return c
}

// closeTimeout is how long Close waits.
const closeTimeout = 5 * time.Second

// Close ends background refreshes, waits for them and for pending writes at most 5 seconds, and closes a store that New opened.
// The error says what was left undone. Handlers go on working, uncached. Close may be called more than once.
func (c *Cache) Close() error {
	e := c.engine
	e.mu.Lock()
	first := !e.closed.Swap(true)
	e.mu.Unlock()
	if !first {
		return nil
	}
	done := make(chan struct{})
	go func() { // ends with the last piece of work, which e.cancel below hastens
		e.work.Wait()
		close(done)
	}()
	e.cancel() // of refreshes; pending writes have deadlines of their own
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	var err error
	select {
	case <-done:
	case <-timer.C:
		err = fmt.Errorf("reprise: Close: background work did not end within %v: %d fills running", closeTimeout, e.running.Load())
	}
	if e.owned != nil {
		if cerr := e.owned.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("reprise: Close: %w", cerr))
		}
	}
	return err
}

// begin reports whether background work may start; the caller calls e.work.Done after it.
func (e *engine) begin() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed.Load() {
		return false
	}
	e.work.Add(1)
	return true
}

// SetEnabled switches the cache off and on again. While it is off every route passes through and every function runs;
// what is stored stays.
func (c *Cache) SetEnabled(on bool) { c.disabled.Store(!on) }

// Namespace returns a handle to the same cache under ns, which is a [ConfigError] and panics where [Namespaced]
// would refuse it. Wrap, Memoize, Delete, Clear, Get and Set of the handle work under ns; InvalidateTags,
// InvalidateURLs, Close and SetEnabled act on the whole cache.
func (c *Cache) Namespace(ns string) *Cache {
	if reason := namespaceFault(ns); reason != "" {
		panic(&ConfigError{Option: "Namespace", Value: ns, Reason: reason})
	}
	full := c.below(ns)
	if reason := fullNamespaceFault(full); reason != "" {
		panic(&ConfigError{Option: "Namespace", Value: ns, Reason: reason})
	}
	return &Cache{engine: c.engine, namespace: full, soft: c.soft}
}

func (c *Cache) below(ns string) string {
	if c.config.NamespacePolicy == Replace {
		return ns
	}
	return c.namespace + ":" + ns
}

// Soft returns a handle to the same cache whose invalidations mark what they name as stale instead of unusable: it
// can still be served while it is refreshed or instead of an error, where the answer or its route allows that.
func (c *Cache) Soft() *Cache {
	return &Cache{engine: c.engine, namespace: c.namespace, soft: true}
}

// Stats returns counts of the whole cache.
func (c *Cache) Stats() Stats {
	e := c.engine
	s := Stats{
		Hits:        e.counts.sum(Hit),
		Stales:      e.counts.sum(Stale),
		Collapsed:   e.counts.sum(Collapsed),
		Misses:      e.counts.sum(Miss),
		Passes:      e.counts.sum(Pass),
		Bypasses:    e.counts.sum(Bypass),
		Refreshes:   e.counts.sum(Refreshed),
		Failures:    e.counts.sum(Failed),
		Validated:   e.counts.sum(Validated),
		StoreErrors: e.counts.storeErrors.Load(),
		Fills:       int(e.running.Load()),
		FillBytes:   e.fillBytes.Load(),
		Entries:     -1,
		Bytes:       -1,
	}
	if z := e.store.sizer; z != nil {
		s.Entries, s.Bytes = z.Size()
	}
	return s
}
