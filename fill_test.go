package reprise_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// client is a ResponseWriter that notes when its bytes came and how its answer ended.
type client struct {
	stall <-chan struct{} // Write waits for it; nil does not

	mu      sync.Mutex
	h       http.Header
	code    int
	body    bytes.Buffer
	first   time.Time // of the body's first byte
	end     time.Time
	failure any // what ServeHTTP panicked with
	goexit  bool

	informed int // 1xx responses
}

func (c *client) Header() http.Header { return c.h }

func (c *client) WriteHeader(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case code < 200:
		c.informed++
	case c.code == 0:
		c.code = code
	}
}

func (c *client) Write(p []byte) (int, error) {
	if c.stall != nil {
		<-c.stall
	}
	c.WriteHeader(http.StatusOK)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.body.Len() == 0 {
		c.first = time.Now()
	}
	return c.body.Write(p)
}

func (c *client) Flush() { c.WriteHeader(http.StatusOK) }

// ask sends r to h on a goroutine of its own. done is closed at the end.
func (c *client) ask(h http.Handler, r *http.Request) (done <-chan struct{}) {
	c.h = make(http.Header)
	ch := make(chan struct{})
	go func() {
		defer close(ch)
		returned := false
		defer func() {
			c.failure = recover()
			c.goexit = !returned && c.failure == nil
			c.end = time.Now()
		}()
		h.ServeHTTP(c, r)
		returned = true
	}()
	return ch
}

func newRequest(target string, fields ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// crowd sends n requests for target at once and returns the clients when all have ended.
func crowd(h http.Handler, n int, target string) []*client {
	clients := make([]*client, n)
	var ends []<-chan struct{}
	for i := range clients {
		clients[i] = new(client)
		ends = append(ends, clients[i].ask(h, newRequest(target)))
	}
	for _, end := range ends {
		<-end
	}
	return clients
}

// idle fails the test if a fill is still running or holds bytes.
func idle(t *testing.T, c *reprise.Cache) {
	t.Helper()
	synctest.Wait()
	if s := c.Stats(); s.Fills != 0 || s.FillBytes != 0 {
		t.Errorf("Stats() = %d fills with %d bytes; want none", s.Fills, s.FillBytes)
	}
}

// plainStore has the three methods and nothing else.
type plainStore struct {
	mu sync.Mutex
	m  map[string][]byte
}

func (s *plainStore) Get(_ context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.m[key]; ok {
		return v, nil
	}
	return nil, store.ErrNotFound
}

func (s *plainStore) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[string][]byte)
	}
	s.m[key] = value
	return nil
}

func (s *plainStore) Delete(_ context.Context, keys ...string) (n int, err error) {
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

// Requests that arrive while a fill ends either follow it or find what it has stored.
func TestFillOneCall(t *testing.T) {
	for _, tt := range []struct {
		name   string
		store  store.Store
		body   int
		rounds int
	}{
		{"memory", nil, 10, 100},
		{"memory/large", nil, 40_000, 25},
		{"bytes", new(plainStore), 10, 100},
		{"bytes/large", new(plainStore), 40_000, 25},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// A look-up that a busy machine lets wait longer than usual is no miss here.
			c := open(t, reprise.Config{Store: tt.store, Limits: reprise.Limits{StoreTimeout: time.Minute}})
			var calls atomic.Int64
			body := strings.Repeat("x", tt.body)
			h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				runtime.Gosched()
				_, _ = io.WriteString(w, body)
			})
			for round := range tt.rounds {
				calls.Store(0)
				target := fmt.Sprint("/", round)
				var wg sync.WaitGroup
				for i := range 100 {
					wg.Go(func() {
						for range i % 7 {
							runtime.Gosched()
						}
						if w := get(h, target); w.Code != 200 || w.Body.Len() != len(body) {
							t.Errorf("round %d: got %d with %d bytes", round, w.Code, w.Body.Len())
						}
					})
				}
				wg.Wait()
				if n := calls.Load(); n != 1 {
					t.Fatalf("round %d: %d calls; want 1", round, n)
				}
			}
		})
	}
}

