package reprise_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
)

// Only a whole body is stored, and nobody takes a part of it for the whole.
func TestDeclaredLength(t *testing.T) {
	for _, size := range []int{10, 50_000} {
		for _, tt := range []struct {
			name     string
			declared int
			stored   bool
			follower any // what it panics with
			calls    int64
		}{
			{"exact", size, true, nil, 1},
			{"short", size + 1, false, http.ErrAbortHandler, 2},
			{"long", size - 1, false, nil, 2},
		} {
			t.Run(fmt.Sprint(tt.name, size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := open(t, reprise.Config{})
					var calls atomic.Int64
					h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
						calls.Add(1)
						time.Sleep(time.Second)
						w.Header().Set("Content-Length", fmt.Sprint(tt.declared))
						n, err := w.Write(make([]byte, size-1))
						if n != size-1 || err != nil {
							t.Errorf("Write() = %d, %v", n, err)
						}
						if _, err = w.Write([]byte{1}); (err == http.ErrContentLength) != (tt.declared < size) {
							t.Errorf("Write() beyond the length = %v", err)
						}
					})
					for i, cl := range crowd(h, 3, "/a") {
						if n := cl.body.Len(); n != min(size, tt.declared) {
							t.Errorf("client %d got %d bytes; want %d", i, n, min(size, tt.declared))
						}
						if cl.h.Get("Content-Length") != fmt.Sprint(tt.declared) && tt.name == "short" {
							t.Errorf("client %d: Content-Length = %q; want %d", i, cl.h.Get("Content-Length"), tt.declared)
						}
						if cl.failure != nil && cl.failure != tt.follower {
							t.Errorf("client %d: panic %v; want %v or none", i, cl.failure, tt.follower)
						}
						if cl.failure == nil && cl.h.Get("X-Cache") == "" && strings.Contains(cl.h.Get("Cache-Status"), "collapsed") && tt.follower != nil {
							t.Errorf("client %d, a follower, took a part for the whole", i)
						}
					}
					if hit := get(h, "/a").Header().Get("X-Cache") == "HIT"; hit != tt.stored {
						t.Errorf("stored = %v; want %v", hit, tt.stored)
					}
					if calls.Load() != tt.calls {
						t.Errorf("%d calls; want %d", calls.Load(), tt.calls)
					}
					idle(t, c)
				})
			})
		}
	}
}

// A body that outgrows MaxBody unannounced goes through: memory stays near the window, the handler keeps pace with the
// fastest, who lags too far behind is cut off.
func TestWindow(t *testing.T) {
	const (
		window = 1 << 20
		total  = 20 * window
		slack  = 100 << 10
	)
	for _, tt := range []struct {
		name   string
		limits reprise.Limits
		opts   []reprise.RouteOption
		window int64
	}{
		{name: "MaxBody", opts: []reprise.RouteOption{reprise.MaxBody(window)}, window: window},
		{name: "budget", limits: reprise.Limits{FillBytes: window}, opts: []reprise.RouteOption{reprise.MaxBody(2 * total)}, window: window},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{Limits: tt.limits})
				var most atomic.Int64
				h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
					time.Sleep(time.Second)
					piece := make([]byte, 100_000)
					for n := 0; n < total; n += len(piece) {
						if _, err := w.Write(piece); err != nil {
							t.Errorf("Write() = %v", err)
							return
						}
						most.Store(max(most.Load(), c.Stats().FillBytes))
						if n == 0 {
							time.Sleep(time.Second) // every follower begins to read: one that comes later asks on its own
						}
					}
				}, tt.opts...)
				stall := make(chan struct{})
				slowLeader, slow, fast := &client{stall: stall}, &client{stall: stall}, new(client)
				var ends []<-chan struct{}
				for _, cl := range []*client{slowLeader, slow, fast} {
					ends = append(ends, cl.ask(h, newRequest("/a")))
					synctest.Wait()
				}
				<-ends[2]
				if n := fast.body.Len(); n < total || fast.failure != nil {
					t.Errorf("the fast client got %d bytes and panic %v; want all", n, fast.failure)
				}
				if got := most.Load(); got > tt.window+slack || got < tt.window/2 {
					t.Errorf("at most %d bytes were held; want about %d", got, tt.window)
				}
				synctest.Wait()
				close(stall)
				for i, cl := range []*client{slowLeader, slow} {
					<-ends[i]
					if cl.failure != http.ErrAbortHandler {
						t.Errorf("slow client %d: panic %v with %d bytes; want ErrAbortHandler", i, cl.failure, cl.body.Len())
					}
				}
				idle(t, c)
				if w := get(h, "/a"); w.Header().Get("X-Cache") == "HIT" {
					t.Error("it was stored")
				}
			})
		})
	}
}

