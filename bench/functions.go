package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-chi/stampede"
	rediscache "github.com/go-redis/cache/v9"
	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/maypok86/otter/v2"
	"github.com/viccon/sturdyc"

	"github.com/reprise-go/reprise"
)

// loading is a cache for the results of functions: it returns the function with its results cached.
type loading struct {
	name string
	wrap func(load loader, size int) (get loader, closeIt func())
}

type loader = func(context.Context, string) (*product, error)

// loadings are the caches that run the function themselves.
func loadings() []loading {
	return []loading{
		{"reprise.Memoize", func(load loader, size int) (loader, func()) {
			c, closeIt := openCache(reprise.Config{}, int64(size)*1000)
			return reprise.Memoize(c, "product", load, reprise.TTL(lifetime)), closeIt
		}},
		{"otter Get, expiry", func(load loader, size int) (loader, func()) { return wrapOtter(load, openOtter(size, true)) }},
		{"otter Get, no expiry", func(load loader, size int) (loader, func()) { return wrapOtter(load, openOtter(size, false)) }},
		{"sturdyc GetOrFetch", func(load loader, size int) (loader, func()) {
			c := sturdyc.New[*product](size*2, 64, lifetime, 10)
			return func(ctx context.Context, key string) (*product, error) {
				return sturdyc.GetOrFetch(ctx, c, key, func(ctx context.Context) (*product, error) { return load(ctx, key) })
			}, func() {}
		}},
		{"stampede Get", func(load loader, size int) (loader, func()) {
			c := stampede.NewCacheKV[string, *product](size, lifetime, 2*lifetime)
			return func(ctx context.Context, key string) (*product, error) {
				return c.Get(ctx, key, func() (*product, error) { return load(ctx, key) })
			}, func() {}
		}},
		{"go-redis/cache Once, local", func(load loader, size int) (loader, func()) {
			c := rediscache.New(&rediscache.Options{LocalCache: rediscache.NewTinyLFU(size, lifetime)})
			return func(ctx context.Context, key string) (*product, error) {
				p := new(product)
				err := c.Once(&rediscache.Item{Ctx: ctx, Key: key, Value: p, TTL: lifetime,
					Do: func(*rediscache.Item) (any, error) { return load(ctx, key) }})
				return p, err
			}, func() {}
		}},
	}
}

func wrapOtter(load loader, c *otter.Cache[string, *product]) (loader, func()) {
	l := otter.LoaderFunc[string, *product](load)
	return func(ctx context.Context, key string) (*product, error) { return c.Get(ctx, key, l) },
		func() { c.StopAllGoroutines() }
}

// lookups are stores without a loader: what is left to gain.
func lookups() []loading {
	return []loading{
		{"otter GetIfPresent, expiry", func(load loader, size int) (loader, func()) {
			c := openOtter(size, true)
			return func(ctx context.Context, key string) (*product, error) {
				if p, ok := c.GetIfPresent(key); ok {
					return p, nil
				}
				p, err := load(ctx, key)
				c.Set(key, p)
				return p, err
			}, func() { c.StopAllGoroutines() }
		}},
		{"golang-lru expirable Get", func(load loader, size int) (loader, func()) {
			c := expirable.NewLRU[string, *product](size, nil, lifetime)
			return func(ctx context.Context, key string) (*product, error) {
				if p, ok := c.Get(key); ok {
					return p, nil
				}
				p, err := load(ctx, key)
				c.Add(key, p)
				return p, err
			}, func() {}
		}},
		{"map and RWMutex", func(load loader, _ int) (loader, func()) {
			var mu sync.RWMutex
			m := map[string]*product{}
			return func(ctx context.Context, key string) (*product, error) {
				mu.RLock()
				p := m[key]
				mu.RUnlock()
				if p != nil {
					return p, nil
				}
				p, err := load(ctx, key)
				mu.Lock()
				m[key] = p
				mu.Unlock()
				return p, err
			}, func() {}
		}},
	}
}

const functionsNote = `Results of a function of a string, each a pointer to a small struct, with a lifetime of an hour. The base is
otter's own Get with a loader and a lifetime. golang-lru and the map have no loader, so their callers bring their own; go-redis/cache
keeps encoded values (MessagePack) and decodes at each hit; it is used without a Redis here.`