// A handler that fails is not called once per client.
func TestFillFailureUnderLoad(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		calls   int64
		leader  any // what the first panics with
		goexit  bool
		code    map[int]int
	}{
		{name: "500", calls: 1, code: map[int]int{500: 1000}, handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
		}},
		{name: "500 in full", calls: 1, code: map[int]int{500: 1000}, handler: func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("x", 100_000), 500)
		}},
		{name: "404", calls: 1, code: map[int]int{404: 1000}, handler: http.NotFound},
		{name: "panic", calls: 2, leader: "oops", code: map[int]int{0: 2, 500: 998}, handler: func(http.ResponseWriter, *http.Request) {
			panic("oops")
		}},
		{name: "ErrAbortHandler", calls: 2, leader: http.ErrAbortHandler, code: map[int]int{0: 2, 500: 998}, handler: func(http.ResponseWriter, *http.Request) {
			panic(http.ErrAbortHandler)
		}},
		{name: "Goexit", calls: 2, goexit: true, code: map[int]int{0: 2, 500: 998}, handler: func(http.ResponseWriter, *http.Request) {
			runtime.Goexit()
		}},
		{name: "panic after the head", calls: 2, leader: "oops", code: map[int]int{0: 2, 500: 998}, handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(200)
			_, _ = io.WriteString(w, "half")
			panic("oops")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				var calls atomic.Int64
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					calls.Add(1)
					time.Sleep(50 * time.Millisecond)
					tt.handler(w, r)
				})
				code := make(map[int]int)
				for _, cl := range crowd(h, 1000, "/a") {
					code[cl.code]++
					if cl.code == 0 && (cl.failure != tt.leader || cl.goexit != tt.goexit) {
						t.Errorf("a client whose handler failed saw panic %v, Goexit %v; want %v, %v", cl.failure, cl.goexit, tt.leader, tt.goexit)
					}
				}
				if calls.Load() != tt.calls || fmt.Sprint(code) != fmt.Sprint(tt.code) {
					t.Errorf("%d calls, statuses %v; want %d, %v", calls.Load(), code, tt.calls, tt.code)
				}
				// The key is not wedged, and the error is not remembered.
				before := calls.Load()
				cl := new(client)
				<-cl.ask(h, newRequest("/a"))
				if calls.Load() != before+1 {
					t.Errorf("afterwards %d calls; want one more than %d", calls.Load(), before)
				}
				idle(t, c)
			})
		})
	}
}

// A panic after the body began cuts off who reads it.
func TestFillPanicMidBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			time.Sleep(time.Second)
			panic("oops")
		})
		a, b := new(client), new(client)
		endA := a.ask(h, newRequest("/a"))
		synctest.Wait()
		endB := b.ask(h, newRequest("/a"))
		<-endA
		<-endB
		if a.failure != "oops" || b.failure != http.ErrAbortHandler || b.body.String() != "half" {
			t.Errorf("panics %v and %v, follower got %q; want oops, ErrAbortHandler, half", a.failure, b.failure, b.body.String())
		}
		idle(t, c)
	})
}

