// Package subject lets the scenarios of testdata/scenarios talk to reprise on any store. It is for tests only.
package subject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/scenario"
	"github.com/reprise-go/reprise/store"
)

// Open prepares what the processes of one scenario share and returns what opens a store on it; a nil store is the
// cache's own.
type Open func(t *testing.T) func() (store.Store, error)

// Run runs every file that matches pattern.
func Run(t *testing.T, pattern string, open Open, marks ...string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios match %s: %v", pattern, err)
	}
	for _, file := range files {
		scenario.Run(t, file, func(t *testing.T) func([]scenario.Option) (scenario.Subject, error) {
			openStore := open(t)
			return func(config []scenario.Option) (scenario.Subject, error) { return start(config, openStore) }
		}, marks...)
	}
}

// process is one process with a cache.
type process struct {
	cache  *reprise.Cache
	store  store.Store
	faulty *Faulty

	mu      sync.Mutex
	routes  []*route
	guarded atomic.Int64
}

type route struct {
	handler http.Handler
	route   *reprise.Route
}

func start(config []scenario.Option, openStore func() (store.Store, error)) (scenario.Subject, error) {
	p := &process{}
	s, err := openStore()
	if err != nil {
		return nil, err
	}
	cfg := reprise.Config{Store: s, Logger: slog.New(slog.DiscardHandler)}
	p.store = s
	for _, o := range config {
		switch o.Name {
		case "Namespace":
			cfg.Namespace = o.Value
		case "NamespacePolicy":
			cfg.NamespacePolicy = map[string]reprise.NamespacePolicy{"Concat": reprise.Concat, "Replace": reprise.Replace}[o.Value]
		case "StatusHeader":
			if o.Value == "off" {
				cfg.StatusHeader.Off = true
				break
			}
			parts := strings.Split(o.Value, "/")
			cfg.StatusHeader = reprise.StatusHeader{Name: parts[0], Hit: parts[1], Miss: parts[2]}
		case "Disabled":
			cfg.Disabled = true
		case "DefaultTTL":
			d, err := o.Duration()
			if err != nil {
				return nil, err
			}
			cfg.Defaults = append(cfg.Defaults, reprise.TTL(d))
		case "FaultyStore":
			p.faulty = &Faulty{Store: &Bytes{}}
			cfg.Store = p.faulty
		default:
			return nil, fmt.Errorf("unknown configuration %s", o)
		}
	}
	p.cache, err = reprise.New(cfg)
	return p, err
}

func (p *process) Handler(sr scenario.Route, origin http.Handler) (http.Handler, error) {
	var opts []reprise.RouteOption
	for _, o := range sr.Options {
		opt, err := p.option(o)
		if err != nil {
			return nil, err
		}
		opts = append(opts, opt)
	}
	rt, err := p.cache.NewRoute(opts...)
	if err != nil {
		return nil, err
	}
	h := rt.Wrap(origin)
	r := &route{route: rt}
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { h.ServeHTTP(w, req) })
	handle := &handler{r}
	p.mu.Lock()
	p.routes = append(p.routes, r)
	p.mu.Unlock()
	return handle, nil
}

// handler is a comparable http.Handler that knows its route.
type handler struct{ *route }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.route.handler.ServeHTTP(w, r) }

