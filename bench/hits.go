package main

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/reprise-go/reprise"
)

const hitsNote = `A stored answer with a Content-Type is asked for. The table has each peer's time and the time of a bare
handler with the peer's own fields.`

const moreNote = `reprise alone; 1 KiB, one key, one core. "The same" is a bare handler with the same status, fields and body
(a 304 has none); "whole" one that sends the whole answer.`

// hits measures what a stored answer costs, beside the peers.
func (b *bench) hits() error {
	t := b.report.table("Hits", hitsNote, "stored answer", "", "CPU, ns", "bare, ns", "ratio to bare", "allocations")
	var allocs float64
	costs := map[int]float64{}
	for _, c := range []struct{ kib, keys, cores int }{
		{1, 1, 1}, {1, 10_000, 1}, {64, 1, 1}, {64, 10_000, 1}, {1, 1, 2}, {1, 10_000, 2},
	} {
		all := c.kib == 1 || c.keys == 1 // the rest would take gigabytes
		rs, err := b.hit(c.kib<<10, min(c.keys, b.entries), c.cores, all)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("%d KiB, %s, %s", c.kib, plural(c.keys, "key"), plural(c.cores, "core"))
		t.contest(what, rs)
		us := of(rs, "reprise")
		allocs = max(allocs, us.allocs)
		if c.keys == 1 && c.cores == 1 {
			costs[c.kib] = us.cpu
			if c.kib == 1 {
				t.Chart = b.report.hitChart("Processor time of a hit, "+what, rs)
			}
		}
		aim := "≤ 3.6"
		if c.keys == 1 {
			aim = "≤ 3"
		}
		b.report.claim("Hit, "+what+": CPU / bare handler", "≤ 4", aim, us.ratio.mid, 4, "%.2f")
	}
	b.report.claim("Hit, all of the above: allocations", "0", "0", allocs, 0.05, "%.2f")
	b.report.claim("Hit of 64 KiB: CPU / hit of 1 KiB", "the same", "", costs[64]/costs[1], 1.25, "%.2f")
	return nil
}

// hit measures stored answers of one size on each peer, and what the peer's framework costs without a cache.
func (b *bench) hit(size, keys, cores int, all bool) ([]result, error) {
	body, ts, order := text(size), targets(0, keys), order(keys)
	rs, fast := make([][]*http.Request, cores), make([][]*fasthttp.RequestCtx, cores)
	for worker := range cores {
		rs[worker] = requests(ts)
		if all {
			fast[worker] = fastRequests(ts)
		}
	}
	var calls atomic.Int64
	var cs []contender
	for _, p := range peers() {
		if !all && p.name != "reprise" {
			continue
		}
		var cached, bareOnes func(worker int) asker
		if p.fast != nil {
			h, plain := p.fast(body)
			cached = func(worker int) asker { return askFast(h, fast[worker]) }
			bareOnes = func(worker int) asker { return askFast(plain, fast[worker]) }
		} else {
			h, closeIt := p.open(missing(func() { calls.Add(1) }, origin(body)), keys)
			defer closeIt()
			h.ServeHTTP(newReusable(), get(ts[0]))
			plain := bare(record(h, get(ts[0])))
			if p.name == "gin-cache" {
				plain = ginEngine(plain)
			}
			cached = func(worker int) asker { return askHTTP(h, rs[worker]) }
			bareOnes = func(worker int) asker { return askHTTP(plain, rs[worker]) }
		}
		fill := cached(0)
		for i := range ts {
			fill.ask(i)
			if status, n := fill.got(); status != http.StatusOK || n != size {
				return nil, fmt.Errorf("%s: status %d with %d bytes", p.name, status, n)
			}
		}
		base := "bare " + p.name
		cs = append(cs, asking(base, "", bareOnes, order), asking(p.name, base, cached, order))
	}
	calls.Store(0)
	results := b.contest(cores, cs)
	if n := calls.Load(); n > 0 {
		return nil, fmt.Errorf("%d requests of a contest of hits were misses", n)
	}
	return results, nil
}