func TestFillClientsLeave(t *testing.T) {
	// The handler writes one, waits a second, writes two, waits a second. It notes when its context ended.
	type origin struct {
		calls atomic.Int64
		ended atomic.Int64 // milliseconds after the start
		head  func(http.Header)
	}
	handler := func(o *origin) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			o.calls.Add(1)
			start := time.Now()
			if o.head != nil {
				o.head(w.Header())
			}
			for _, s := range []string{"one", "two"} {
				_, _ = io.WriteString(w, s)
				w.(http.Flusher).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
					o.ended.Store(time.Since(start).Milliseconds())
					return
				}
			}
		}
	}
	private := func(h http.Header) { h.Set("Cache-Control", "private") }
	unstored := func(h http.Header) { h.Set("Trailer", "X") } // shared, and not stored
	for _, tt := range []struct {
		name    string
		head    func(http.Header)
		leaves  []time.Duration // when client i leaves; 0: it stays
		calls   int64
		ended   int64  // when the handler's context ended; 0: not before it returned
		stay    string // what those who stay get
		nothing bool   // is stored afterwards
	}{
		{name: "leader before the body", leaves: []time.Duration{1, 0, 0}, calls: 1, stay: "onetwo"},
		{name: "leader mid-body", leaves: []time.Duration{1500 * time.Millisecond, 0, 0}, calls: 1, stay: "onetwo"},
		{name: "follower", leaves: []time.Duration{0, 500 * time.Millisecond, 0}, calls: 1, stay: "onetwo"},
		{name: "all, storable", leaves: []time.Duration{1, 2, 3}, calls: 1},
		{name: "all, private", head: private, leaves: []time.Duration{500 * time.Millisecond}, calls: 1, ended: 500, nothing: true},
		{name: "all, shared but not stored", head: unstored, leaves: []time.Duration{100 * time.Millisecond, 700 * time.Millisecond, 500 * time.Millisecond}, calls: 1, ended: 700, nothing: true},
		{name: "leader, shared but not stored", head: unstored, leaves: []time.Duration{100 * time.Millisecond, 0}, calls: 1, stay: "onetwo", nothing: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				o := &origin{head: tt.head}
				h := c.Wrap(handler(o))
				var clients []*client
				var ends []<-chan struct{}
				for _, leave := range tt.leaves {
					r := newRequest("/a")
					if leave > 0 {
						ctx, cancel := context.WithTimeout(r.Context(), leave)
						defer cancel()
						r = r.WithContext(ctx)
					}
					cl := new(client)
					clients, ends = append(clients, cl), append(ends, cl.ask(h, r))
					synctest.Wait()
				}
				for i, end := range ends {
					<-end
					if tt.leaves[i] == 0 && clients[i].body.String() != tt.stay {
						t.Errorf("client %d got %q; want %q", i, clients[i].body.String(), tt.stay)
					}
				}
				idle(t, c)
				if o.calls.Load() != tt.calls || o.ended.Load() != tt.ended {
					t.Errorf("%d calls, context ended after %d ms; want %d, %d", o.calls.Load(), o.ended.Load(), tt.calls, tt.ended)
				}
				w := get(h, "/a")
				if hit := w.Header().Get("X-Cache") == "HIT"; hit == tt.nothing {
					t.Errorf("afterwards X-Cache = %q; stored: %v", w.Header().Get("X-Cache"), !tt.nothing)
				}
			})
		})
	}
}

// A follower's own deadline is its own.
func TestFollowerDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var calls atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "late")
		})
		start := time.Now()
		leader, follower := new(client), new(client)
		endLeader := leader.ask(h, newRequest("/a"))
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		<-follower.ask(h, newRequest("/a").WithContext(ctx))
		if d := time.Since(start); d != 100*time.Millisecond || follower.code != http.StatusGatewayTimeout {
			t.Errorf("follower got %d after %v; want 504 after 100ms", follower.code, d)
		}
		<-endLeader
		if leader.body.String() != "late" || calls.Load() != 1 {
			t.Errorf("leader got %q from %d calls; want late from 1", leader.body.String(), calls.Load())
		}
	})
}

