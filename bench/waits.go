package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise"
)

const waitsNote = `Real time, medians of the rounds. "Last client" is when the last of them had its whole answer, counted from when they
began together, as a multiple of the handler's own time. Over HTTP the clients run in the same process and share its cores with the server: the
line without a cache says what that takes. The tests hold the same under a fake clock, to the instant.`

// waits measures how long clients wait that come together.
func (b *bench) waits() error {
	t := b.report.table("Waiting together", waitsNote, "clients", "rounds", "handler", "handler calls in a round", "last client, ms", "last client / handler")
	for _, s := range []rush{{rounds: b.crowds}, {rounds: 5, real: true}, {rounds: 5, real: true, uncached: true}} {
		if err := b.rush(t, s); err != nil {
			return err
		}
	}
	for _, c := range []struct {
		what string
		n    int
		say  func(h http.Header)
		each func(i int) string // a field of the i-th request
	}{
		{"a private page", min(50, b.clients), func(h http.Header) { h.Set("Cache-Control", "private") }, func(int) string { return "Accept-Language: en" }},
		{"values of a Vary field", min(20, b.clients), func(h http.Header) { h.Set("Vary", "Accept-Language") }, func(i int) string { return "Accept-Language: x-" + strconv.Itoa(i) }},
	} {
		if err := b.together(t, c.what, c.n, c.say, c.each); err != nil {
			return err
		}
	}
	return nil
}

// rush is many clients that ask for one cold page at once.
type rush struct {
	rounds   int
	real     bool // over real connections
	uncached bool // without reprise: what the clients and connections themselves take
}

func (s rush) String() string {
	switch {
	case s.uncached:
		return "over HTTP, no cache"
	case s.real:
		return "over HTTP"
	}
	return "in process"
}

func (b *bench) rush(t *table, s rush) error {
	const takes = 50 * time.Millisecond
	var calls atomic.Int64
	page := text(1 << 10)
	c, closeIt := openCache(reprise.Config{}, 64<<20)
	defer closeIt()
	h := missing(func() { calls.Add(1); time.Sleep(takes) }, origin(page))
	if !s.uncached {
		h = c.Wrap(h, reprise.TTL(lifetime))
	}
	crowd := newCrowd(h, b.clients, s.real)
	defer crowd.close()
	var most int64
	exact := 0
	var factors, last []float64
	for round := range s.rounds {
		calls.Store(0)
		d, err := crowd.ask(func(int) *http.Request { return get(target(round)) }, len(page))
		if err != nil {
			return fmt.Errorf("clients %v: %w", s, err)
		}
		n := calls.Load()
		most = max(most, n)
		if n == 1 {
			exact++
		}
		factors, last = append(factors, float64(d)/float64(takes)), append(last, float64(d.Microseconds())/1000)
	}
	f := spreadOf(factors)
	what := fmt.Sprintf("%s for a cold page %v", plural(b.clients, "client"), s)
	said := fmt.Sprintf("1 in %d of %d rounds, at most %d", exact, s.rounds, most)
	if s.uncached {
		said = strconv.FormatInt(most, 10)
	}
	t.add(what, strconv.Itoa(s.rounds), "50 ms", said, fmt.Sprintf("%.1f", spreadOf(last).mid), ratio(f))
	if s.uncached {
		return nil
	}
	b.report.claim(what+": rounds with more than one call of the handler", "0", "", float64(s.rounds-exact), 0, "%.0f")
	if !s.real {
		b.report.claim(what+": last client / handler's 50 ms", "≤ 2", "", f.mid, 2, "%.2f")
	}
	return nil
}

// together lets clients ask at once for what they cannot share: when nothing is known of the page, and later.
func (b *bench) together(t *table, what string, n int, say func(http.Header), field func(int) string) error {
	const takes, rounds = 100 * time.Millisecond, 5
	var calls atomic.Int64
	page := text(1 << 10)
	c, closeIt := openCache(reprise.Config{}, 64<<20)
	defer closeIt()
	h := c.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		time.Sleep(takes)
		say(w.Header())
		origin(page)(w, r)
	}), reprise.TTL(lifetime))
	crowd := newCrowd(h, n, false)
	defer crowd.close()
	for _, learned := range []bool{false, true} {
		var last, factors []float64
		calls.Store(0)
		for round := range rounds {
			offset := 0
			if learned {
				offset = n // other values than before
			}
			d, err := crowd.ask(func(i int) *http.Request { return get(target(round), field(offset+i)) }, len(page))
			if err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
			factors, last = append(factors, float64(d)/float64(takes)), append(last, float64(d.Microseconds())/1000)
		}
		label, most := fmt.Sprintf("%d for %s, cold", n, what), 2.0
		if learned {
			label, most = fmt.Sprintf("%d for %s, learned", n, what), 1
		}
		f := spreadOf(factors)
		t.add(label, strconv.Itoa(rounds), "100 ms", fmt.Sprintf("%.1f", float64(calls.Load())/rounds), fmt.Sprintf("%.1f", spreadOf(last).mid), ratio(f))
		b.report.claim(label+": last client / handler's 100 ms", fmt.Sprintf("%.0f (scheduling: + 0.2)", most), "", f.mid, most+0.2, "%.2f")
	}
	return nil
}

// crowd is clients that begin together, in process or over real connections.
type crowd struct {
	h      http.Handler
	n      int
	server *httptest.Server
	client *http.Client
}

func newCrowd(h http.Handler, n int, real bool) *crowd {
	c := &crowd{h: h, n: n}
	if real {
		warm := make(chan struct{})
		var waiting atomic.Int64
		c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/warm" {
				h.ServeHTTP(w, r)
				return
			}
			if waiting.Add(1) == int64(n) {
				close(warm)
			}
			<-warm // so that all connections are open at once
		}))
		c.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{MaxIdleConns: n, MaxIdleConnsPerHost: n}}
		_, _ = c.ask(func(int) *http.Request { return get("/warm") }, 0)
	}
	return c
}

func (c *crowd) close() {
	if c.server != nil {
		c.client.CloseIdleConnections()
		c.server.Close()
	}
}

// ask lets all clients ask and returns when the last of them had its answer, which has so many bytes.
func (c *crowd) ask(request func(i int) *http.Request, bytes int) (time.Duration, error) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	errs := make([]error, c.n)
	for i := range c.n {
		ready.Add(1)
		done.Go(func() {
			r := request(i)
			ready.Done()
			<-begin
			status, n, err := c.one(r)
			if err == nil && (status != http.StatusOK || n != bytes) {
				err = fmt.Errorf("status %d with %d of %d bytes", status, n, bytes)
			}
			errs[i] = err
		})
	}
	ready.Wait()
	start := time.Now()
	close(begin)
	done.Wait()
	return time.Since(start), errors.Join(errs...)
}

func (c *crowd) one(r *http.Request) (status, n int, err error) {
	if c.server == nil {
		w := newReusable()
		c.h.ServeHTTP(w, r)
		status, n = w.said()
		return status, n, nil
	}
	out, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.server.URL+r.URL.RequestURI(), nil)
	if err != nil {
		return 0, 0, err
	}
	out.Header = r.Header
	resp, err := c.client.Do(out)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	size, err := io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, int(size), err
}