// The handler of a body that is not stored waits for the fastest of its readers, and for none that has left.
func TestKeepPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var written atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				n, _ := w.Write(make([]byte, 100_000))
				written.Add(int64(n))
			}
		}, reprise.MaxBody(1<<20))
		stall := make(chan struct{})
		slow := &client{stall: stall}
		end := slow.ask(h, newRequest("/a"))
		time.Sleep(time.Hour)
		if n := written.Load(); n > 2<<20 {
			t.Errorf("the handler wrote %d bytes that nobody reads", n)
		}
		close(stall)
		<-end
		if n := slow.body.Len(); n != 10_000_000 || slow.failure != nil {
			t.Errorf("got %d bytes, panic %v; want all", n, slow.failure)
		}
		idle(t, c)
	})
}

// A write larger than any window is no way around it.
func TestOneLargeWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var most int64
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			stop := make(chan struct{})
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						most = max(most, c.Stats().FillBytes)
					}
				}
			}()
			_, _ = w.Write(make([]byte, 32<<20))
			close(stop)
			<-stopped
		}, reprise.MaxBody(1<<20))
		cl := &slowly{client: new(client)}
		cl.h = make(http.Header)
		h.ServeHTTP(cl, newRequest("/a"))
		if n := cl.body.Len(); n != 32<<20 {
			t.Errorf("got %d bytes", n)
		}
		if most > 1<<20+100<<10 || most == 0 {
			t.Errorf("at most %d bytes were held; want about a window", most)
		}
		idle(t, c)
	})
}

// slowly takes a millisecond for each Write.
type slowly struct{ *client }

func (s *slowly) Write(p []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.client.Write(p)
}

// What a handler does with its buffer and its fields after it has handed them over changes nothing.
func TestOwnership(t *testing.T) {
	for _, size := range []int{100, 60_000} {
		for _, flush := range []bool{false, true} {
			t.Run(fmt.Sprint(size, flush), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := open(t, reprise.Config{})
					var leaked http.Header
					buf := make([]byte, size)
					h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
						leaked = w.Header()
						lines := []string{"one", "two"}
						leaked["X-Lines"] = lines
						leaked["Content-Type"] = []string{"text/plain"}
						for i := range buf {
							buf[i] = 'a'
						}
						w.WriteHeader(200)
						lines[0] = "changed"
						leaked.Set("X-Late", "yes")
						_, _ = w.Write(buf)
						for i := range buf {
							buf[i] = 'b'
						}
						if flush {
							w.(http.Flusher).Flush()
						}
						time.Sleep(time.Second)
					})
					want := strings.Repeat("a", size)
					compare := func(who string, h http.Header, body string) {
						t.Helper()
						if body != want {
							t.Errorf("%s got another body: %.20q", who, body)
						}
						if got := fmt.Sprint(h["X-Lines"], h["X-Late"]); got != "[one two] []" {
							t.Errorf("%s: X-Lines, X-Late = %s", who, got)
						}
					}
					for i, cl := range crowd(h, 3, "/a") {
						compare(fmt.Sprint("client ", i), cl.h, cl.body.String())
						for _, lines := range cl.h { // an outer middleware may do that
							for j := range lines {
								lines[j] = "scribble"
							}
						}
					}
					for _, lines := range leaked {
						for j := range lines {
							lines[j] = "scribble"
						}
					}
					for range 2 {
						w := get(h, "/a")
						compare("a hit", w.Header(), w.Body.String())
						if w.Header().Get("X-Cache") != "HIT" {
							t.Errorf("X-Cache = %q", w.Header().Get("X-Cache"))
						}
						for _, lines := range w.Header() {
							for j := range lines {
								lines[j] = "scribble"
							}
						}
					}
				})
			})
		}
	}
}

// Buffers that come back to the pool while others still read what was in them would show here.
func TestPooledBuffers(t *testing.T) {
	c := open(t, reprise.Config{})
	h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			_, _ = io.WriteString(w, strings.Repeat(r.URL.Path[1:], 4000))
		}
		if r.URL.Path[1] >= 'n' {
			w.(http.Flusher).Flush()
		}
		_, _ = io.WriteString(w, strings.Repeat(r.URL.Path[1:], 4000))
	})
	for i := range 26 * 8 {
		name := string(rune('a' + i%26))
		if w := get(h, "/"+name); w.Body.String() != strings.Repeat(name, 16_000) {
			t.Fatalf("%s, round %d: another body", name, i/26)
		}
	}
}