// Nobody queues behind an answer that cannot be shared.
func TestFillUnshareable(t *testing.T) {
	const pause = 100 * time.Millisecond
	for _, tt := range []struct {
		name  string
		n     int
		field string // of the request, different for each
		head  string // of the response
		body  bool   // the answer is of use to one of them alone
	}{
		{name: "private", n: 50, head: "Cache-Control: private"},
		{name: "no-store", n: 50, head: "Cache-Control: no-store"},
		{name: "cookie", n: 50, head: "Set-Cookie: a=1"},
		{name: "star", n: 50, head: "Vary: *"},
		{name: "events", n: 50, head: "Content-Type: text/event-stream"},
		{name: "declared too large", n: 50, head: "Content-Length: 9000000"},
		{name: "variants", n: 20, field: "X-Lang", head: "Vary: X-Lang"},
		{name: "identified", n: 50, field: "Authorization", head: "X: y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				var calls atomic.Int64
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					calls.Add(1)
					time.Sleep(pause)
					name, value, _ := strings.Cut(tt.head, ": ")
					w.Header().Set(name, value)
					_, _ = io.WriteString(w, "for "+r.Header.Get(tt.field))
				})
				round := func() time.Duration {
					start := time.Now()
					var wg sync.WaitGroup
					for i := range tt.n {
						wg.Go(func() {
							field, value := "X-Unused", fmt.Sprint(i)
							if tt.field != "" {
								field = tt.field
							}
							w := get(h, "/a", field+": "+value)
							want := "for "
							if tt.field != "" {
								want += value
							}
							if w.Body.String() != want {
								t.Errorf("request %d got %q; want %q", i, w.Body, want)
							}
						})
					}
					wg.Wait()
					return time.Since(start)
				}
				if d := round(); d != 2*pause {
					t.Errorf("cold: %v; want %v", d, 2*pause)
				}
				if tt.name == "variants" {
					if err := c.Clear(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if d := round(); d != pause {
					t.Errorf("learned: %v; want %v", d, pause)
				}
				if n := calls.Load(); n != int64(2*tt.n) {
					t.Errorf("%d calls; want %d", n, 2*tt.n)
				}
				time.Sleep(2 * time.Minute)
				want := 2 * pause
				if tt.name == "variants" {
					want = pause // what a URL varies on is remembered for longer
				}
				if d := round(); d != want {
					t.Errorf("after two minutes: %v; want %v", d, want)
				}
			})
		})
	}
}

// One answer that can be shared forgets that the last could not.
func TestPassForgotten(t *testing.T) {
	for _, size := range []int{10, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				var private atomic.Bool
				private.Store(true)
				h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
					time.Sleep(time.Second)
					if private.Load() {
						w.Header().Set("Cache-Control", "private")
					}
					_, _ = w.Write(make([]byte, size))
				}, reprise.TTL(5*time.Second))
				get(h, "/a")
				private.Store(false)
				if w := get(h, "/a"); w.Header().Get("X-Cache") != "MISS" {
					t.Fatalf("shareable again: X-Cache = %q; want MISS", w.Header().Get("X-Cache"))
				}
				time.Sleep(10 * time.Second) // the entry is gone
				misses := 0
				for _, cl := range crowd(h, 10, "/a") {
					if cl.h.Get("X-Cache") == "MISS" {
						misses++
					}
				}
				if misses != 1 {
					t.Errorf("%d of 10 ran the handler; want 1", misses)
				}
			})
		})
	}
}

// What the handler says to one client's own precondition says nothing of what others get.
func TestPassConditional(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			w.Header().Set("Etag", `"a"`)
			http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader("text"))
		})
		for range 2 {
			if w := get(h, "/a", "If-Match: *", "Range: bytes=0-1"); w.Code != http.StatusPartialContent {
				t.Fatalf("got %d %v; want the handler's 206", w.Code, w.Header())
			}
		}
		misses := 0
		for _, cl := range crowd(h, 10, "/a") {
			if cl.h.Get("X-Cache") == "MISS" {
				misses++
			}
		}
		if misses != 1 {
			t.Errorf("%d of 10 ran the handler; want 1", misses)
		}
	})
}

// What identified requests get says nothing of what others get, and nobody waits for the other kind.
func TestPassIdentified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var calls atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			time.Sleep(100 * time.Millisecond)
			_, _ = io.WriteString(w, "for "+r.Header.Get("Authorization"))
		})
		anonymous := new(client)
		end := anonymous.ask(h, newRequest("/a"))
		synctest.Wait()
		time.Sleep(50 * time.Millisecond)
		start := time.Now()
		w := get(h, "/a", "Authorization: me")
		if d := time.Since(start); d != 100*time.Millisecond || w.Body.String() != "for me" {
			t.Errorf("identified: %q after %v; want its own after 100ms", w.Body, d)
		}
		<-end
		get(h, "/b", "Authorization: me")
		calls.Store(0)
		crowd(h, 10, "/b")
		if calls.Load() != 1 {
			t.Errorf("anonymous requests after an identified one: %d calls; want 1", calls.Load())
		}
	})
}