func (p *process) option(o scenario.Option) (reprise.RouteOption, error) {
	var err error
	duration := func() time.Duration {
		d, e := o.Duration()
		err = errors.Join(err, e)
		return d
	}
	ints := func() []int {
		n, e := o.Ints()
		err = errors.Join(err, e)
		return n
	}
	on := func() bool {
		b, e := o.On()
		err = errors.Join(err, e)
		return b
	}
	var opt reprise.RouteOption
	switch o.Name {
	case "TTL":
		opt = reprise.TTL(duration())
	case "StaleWhileRevalidate":
		opt = reprise.StaleWhileRevalidate(duration())
	case "StaleIfError":
		opt = reprise.StaleIfError(duration())
	case "OverrideTTL":
		opt = reprise.OverrideTTL(duration())
	case "FillTimeout":
		opt = reprise.FillTimeout(duration())
	case "Jitter":
		f, e := strconv.ParseFloat(o.Value, 64)
		opt, err = reprise.Jitter(f), e
	case "Tags":
		opt = reprise.Tags(o.List()...)
	case "Namespaced":
		opt = reprise.Namespaced(o.Value)
	case "StatusTTL":
		code, d, e := o.PairDuration()
		n, e2 := strconv.Atoi(code)
		opt, err = reprise.StatusTTL(n, d), errors.Join(e, e2)
	case "ClientTTL":
		opt = reprise.ClientTTL()
	case "ClientCacheControl":
		opt = reprise.ClientCacheControl(o.Value)
	case "Vary":
		opt = reprise.Vary(o.List()...)
	case "QueryParams":
		opt = reprise.QueryParams(o.List()...)
	case "QueryDefault":
		name, value := o.Pair()
		opt = reprise.QueryDefault(name, value)
	case "IgnoreQueryParams":
		opt = reprise.IgnoreQueryParams(o.List()...)
	case "Cookies":
		opt = reprise.Cookies(o.List()...)
	case "AnyHost":
		opt = reprise.AnyHost()
	case "Public":
		opt = reprise.Public()
	case "Statuses":
		opt = reprise.Statuses(ints()...)
	case "Methods":
		opt = reprise.Methods(o.List()...)
	case "InvalidateOnWrite":
		opt = reprise.InvalidateOnWrite(on())
	case "MaxBody":
		n, e := strconv.ParseInt(o.Value, 10, 64)
		opt, err = reprise.MaxBody(n), e
	case "ETag":
		opt = reprise.ETag(on())
	case "CacheStatus":
		opt = reprise.CacheStatus(on())
	case "IgnoreRequestDirectives":
		opt = reprise.IgnoreRequestDirectives()
	case "AllowSetCookie":
		opt = reprise.AllowSetCookie()
	case "TargetedFields":
		opt = reprise.TargetedFields(o.List()...)
	case "Standard":
		opt = reprise.Standard()
	case "IdentifyByCookie":
		opt = reprise.IdentifyByCookie()
	case "Off":
		opt = reprise.Off()
	case "Before":
		opt = reprise.Before(p.guard(o.Value))
	case "SkipIf":
		opt = reprise.SkipIf(func(r *http.Request) bool { return r.Header.Get(o.Value) != "" })
	case "Storable":
		opt = reprise.Storable(func(_ *http.Request, _ int, h http.Header) bool { return h.Get(o.Value) != "" })
	case "TTLFunc":
		opt = reprise.TTLFunc(func(_ int, h http.Header) time.Duration {
			d, _ := time.ParseDuration(h.Get(o.Value))
			return d
		})
	case "TagsFunc":
		opt = reprise.TagsFunc(func(r *http.Request) []string {
			return strings.FieldsFunc(r.Header.Get(o.Value), func(c rune) bool { return c == ',' || c == ' ' })
		})
	case "PerUser":
		opt = reprise.PerUser(func(r *http.Request) (string, error) { return r.Header.Get(o.Value), nil })
	case "Scheme":
		opt = reprise.Scheme(func(r *http.Request) string { return r.Header.Get(o.Value) })
	case "Key":
		opt, err = keyOption(o.Value)
	default:
		err = fmt.Errorf("unknown option %s", o)
	}
	return opt, err
}

func keyOption(value string) (reprise.RouteOption, error) {
	kind, name, _ := strings.Cut(value, ":")
	switch kind {
	case "header":
		return reprise.Key(func(b *reprise.KeyBuilder, r *http.Request) { b.Header(r, name) }), nil
	case "fail":
		return reprise.Key(func(b *reprise.KeyBuilder, _ *http.Request) { b.Fail(errors.New("no key")) }), nil
	case "panic":
		return reprise.Key(func(*reprise.KeyBuilder, *http.Request) { panic("no key") }), nil
	case "nothing":
		return reprise.Key(func(*reprise.KeyBuilder, *http.Request) {}), nil
	}
	return nil, fmt.Errorf("unknown key %s", value)
}

