package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"time"

	rediscache "github.com/go-redis/cache/v9"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"
	"github.com/viccon/sturdyc"

	"github.com/reprise-go/reprise"
)

const tracesNote = `Of 100 requests, how many were answered from a store with room for 10,000 entries: the mean of %d seeds and
its standard error. All entries have the same size, so that reprise's bound in bytes is one in entries. reprise's store is
otter bounded by weight, which adapts by smaller samples than otter bounded by a number of entries does: it learns how many entries
there are only as they come, and forgets once how often they were asked for. That is the column to compare with; on loop it costs a point.
All are asked at the same pace, a microsecond for a hit and six for a miss: otter lets go of what it cannot keep up with in the
background, and then adapts otherwise. What is left is chance: what is read meanwhile, and how ties are broken. How far reprise is behind is the
mean of the differences, seed by seed; noise is three times the standard error of that, and at least 0.2. zipf: 100,000 keys, s = 1.01. scan: the same, and
after every 20,000 requests 10,000 keys in a row that never come again. loop: 12,500 keys in turn. shifting: zipf, and
after every 50,000 requests what was popular is not and the next 5,000 keys are.`

// traceRoom is how many entries the stores of a trace have room for.
const traceRoom = 10_000

// traces measures how good the stores are at keeping what will be asked for.
func (b *bench) traces() error {
	t := b.report.table("Hit ratio", fmt.Sprintf(tracesNote, b.seeds), "trace", "reprise, handlers", "reprise, functions", "otter by weight", "otter by number", "go-redis/cache TinyLFU", "golang-lru", "sturdyc")
	for _, trace := range []struct {
		name string
		make func(n int, seed uint64) []int
	}{{"zipf", zipfTrace}, {"scan", scanTrace}, {"loop", loopTrace}, {"shifting", shiftingTrace}} {
		ratios := map[string][]float64{}
		for seed := range uint64(b.seeds) {
			keys := trace.make(b.trace, seed+1)
			for _, s := range bounded() {
				share, err := hitRatio(s, keys)
				if err != nil {
					return err
				}
				ratios[s.name] = append(ratios[s.name], share)
			}
		}
		row := []string{trace.name}
		for _, s := range bounded() {
			mean, err := meanOf(ratios[s.name])
			row = append(row, fmt.Sprintf("%.1f ± %.1f", 100*mean, 100*err))
		}
		t.add(row...)
		for _, us := range []string{"reprise, handlers", "reprise, functions"} {
			behind := make([]float64, b.seeds)
			for i, otters := range ratios["otter by weight"] {
				behind[i] = 100 * (otters - ratios[us][i])
			}
			mean, err := meanOf(behind)
			noise := max(0.2, 3*err) // there are eight claims: two standard errors would be too few for one or the other
			must := fmt.Sprintf("≤ 0 (noise: %.2f)", noise)
			b.report.claim("Hit ratio, "+trace.name+", "+us+": points behind otter by weight", must, "", mean, noise, "%.2f")
		}
	}
	return nil
}

// meanOf returns the mean of xs and its standard error.
func meanOf(xs []float64) (mean, err float64) {
	n := float64(len(xs))
	for _, x := range xs {
		mean += x / n
	}
	for _, x := range xs {
		err += (x - mean) * (x - mean)
	}
	return mean, math.Sqrt(err / (n * (n - 1)))
}

// store is a bounded cache that runs miss for what it does not have.
type boundedStore struct {
	name string
	open func(miss func()) (ask func(key int), closeIt func(), err error)
}

// What each store takes for a request at the least, so that all are asked at the same pace: what works in the background lets go of
// what it cannot keep up with, and adapts otherwise.
const (
	hitTakes  = time.Microsecond
	missTakes = 6 * time.Microsecond
)

func hitRatio(s boundedStore, keys []int) (float64, error) {
	misses := 0
	ask, closeIt, err := s.open(func() { misses++ })
	if err != nil {
		return 0, err
	}
	defer closeIt()
	for i, k := range keys {
		begin, before := time.Now(), misses
		ask(k)
		takes := hitTakes
		if misses > before {
			takes = missTakes
		}
		for time.Since(begin) < takes {
		}
		if i%64 == 0 {
			runtime.Gosched() // stores that evict in the background get their turn, as between requests
		}
	}
	return 1 - float64(misses)/float64(len(keys)), nil
}