// HEAD answers of identified requests are nobody else's either.
func TestHeadIdentified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(100 * time.Millisecond)
			w.Header().Set("X-User", r.Header.Get("Authorization"))
		})
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				user := fmt.Sprint("user", i)
				if w := request(h, http.MethodHead, "/a", "Authorization: "+user); w.Header().Get("X-User") != user {
					t.Errorf("%s got the answer for %q", user, w.Header().Get("X-User"))
				}
			})
		}
		wg.Wait()
	})
}

// A body that drips reaches a follower when it reaches the first client.
func TestFollowerFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(50 * time.Millisecond)
			for range 10 {
				_, _ = io.WriteString(w, "drip")
				w.(http.Flusher).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		})
		start := time.Now()
		clients := crowd(h, 3, "/a")
		for i, cl := range clients {
			if d := cl.first.Sub(start); d != 50*time.Millisecond || cl.end.Sub(start) != 1050*time.Millisecond {
				t.Errorf("client %d: first byte after %v, end after %v; want 50ms, 1.05s", i, d, cl.end.Sub(start))
			}
			if got := cl.body.String(); got != strings.Repeat("drip", 10) {
				t.Errorf("client %d got %q", i, got)
			}
		}
	})
}

// A client that reads slowly is nobody else's concern.
func TestSlowClients(t *testing.T) {
	for _, slow := range []string{"leader", "follower"} {
		t.Run(slow, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				returned := make(chan time.Time, 1)
				var calls atomic.Int64
				h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
					calls.Add(1)
					defer func() { returned <- time.Now() }()
					for range 10 {
						_, _ = w.Write(make([]byte, 50_000))
						time.Sleep(100 * time.Millisecond)
					}
				})
				start := time.Now()
				stall := make(chan struct{})
				clients := []*client{{}, {}, {}}
				at := map[string]int{"leader": 0, "follower": 1}[slow]
				clients[at].stall = stall
				var ends []<-chan struct{}
				for _, cl := range clients {
					ends = append(ends, cl.ask(h, newRequest("/a")))
					synctest.Wait()
				}
				for i, end := range ends {
					if i != at {
						<-end
					}
				}
				if d := time.Since(start); d != time.Second {
					t.Errorf("the others were done after %v; want 1s", d)
				}
				if d := (<-returned).Sub(start); d != time.Second {
					t.Errorf("the handler was done after %v; want 1s", d)
				}
				synctest.Wait()
				check := get(h, "/a") // stored, though one still reads
				if check.Header().Get("X-Cache") != "HIT" || calls.Load() != 1 {
					t.Errorf("X-Cache = %q after %d calls; want HIT after 1", check.Header().Get("X-Cache"), calls.Load())
				}
				time.Sleep(time.Hour)
				close(stall)
				<-ends[at]
				if n := clients[at].body.Len(); n != 500_000 || clients[at].failure != nil {
					t.Errorf("the slow client got %d bytes and panic %v; want all", n, clients[at].failure)
				}
				idle(t, c)
			})
		})
	}
}

// An answer that is not stored goes to those who wait for it, not to those who come while a slow first client still reads it.
func TestUnstoredEndsWithItsFlight(t *testing.T) {
	for _, size := range []int{10, 50_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				var calls atomic.Int64
				h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
					calls.Add(1)
					w.WriteHeader(http.StatusNotFound)
					_, _ = w.Write(make([]byte, size))
				})
				stall := make(chan struct{})
				slow := &client{stall: stall}
				end := slow.ask(h, newRequest("/a"))
				synctest.Wait()
				for want := int64(2); want <= 3; want++ {
					if w := get(h, "/a"); w.Code != 404 || calls.Load() != want {
						t.Errorf("got %d from call %d; want 404 from call %d", w.Code, calls.Load(), want)
					}
				}
				close(stall)
				<-end
				idle(t, c)
			})
		})
	}
}

