package main

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"

	"github.com/maypok86/otter/v2"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store/memstore"
)

const missesNote = `New URLs, each asked for once, of a handler that writes 1 KiB; one core. "empty" is a store that has room for all
of them, "full" one where each new answer displaces an old one. Allocations include the handler's own. Each cache has the memory to
itself while it is measured: what it keeps, and no other, is what the collector goes through.`

// misses measures what a new answer costs to run, store and hand out.
func (b *bench) misses() error {
	t := b.report.table("Misses", missesNote, "store", "", "CPU, ns", "bare, ns", "ratio to bare", "allocations")
	size, err := entrySize(1 << 10)
	if err != nil {
		return err
	}
	var full []result
	for _, c := range []struct {
		name    string
		entries int
		full    bool
	}{
		{"empty", min(10_000, b.entries), false},
		{"full, " + plural(min(10_000, b.entries), "entry"), min(10_000, b.entries), true},
		{"full, " + plural(b.entries, "entry"), b.entries, true},
	} {
		rs, err := b.miss(c.entries, int64(size), c.full)
		if err != nil {
			return err
		}
		if !c.full {
			for _, p := range peers() {
				rs = append(rs, b.missOf(p)...)
			}
		}
		t.contest(c.name, rs)
		us := of(rs, "reprise")
		b.report.claim("Miss, store "+c.name+": CPU / bare handler", "≤ 25", "", us.ratio.mid, 25, "%.1f")
		b.report.claim("Miss, store "+c.name+": allocations", "≤ 18", "≤ 14", us.allocs, 18.05, "%.1f")
		if c.full {
			full = append(full, us)
		}
	}
	b.report.claim("Miss, full store: CPU with most entries / with fewest", "the same", "", full[1].ratio.mid/full[0].ratio.mid, 1.25, "%.2f")
	return nil
}

// entrySize returns what the memory store counts for an answer with so large a body.
func entrySize(body int) (int, error) {
	s, err := memstore.New(memstore.Config{})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	c := reprise.Must(reprise.New(reprise.Config{Store: s}))
	defer c.Close()
	h := c.Wrap(origin(text(body)), reprise.TTL(lifetime))
	const n = 100
	newAskNew(h).many(n)
	entries, bytes := s.Size()
	if entries < n {
		return 0, fmt.Errorf("%d of %d answers stored", entries, n)
	}
	return int(bytes) / entries, nil
}

// miss measures new URLs.
func (b *bench) miss(entries int, size int64, full bool) ([]result, error) {
	room := int64(4 << 30)
	if full {
		room = int64(entries) * size
	}
	cache, closeIt := openCache(reprise.Config{}, room)
	defer closeIt()
	h := cache.Wrap(origin(text(1<<10)), reprise.TTL(lifetime))
	ours := newAskNew(h)
	ours.many(entries)
	if got := cache.Stats().Entries; full && (got < entries*9/10 || got > entries*11/10) {
		return nil, fmt.Errorf("%d entries in a store for %d", got, entries)
	}
	return b.newOnes("reprise", h, ours, bare), nil
}

// missOf measures new URLs of a peer.
func (b *bench) missOf(p peer) []result {
	if p.name == "reprise" || p.fast != nil { // fiber's requests are of another kind
		return nil
	}
	h, closeIt := p.open(origin(text(1<<10)), 1<<22)
	defer closeIt()
	base := bare
	if p.name == "gin-cache" {
		base = func(a answer) http.Handler { return ginEngine(bare(a)) }
	}
	return b.newOnes(p.name, h, newAskNew(h), base)
}

// newOnes measures h, which ask asks, beside what base makes of its answer.
func (b *bench) newOnes(name string, h http.Handler, ask *askNew, base func(answer) http.Handler) []result {
	plain := newAskNew(base(record(h, get(target(999_999_999)))))
	runtime.GC() // what it has cost to make the entries is not to be collected in somebody's turn
	return b.contest(1, []contender{newURLs("bare "+name, "", plain), newURLs(name, "bare "+name, ask)})
}

func newURLs(name, base string, a *askNew) contender {
	return contender{name: name, base: base, before: a.prepare, loop: func(int) func(int) { return a.run }}
}

type product struct {
	ID    int
	Name  string
	Price int
}

func load(_ context.Context, key string) (*product, error) {
	return &product{ID: len(key), Name: key, Price: 100}, nil
}

func keys(from, n int) []string {
	ks := make([]string, n)
	for i := range ks {
		ks[i] = "product:" + strconv.Itoa(from+i)
	}
	return ks
}

func openOtter(size int, expiry bool) *otter.Cache[string, *product] {
	o := &otter.Options[string, *product]{MaximumSize: size}
	if expiry {
		o.ExpiryCalculator = otter.ExpiryWriting[string, *product](lifetime)
	}
	return otter.Must(o)
}