func bounded() []boundedStore {
	name := func(key int) string { return "product:" + strconv.Itoa(1_000_000_000+key) }
	return []boundedStore{
		{"reprise, handlers", openBoundedRoute},
		{"reprise, functions", func(miss func()) (func(int), func(), error) {
			size, err := resultSize(name)
			if err != nil {
				return nil, nil, err
			}
			c, closeIt := openCache(reprise.Config{}, traceRoom*size)
			get := reprise.Memoize(c, "product", func(context.Context, string) (int, error) { miss(); return 1, nil }, reprise.TTL(lifetime))
			return func(key int) { _, _ = get(context.Background(), name(key)) }, closeIt, nil
		}},
		{"otter by weight", func(miss func()) (func(int), func(), error) {
			const each = 1000
			return openBoundedOtter(&otter.Options[string, int]{
				MaximumWeight: traceRoom * each, Weigher: func(string, int) uint32 { return each },
			}, name, miss)
		}},
		{"otter by number", func(miss func()) (func(int), func(), error) {
			return openBoundedOtter(&otter.Options[string, int]{MaximumSize: traceRoom}, name, miss)
		}},
		{"go-redis/cache TinyLFU", func(miss func()) (func(int), func(), error) {
			c := rediscache.NewTinyLFU(traceRoom, lifetime)
			return func(key int) {
				if _, ok := c.Get(name(key)); !ok {
					miss()
					c.Set(name(key), nil)
				}
			}, func() {}, nil
		}},
		{"golang-lru", func(miss func()) (func(int), func(), error) {
			c, err := lru.New[string, int](traceRoom)
			return func(key int) {
				if _, ok := c.Get(name(key)); !ok {
					miss()
					c.Add(name(key), 1)
				}
			}, func() {}, err
		}},
		{"sturdyc", func(miss func()) (func(int), func(), error) {
			c := sturdyc.New[int](traceRoom, 10, lifetime, 10)
			return func(key int) {
				_, _ = sturdyc.GetOrFetch(context.Background(), c, name(key), func(context.Context) (int, error) { miss(); return 1, nil })
			}, func() {}, nil
		}},
	}
}

func openBoundedOtter(o *otter.Options[string, int], name func(int) string, miss func()) (func(int), func(), error) {
	o.ExpiryCalculator = otter.ExpiryWriting[string, int](lifetime)
	c, err := otter.New(o)
	if err != nil {
		return nil, nil, err
	}
	return func(key int) {
		k := name(key)
		if _, ok := c.GetIfPresent(k); !ok { // as reprise's store does it
			miss()
			c.Set(k, 1)
		}
	}, func() { c.StopAllGoroutines() }, nil
}

func openBoundedRoute(miss func()) (func(int), func(), error) {
	size, err := entrySize(256)
	if err != nil {
		return nil, nil, err
	}
	c, closeIt := openCache(reprise.Config{}, traceRoom*int64(size))
	body := text(256)
	h := c.Wrap(missing(miss, origin(body)), reprise.TTL(lifetime))
	a := newAskNew(h)
	return func(key int) { a.one(target(key)) }, closeIt, nil
}

// resultSize returns what the memory store counts for a result of a function.
func resultSize(name func(int) string) (int64, error) {
	c, closeIt := openCache(reprise.Config{}, 1<<20)
	defer closeIt()
	get := reprise.Memoize(c, "product", func(context.Context, string) (int, error) { return 1, nil })
	const n = 100
	for i := range n {
		_, _ = get(context.Background(), name(i))
	}
	s := c.Stats()
	if s.Entries < n {
		return 0, fmt.Errorf("%d of %d results stored", s.Entries, n)
	}
	return s.Bytes / int64(s.Entries), nil
}

func zipfTrace(n int, seed uint64) []int {
	zipf := rand.NewZipf(rand.New(rand.NewPCG(seed, 1)), 1.01, 1, 99_999)
	return each(make([]int, n), func(int) int { return int(zipf.Uint64()) })
}

func scanTrace(n int, seed uint64) []int {
	keys := make([]int, 0, n)
	zipf, scanned := zipfTrace(n, seed), 200_000
	for len(keys) < n {
		keys = append(keys, zipf[:min(20_000, len(zipf))]...)
		zipf = zipf[min(20_000, len(zipf)):]
		for range 10_000 {
			keys = append(keys, scanned)
			scanned++
		}
	}
	return keys[:n]
}

func loopTrace(n int, seed uint64) []int {
	keys := make([]int, n)
	for i := range keys {
		keys[i] = (i + int(seed)) % (traceRoom * 5 / 4)
	}
	return keys
}

func shiftingTrace(n int, seed uint64) []int {
	keys := zipfTrace(n, seed)
	for i := range keys {
		keys[i] = (keys[i] + i/50_000*5000) % 100_000
	}
	return keys
}