func TestFillTimeout(t *testing.T) {
	for _, tt := range []struct {
		name   string
		opts   []reprise.RouteOption
		filled bool // there is a stale answer
		code   int
		body   string
	}{
		{name: "nothing stored", code: 504, body: "Gateway Timeout\n"},
		{name: "stale", opts: []reprise.RouteOption{reprise.StaleIfError(time.Hour)}, filled: true, code: 200, body: "old"},
		{name: "stale for too long", opts: []reprise.RouteOption{reprise.StaleIfError(500 * time.Millisecond)}, filled: true, code: 504, body: "Gateway Timeout\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				var hang atomic.Bool
				var cause error
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					if !hang.Load() {
						_, _ = io.WriteString(w, "old")
						return
					}
					<-r.Context().Done()
					cause = context.Cause(r.Context())
					time.Sleep(time.Hour) // it does not care
					w.WriteHeader(http.StatusEarlyHints)
					_, _ = w.Write(make([]byte, 100_000))
					w.(http.Flusher).Flush()
					_, _, err := http.NewResponseController(w).Hijack()
					if !errors.Is(err, http.ErrNotSupported) {
						t.Errorf("Hijack() after the timeout = %v; want ErrNotSupported", err)
					}
				}, append(tt.opts, reprise.FillTimeout(time.Second), reprise.TTL(time.Second))...)
				if tt.filled {
					get(h, "/a")
					time.Sleep(time.Second)
				}
				hang.Store(true)
				start := time.Now()
				leader, follower := new(client), new(client)
				endLeader := leader.ask(h, newRequest("/a"))
				time.Sleep(300 * time.Millisecond)
				<-follower.ask(h, newRequest("/a"))
				synctest.Wait()
				for name, cl := range map[string]*client{"leader": leader, "follower": follower} {
					cl.mu.Lock()
					if d := cl.first.Sub(start); d != time.Second || cl.code != tt.code || cl.body.String() != tt.body {
						t.Errorf("%s got %d %q after %v; want %d %q after 1s", name, cl.code, cl.body.String(), d, tt.code, tt.body)
					}
					if age := cl.h.Get("Age"); tt.code == 200 && age != "2" {
						t.Errorf("%s: Age = %q; want 2", name, age)
					}
					cl.mu.Unlock()
				}
				<-endLeader
				if leader.body.String() != tt.body || leader.informed > 0 {
					t.Errorf("after the handler returned the leader has %q and %d 1xx; want %q, none", leader.body.String(), leader.informed, tt.body)
				}
				if !errors.Is(cause, context.DeadlineExceeded) || !strings.Contains(cause.Error(), "FillTimeout") {
					t.Errorf("context.Cause = %v; want one that names FillTimeout and is DeadlineExceeded", cause)
				}
				hang.Store(false)
				if w := get(h, "/a"); w.Header().Get("X-Cache") != "MISS" {
					t.Errorf("the late answer was stored: X-Cache = %q", w.Header().Get("X-Cache"))
				}
				idle(t, c)
			})
		})
	}
}

// FillTimeout says nothing to who reads already; the answer is not stored.
func TestFillTimeoutStreaming(t *testing.T) {
	for _, header := range []string{"X: y", "Cache-Control: private"} {
		t.Run(header, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					name, value, _ := strings.Cut(header, ": ")
					w.Header().Set(name, value)
					for range 5 {
						_, _ = io.WriteString(w, "drip")
						w.(http.Flusher).Flush()
						time.Sleep(time.Second)
					}
					if err := r.Context().Err(); err != nil {
						t.Errorf("the context ended: %v", context.Cause(r.Context()))
					}
				}, reprise.FillTimeout(1500*time.Millisecond))
				w := get(h, "/a")
				if w.Body.String() != strings.Repeat("drip", 5) {
					t.Errorf("got %q", w.Body)
				}
				start := time.Now()
				if get(h, "/a"); time.Since(start) != 5*time.Second {
					t.Error("it was stored")
				}
				idle(t, c)
			})
		})
	}
}