// guard answers 401 to requests without the field.
func (p *process) guard(field string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.guarded.Add(1)
			if r.Header.Get(field) == "" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func (p *process) Do(ctx context.Context, call scenario.Call) (string, error) {
	c := p.cache
	if inside := reprise.FromContext(ctx); inside != nil {
		c = inside
	}
	args := call.Args
	name := call.Name
	if name == "Soft" {
		c, name, args = c.Soft(), args[0], args[1:]
	}
	switch name {
	case "Delete", "Key":
		rt, ok := call.Route.(*handler)
		if !ok {
			n, err := c.Delete(ctx, args...)
			return strconv.Itoa(n), err
		}
		key, err := rt.route.route.Key(call.Request)
		if err != nil || name == "Key" {
			return key, err
		}
		n, err := c.Delete(ctx, key)
		return strconv.Itoa(n), err
	case "Clear":
		for _, ns := range args {
			c = c.Namespace(ns)
		}
		return "", c.Clear(ctx)
	case "InvalidateTags":
		return "", c.InvalidateTags(ctx, args...)
	case "InvalidateURLs":
		return "", c.InvalidateURLs(ctx, args...)
	case "SetEnabled":
		c.SetEnabled(args[0] == "on")
		return "", nil
	case "Entries":
		n := 0
		for _, err := range c.Entries(ctx, "") {
			if err != nil {
				return "", err
			}
			n++
		}
		return strconv.Itoa(n), nil
	case "Guarded":
		return strconv.FormatInt(p.guarded.Load(), 10), nil
	case "AddTags":
		reprise.AddTags(ctx, args...)
		return "", nil
	case "SetTTL":
		d, err := time.ParseDuration(args[0])
		reprise.SetTTL(ctx, d)
		return "", err
	case "NoStore":
		reprise.NoStore(ctx)
		return "", nil
	case "Fail":
		p.faulty.Fail(args...)
		return "", nil
	case "Heal":
		p.faulty.Heal()
		return "", nil
	}
	return "", fmt.Errorf("unknown command %s", call.Name)
}

func (p *process) Close() error {
	err := p.cache.Close()
	if c, ok := p.store.(io.Closer); ok {
		err = errors.Join(err, c.Close())
	}
	return err
}

// Bytes is the smallest store: three methods over a map.
type Bytes struct {
	mu sync.Mutex
	m  map[string]value
}

type value struct {
	b     []byte
	until time.Time
}

// Get implements store.Store.
func (s *Bytes) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.m[key]
	if !ok || !v.until.IsZero() && !time.Now().Before(v.until) {
		return nil, store.ErrNotFound
	}
	return v.b, nil
}

// Set implements store.Store.
func (s *Bytes) Set(_ context.Context, key string, b []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[string]value)
	}
	v := value{b: b}
	if ttl != store.Forever {
		v.until = time.Now().Add(ttl)
	}
	s.m[key] = v
	return nil
}

// Delete implements store.Store.
func (s *Bytes) Delete(_ context.Context, keys ...string) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if _, ok := s.m[k]; ok {
			delete(s.m, k)
			n++
		}
	}
	return n, nil
}

// Faulty is a store whose operations fail on demand.
type Faulty struct {
	store.Store

	mu      sync.Mutex
	failing []string
}

var errFaulty = errors.New("the store is down")

// Fail makes operations fail, by their names.
func (s *Faulty) Fail(ops ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = append(s.failing, ops...)
}

// Heal makes all operations succeed again.
func (s *Faulty) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = nil
}

func (s *Faulty) err(op string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.failing, op) {
		return errFaulty
	}
	return nil
}

// Get implements store.Store.
func (s *Faulty) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.err("Get"); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key)
}

// Set implements store.Store.
func (s *Faulty) Set(ctx context.Context, key string, b []byte, ttl time.Duration) error {
	if err := s.err("Set"); err != nil {
		return err
	}
	return s.Store.Set(ctx, key, b, ttl)
}

// Delete implements store.Store.
func (s *Faulty) Delete(ctx context.Context, keys ...string) (int, error) {
	if err := s.err("Delete"); err != nil {
		return 0, err
	}
	return s.Store.Delete(ctx, keys...)
}