// asking is a contender that asks in that order. Each worker has an asker of its own.
func asking(name, base string, newAsker func(worker int) asker, order []int) contender {
	return contender{name: name, base: base, loop: func(worker int) func(int) {
		ask, at := newAsker(worker).ask, worker*len(order)/3
		return func(n int) {
			for range n {
				ask(order[at&(len(order)-1)])
				at++
			}
		}
	}}
}

// more measures hits that do more than hand out what is stored.
func (b *bench) more() error {
	t := b.report.table("Hits that do more", moreNote, "request", "CPU, ns", "ratio to the same", "ratio to the whole", "allocations")
	observed := reprise.Config{Observe: func(context.Context, reprise.Event) {}}
	vary := func(next http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Vary", "Accept-Language")
			next(w, r)
		}
	}
	plain := func(next http.HandlerFunc) http.HandlerFunc { return next }
	for _, c := range []struct {
		name        string
		wrap        func(http.HandlerFunc) http.HandlerFunc
		cfg         reprise.Config
		opts        []reprise.RouteOption
		conditional bool
		fields      []string
		status      int
		most        float64 // the target
	}{
		{name: "learned Vary", wrap: vary, fields: []string{"Accept-Language: en"}, status: 200},
		{name: "declared Vary", wrap: vary, opts: []reprise.RouteOption{reprise.Vary("Accept-Language")}, fields: []string{"Accept-Language: en"}, status: 200},
		{name: "Observe", wrap: plain, cfg: observed, status: 200},
		{name: "If-None-Match, 304", wrap: plain, conditional: true, status: 304},
		{name: "Range, 206", wrap: plain, fields: []string{"Range: bytes=0-99"}, status: 206},
		{name: "learned Vary, Observe", wrap: vary, cfg: observed, fields: []string{"Accept-Language: en"}, status: 200, most: 6},
		{name: "learned Vary, Observe, 304", wrap: vary, cfg: observed, conditional: true, fields: []string{"Accept-Language: en"}, status: 304, most: 6},
		{name: "learned Vary, Observe, 206", wrap: vary, cfg: observed, fields: []string{"Accept-Language: en", "Range: bytes=0-99"}, status: 206},
	} {
		cache, closeIt := openCache(c.cfg, 64<<20)
		h := cache.Wrap(c.wrap(origin(text(1<<10))), append(c.opts, reprise.TTL(lifetime))...)
		ts := targets(0, 1)
		h.ServeHTTP(newReusable(), get(ts[0], c.fields...))
		whole := record(h, get(ts[0], c.fields...))
		if c.conditional {
			for _, f := range whole.fields {
				if f[0] == "Etag" {
					c.fields = append(c.fields, "If-None-Match: "+f[1])
				}
			}
		}
		a := record(h, get(ts[0], c.fields...))
		if a.status != c.status {
			closeIt()
			return fmt.Errorf("%s: status %d", c.name, a.status)
		}
		rs := requests(ts, c.fields...)
		results := b.contest(1, []contender{
			asking("the same answer, bare", "", func(int) asker { return askHTTP(bare(a), rs) }, order(1)),
			asking("1 KiB whole, bare", "", func(int) asker { return askHTTP(bare(whole), rs) }, order(1)),
			asking("reprise", "the same answer, bare", func(int) asker { return askHTTP(h, rs) }, order(1)),
		})
		closeIt()
		us := of(results, "reprise")
		t.add(c.name, nanos(us.cpu), ratio(us.ratio), fmt.Sprintf("%.2f", us.cpu/of(results, "1 KiB whole, bare").cpu), count(us.allocs))
		if c.most > 0 {
			b.report.claim("Hit, "+c.name+": CPU / the same answer by a bare handler", fmt.Sprintf("≤ %.0f", c.most), "", us.ratio.mid, c.most, "%.2f")
			b.report.claim("Hit, "+c.name+": allocations", "≤ 2", "", us.allocs, 2.05, "%.2f")
		}
	}
	return nil
}