// Each fill of a route has its own time, whichever of them end before.
func TestFillTimeoutOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		h := c.WrapFunc(func(_ http.ResponseWriter, r *http.Request) {
			d, err := time.ParseDuration(strings.TrimPrefix(r.URL.Path, "/"))
			if err != nil {
				t.Error(err)
			}
			select {
			case <-r.Context().Done():
			case <-time.After(d):
			}
		}, reprise.FillTimeout(10*time.Second))
		var all sync.WaitGroup
		for i, tt := range []struct {
			asked, takes, want int // seconds since the start; of the handler; until there is an answer
			code               int
		}{
			{0, 3, 3, 200},
			{1, 99, 10, 504},
			{1, 98, 10, 504},
			{4, 6, 6, 200},
			{4, 97, 10, 504},
			{20, 5, 5, 200},
			{40, 96, 10, 504},
		} {
			all.Go(func() {
				time.Sleep(time.Duration(tt.asked) * time.Second)
				start := time.Now()
				w := get(h, fmt.Sprintf("/%ds", tt.takes))
				if took := time.Since(start).Seconds(); took != float64(tt.want) || w.Code != tt.code {
					t.Errorf("%d: status %d after %vs; want %d after %ds", i, w.Code, took, tt.code, tt.want)
				}
			})
		}
		all.Wait()
		idle(t, c)
	})
}

// The timeout, 1xx, Flush, panics and the handler's end meet in every order. Run with -race.
func TestFillTimeoutRaces(t *testing.T) {
	c := open(t, reprise.Config{})
	for i := range 300 {
		how := i % 6
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			for range i % 4 {
				runtime.Gosched()
			}
			switch how {
			case 0:
				w.WriteHeader(http.StatusEarlyHints)
			case 1:
				w.(http.Flusher).Flush()
			case 2:
				_, _, _ = http.NewResponseController(w).Hijack()
			case 3:
				panic(http.ErrAbortHandler)
			case 4:
				<-r.Context().Done()
			}
			_, _ = io.WriteString(w, "done")
		}, reprise.FillTimeout(time.Duration(i%20+1)*time.Microsecond), reprise.Namespaced(fmt.Sprint("n", i)))
		for _, cl := range crowd(h, 3, "/a") {
			if cl.failure == nil && cl.code != 200 && cl.code != 504 && cl.code != 500 {
				t.Errorf("got %d", cl.code)
			}
		}
	}
	for c.Stats().Fills != 0 {
		runtime.Gosched()
	}
	if n := c.Stats().FillBytes; n != 0 {
		t.Errorf("FillBytes = %d; want 0", n)
	}
}

// ServeHTTP does not return while FillTimeout still writes to its client.
func TestFillTimeoutIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		h := c.WrapFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, reprise.FillTimeout(time.Second))
		stall := make(chan struct{})
		cl := &client{stall: stall}
		end := cl.ask(h, newRequest("/a"))
		time.Sleep(time.Minute)
		select {
		case <-end:
			t.Error("ServeHTTP returned while its client was being answered")
		default:
		}
		close(stall)
		<-end
		if cl.code != 504 {
			t.Errorf("got %d; want 504", cl.code)
		}
	})
}

// Who asks after an invalidation does not get the rest of what was begun before it.
func TestFollowAfterInvalidation(t *testing.T) {
	for _, how := range []string{"tag", "url", "key"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				var calls atomic.Int64
				rt, err := c.NewRoute()
				if err != nil {
					t.Fatal(err)
				}
				h := rt.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = fmt.Fprintf(w, "v%d", calls.Add(1))
					w.(http.Flusher).Flush()
					time.Sleep(time.Second)
					reprise.AddTags(r.Context(), "a")
				}))
				before, same, after := new(client), new(client), new(client)
				ends := []<-chan struct{}{before.ask(h, newRequest("/a"))}
				synctest.Wait()
				ends = append(ends, same.ask(h, newRequest("/a")))
				synctest.Wait()
				key, _ := rt.Key(newRequest("/a"))
				switch how {
				case "tag":
					err = c.InvalidateTags(t.Context(), "a")
				case "url":
					err = c.InvalidateURLs(t.Context(), "/a")
				case "key":
					_, err = c.Delete(t.Context(), key)
				}
				if err != nil {
					t.Fatal(err)
				}
				ends = append(ends, after.ask(h, newRequest("/a")))
				for _, end := range ends {
					<-end
				}
				if got := before.body.String() + same.body.String() + after.body.String(); got != "v1v1v2" {
					t.Errorf("got %s; want v1v1v2", got)
				}
				check(t, get(h, "/a"), 200, "HIT", "v2")
			})
		})
	}
}