// An outer middleware may set fields before, and change what it got after.
func TestOuterMiddleware(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		n := 0
		inner := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			if h.Get("X-Id") == "" {
				t.Error("the handler does not see what was set before")
			}
			h.Del("X-Powered-By")
			h.Add("Vary", "Accept-Language")
			h.Add("Link", "<b>")
			_, _ = io.WriteString(w, "body")
		})
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n++
			h := w.Header()
			h.Set("X-Id", fmt.Sprint(n))
			h.Set("X-Powered-By", "coffee")
			h.Add("Vary", "Origin")
			h.Add("Link", "<a>")
			if n > 1 {
				h.Add("Set-Cookie", fmt.Sprint("seen=", n))
			}
			inner.ServeHTTP(w, r)
			for _, lines := range h {
				for i := range lines {
					lines[i] = "scribble"
				}
			}
		})
		for i, want := range []string{
			"X-Cache MISS X-Id 1 Vary [Origin Accept-Language] Link [<a> <b>] Set-Cookie []",
			"X-Cache HIT X-Id 2 Vary [Origin Accept-Language] Link [<a> <b>] Set-Cookie [seen=2]",
			"X-Cache HIT X-Id 3 Vary [Origin Accept-Language] Link [<a> <b>] Set-Cookie [seen=3]",
		} {
			seen := &recording{client: new(client)}
			seen.h = make(http.Header)
			h.ServeHTTP(seen, newRequest("/a"))
			got := seen.sent
			if s := fmt.Sprintf("X-Cache %s X-Id %s Vary %v Link %v Set-Cookie %v",
				got.Get("X-Cache"), got.Get("X-Id"), got["Vary"], got["Link"], got["Set-Cookie"]); s != want {
				t.Errorf("answer %d:\n%s; want\n%s", i+1, s, want)
			}
			if i == 0 && got.Get("X-Powered-By") != "" {
				t.Error("what the handler deleted was sent")
			}
		}
	})
}

// recording notes the fields as they were sent.
type recording struct {
	*client
	sent http.Header
}

func (r *recording) WriteHeader(code int) {
	if r.sent == nil && code >= 200 {
		r.sent = r.h.Clone()
	}
	r.client.WriteHeader(code)
}

func (r *recording) Write(p []byte) (int, error) {
	r.WriteHeader(200)
	return r.client.Write(p)
}

// Who follows a growing body keeps what its own outer middleware has set, and gets nothing of what the first client's did.
func TestOuterMiddlewareOfFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		n := 0
		inner := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Add("Vary", "Accept-Language")
			_, _ = io.WriteString(w, "one")
			w.(http.Flusher).Flush()
			time.Sleep(time.Second)
		})
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n++
			w.Header().Set("X-Id", fmt.Sprint(n))
			w.Header().Add("Vary", "Origin")
			if n == 1 {
				w.Header().Set("X-First", "yes")
			}
			inner.ServeHTTP(w, r)
		})
		var clients []*client
		var ends []<-chan struct{}
		for range 3 {
			cl := new(client)
			clients, ends = append(clients, cl), append(ends, cl.ask(h, newRequest("/a")))
			synctest.Wait()
		}
		for i, end := range ends {
			<-end
			got := fmt.Sprint(clients[i].h["X-Id"], clients[i].h["X-First"], clients[i].h["Vary"])
			want := fmt.Sprintf("[%d] [] [Origin Accept-Language]", i+1)
			if i == 0 {
				want = "[1] [yes] [Origin Accept-Language]"
			}
			if got != want {
				t.Errorf("client %d: %s; want %s", i, got, want)
			}
		}
	})
}

// Also while the body is still on its way an outer middleware may change the fields that it was given.
func TestScribblingMiddleware(t *testing.T) {
	for _, size := range []int{100, 60_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("X-Line", "one")
					_, _ = w.Write(make([]byte, size))
					time.Sleep(time.Second)
				})
				first := &scribbler{client: new(client)}
				first.h = make(http.Header)
				done := make(chan struct{})
				go func() {
					defer close(done)
					h.ServeHTTP(first, newRequest("/a"))
				}()
				synctest.Wait()
				follower := new(client)
				<-follower.ask(h, newRequest("/a"))
				<-done
				for who, got := range map[string]string{"a follower": follower.h.Get("X-Line"), "a hit": get(h, "/a").Header().Get("X-Line")} {
					if got != "one" {
						t.Errorf("%s: X-Line = %q; want one", who, got)
					}
				}
			})
		})
	}
}

// scribbler changes the lines of all fields once they are sent.
type scribbler struct{ *client }

func (s *scribbler) WriteHeader(code int) {
	for _, lines := range s.h {
		for i := range lines {
			lines[i] = "scribble"
		}
	}
	s.client.WriteHeader(code)
}

func (s *scribbler) Write(p []byte) (int, error) {
	s.WriteHeader(200)
	return s.client.Write(p)
}