// functions measures cached results of functions.
func (b *bench) functions() error {
	const base = "otter Get, expiry"
	t := b.report.table("Results of functions", functionsNote, "stored result", "", "CPU, ns", "otter Get, ns", "ratio to otter Get", "allocations")
	for _, c := range []struct{ keys, cores int }{{1, 1}, {10_000, 1}, {1, 2}, {10_000, 2}} {
		what := plural(c.keys, "key") + ", " + plural(c.cores, "core")
		rs, err := b.function(base, c.keys, c.cores)
		if err != nil {
			return err
		}
		t.contest(what, rs)
		us := of(rs, "reprise.Memoize")
		b.report.claim("Function result, "+what+": CPU / otter's Get with expiry", "≤ 1.75", "", us.ratio.mid, 1.75, "%.2f")
		if c.keys == 10_000 && c.cores == 1 {
			t.Chart = b.report.functionChart("Processor time of a stored function result, "+what, rs)
		}
	}
	t = b.report.table("Results of functions by argument", argumentsNote, "argument", "", "CPU, ns", "otter Get, ns", "ratio to otter Get", "allocations")
	return errors.Join(
		argument(b, t, "a string", "products/42"),
		argument(b, t, "an int", 42),
		argument(b, t, "a struct of three fields", search{"shoes", 2, true}),
	)
}

type search struct {
	Text string
	Page int
	Full bool
}

const argumentsNote = `One stored result, one core. otter hashes the argument as it is and finds the result by that; reprise makes a key of it, under which
the result can also be listed, invalidated and shared with other processes.`

// argument measures a stored result of a function of key.
func argument[K comparable](b *bench, t *table, what string, key K) error {
	const expiring, plain = "otter Get, expiry", "otter Get, no expiry"
	p := &product{ID: 42}
	load := func(context.Context, K) (*product, error) { return p, nil }
	c, closeIt := openCache(reprise.Config{}, 1<<20)
	defer closeIt()
	ways := map[string]func(context.Context, K) (*product, error){
		"reprise.Memoize": reprise.Memoize(c, "product", load, reprise.TTL(lifetime)),
	}
	for _, name := range []string{expiring, plain} {
		o := &otter.Options[K, *product]{MaximumSize: 1000}
		if name == expiring {
			o.ExpiryCalculator = otter.ExpiryWriting[K, *product](lifetime)
		}
		cache := otter.Must(o)
		defer cache.StopAllGoroutines()
		ways[name] = func(ctx context.Context, key K) (*product, error) {
			return cache.Get(ctx, key, otter.LoaderFunc[K, *product](load))
		}
	}
	ctx := context.Background()
	var cs []contender
	for _, name := range []string{"reprise.Memoize", expiring, plain} {
		get := ways[name]
		if v, err := get(ctx, key); v != p || err != nil {
			return fmt.Errorf("%s: %v, %w", name, v, err)
		}
		cs = append(cs, contender{name: name, base: expiring, loop: func(int) func(int) {
			return func(n int) {
				for range n {
					_, _ = get(ctx, key)
				}
			}
		}})
	}
	rs := b.contest(1, cs)
	t.contest(what, rs)
	us := of(rs, "reprise.Memoize")
	claim := "Function result, argument " + what
	b.report.claim(claim+": CPU / otter's Get with expiry", "≤ 2", "≤ 1.75", us.ratio.mid, 1.75, "%.2f")
	b.report.claim(claim+": CPU / otter's Get without expiry", "≤ 3", "", us.ratio.mid/of(rs, plain).ratio.mid, 3, "%.2f")
	b.report.claim(claim+": allocations", "0", "0", us.allocs, 0.05, "%.2f")
	return nil
}

func (b *bench) function(base string, n, cores int) ([]result, error) {
	ctx, names, order := context.Background(), keys(0, n), order(n)
	var cs []contender
	for _, l := range append(loadings(), lookups()...) {
		get, closeIt := l.wrap(load, max(n, 1000))
		defer closeIt()
		for range 2 {
			for _, k := range names {
				if p, err := get(ctx, k); err != nil || p.Name != k {
					return nil, fmt.Errorf("%s: %v, %w", l.name, p, err)
				}
			}
			time.Sleep(time.Millisecond) // some write in the background
		}
		cs = append(cs, contender{name: l.name, base: base, loop: func(worker int) func(int) {
			at := worker * len(order) / 3
			return func(n int) {
				for range n {
					_, _ = get(ctx, names[order[at&(len(order)-1)]])
					at++
				}
			}
		}})
	}
	return b.contest(cores, cs), nil
}
