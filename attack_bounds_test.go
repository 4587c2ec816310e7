package reprise_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store/memstore"
)

// quiet is a Config whose log goes nowhere.
func quiet() reprise.Config { return reprise.Config{Logger: slog.New(slog.DiscardHandler)} }

// TestAttackPrecondition asks for what only the handler can answer: its refusal is nobody else's answer, also where it
// states a lifetime.
func TestAttackPrecondition(t *testing.T) {
	file := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Etag", `"v1"`)
		http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader("all of the file"))
		if w.Header().Get("Content-Range") != "" && r.Header.Get("Range") == "bytes=999-" {
			w.Header().Set("Cache-Control", "public, max-age=60") // net/http takes it away
		}
	})
	for _, attack := range []string{
		`GET /a.txt | If-Match: "other"`,
		"GET /a.txt | If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT",
		`GET /a.txt | If-Match: "v1" | Range: bytes=999-`,
		`GET /a.txt | If-Match: "v1" | If-None-Match: "v1"`,
		"GET /a.txt | Cookie: a=1 | Range: bytes=999-",
		"GET /a.txt | Cookie: a=1 | Range: bytes=0-0",
		`GET /a.txt | Cookie: a=1 | If-None-Match: "v1"`,
		"GET /a.txt | Range: bytes=999-",
		"GET /a.txt | Range: bytes=0-0",
		`GET /a.txt | If-None-Match: "v1"`,
	} {
		h := open(t, quiet()).Wrap(file)
		bare := serve(file, raw(t, attack))
		if w := serve(h, raw(t, attack)); w.Code != bare.Code {
			t.Errorf("%s: status %d; want %d as without the cache", attack, w.Code, bare.Code)
		}
		if w := serve(h, raw(t, "GET /a.txt")); w.Code != 200 || w.Body.String() != "all of the file" {
			t.Errorf("after %s: got %d %q", attack, w.Code, w.Body)
		}
	}
}

// TestAttackAmplification sends small requests that want a lot of work or of answer.
func TestAttackAmplification(t *testing.T) {
	const size = 64 << 10
	body := bytes.Repeat([]byte("x"), size)
	h := open(t, reprise.Config{}).WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Etag", `"v1"`)
		_, _ = w.Write(body)
	})
	for _, tt := range []struct {
		name, fields string
		code         int
	}{
		{"1000 ranges", "Range: bytes=" + strings.Repeat("0-,", 999) + "0-", 200},
		{"9 ranges", "Range: bytes=" + strings.Repeat("0-,", 8) + "0-", 200},
		{"8 ranges that overlap", "Range: bytes=" + strings.Repeat("0-,", 7) + "0-", 200}, // net/http sees that they are more than all
		{"many lines of ranges", strings.Repeat("Range: bytes=0-1 | ", 100) + "Range: bytes=0-1", 200},
		{"overflow", "Range: bytes=0-99999999999999999999", 416},
		{"backwards", "Range: bytes=9-1", 416},
		{"behind the end", "Range: bytes=99999999-", 416},
		{"another unit", "Range: pages=1-2", 416},
		{"100,000 entity tags", "If-None-Match: " + strings.Repeat(`"x",`, 100_000) + `"y"`, 200},
		{"one of many entity tags", "If-None-Match: " + strings.Repeat(`"x",`, 1000) + `W/"v1"`, 304},
		{"an entity tag of 1 MB", `If-None-Match: "` + strings.Repeat("x", 1<<20) + `"`, 200},
		{"open quotes", "If-None-Match: " + strings.Repeat(`"`, 100_001), 200},
		{"1 MB of directives", "Cache-Control: " + strings.Repeat("max-stale=1,", 90_000) + "x", 200},
		{"1 MB of Accept-Encoding", "Accept-Encoding: " + strings.Repeat("gzip;q=0.5,", 90_000), 200},
		{"1 MB of Connection", "Connection: " + strings.Repeat("a,", 500_000), 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for range 2 { // cold or not, and then from the store
				w := serve(h, raw(t, "GET /a | "+tt.fields))
				if w.Code != tt.code || w.Body.Len() > size+1024 {
					t.Errorf("got %d with %d bytes; want %d", w.Code, w.Body.Len(), tt.code)
				}
			}
			if w := serve(h, raw(t, "GET /a")); w.Code != 200 || !bytes.Equal(w.Body.Bytes(), body) {
				t.Errorf("afterwards: %d with %d bytes", w.Code, w.Body.Len())
			}
		})
	}
}

// TestAttackVariants sends values without end for fields that the answers vary on.
func TestAttackVariants(t *testing.T) {
	for name, opts := range map[string][]reprise.RouteOption{"learned": nil, "declared too": {reprise.Vary("X-A")}} {
		t.Run(name, func(t *testing.T) {
			c := open(t, reprise.Config{})
			h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Vary", "User-Agent")
				_, _ = io.WriteString(w, "for "+r.UserAgent())
			}, opts...)
			for i := range 500 {
				agent := strings.Repeat("x", i) + strconv.Itoa(i)
				for range 2 {
					if got := serve(h, raw(t, "GET /a | User-Agent: "+agent)).Body.String(); got != "for "+agent {
						t.Fatalf("got %q for %s", got, agent)
					}
				}
			}
			if n := c.Stats().Entries; n > 65 {
				t.Errorf("%d entries; want 64 variants and what they vary on", n)
			}
		})
	}
	t.Run("too many fields", func(t *testing.T) {
		var n atomic.Int64
		h := open(t, reprise.Config{}).WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			for i := range 17 {
				w.Header().Add("Vary", "X-"+strconv.Itoa(i))
			}
			n.Add(1)
		})
		serve(h, raw(t, "GET /a"))
		if serve(h, raw(t, "GET /a")); n.Load() != 2 {
			t.Errorf("%d calls; an answer that varies on 17 fields is not stored", n.Load())
		}
	})
}

// TestAttackDeception asks for a page of a user's under a name that looks static (web cache deception).
func TestAttackDeception(t *testing.T) {
	h := open(t, quiet()).WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/account") {
			_, _ = io.WriteString(w, "secret of "+r.Header.Get("Cookie"))
		}
	})
	for _, path := range []string{
		"/account/x.css", "/account;x.css", "/account%2Fx.js", "/account%3Fx.png", "/account%00.css", "/account/%2e%2e/static/a.css",
		"/account/../static/a.css", "/account.css", "/account%23.css", "//account/..%2faccount/a.css", "/account/robots.txt",
	} {
		serve(h, raw(t, "GET "+path+" | Cookie: session=victim"))
		if got := serve(h, raw(t, "GET "+path)).Body.String(); strings.Contains(got, "victim") {
			t.Errorf("%s gave the attacker %q", path, got)
		}
	}
}

// TestAttackFraming lets handlers break off: nobody who comes later gets the part, and nobody takes it for the whole.
func TestAttackFraming(t *testing.T) {
	for name, breakOff := range map[string]http.HandlerFunc{
		"short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "part")
		},
		"short and flushed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "part")
			_ = http.NewResponseController(w).Flush()
		},
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "2")
			_, _ = io.WriteString(w, "part")
		},
		"panic before": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"panic": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "part")
			panic(http.ErrAbortHandler)
		},
		"panic when flushed": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "part")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
		"panic late": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 100<<10))
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			h := open(t, quiet()).WrapFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				if n.Add(1) == 1 {
					breakOff(w, r)
					return
				}
				_, _ = io.WriteString(w, "whole")
			})
			srv := httptest.NewServer(h)
			defer srv.Close()
			ask := func() (string, error) {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := srv.Client().Do(req)
				if err != nil {
					return "", err
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				return string(b), err
			}
			if body, err := ask(); err == nil && body != "pa" && body != "" { // "too long" may send what was declared
				t.Errorf("the first client got %q and no error", body)
			}
			for range 2 {
				if body, err := ask(); err != nil || body != "whole" {
					t.Errorf("got %q, %v", body, err)
				}
			}
		})
	}
}

// TestAttackCallbacks lets the functions of options fail: the handler answers, nothing is stored, and an event says so.
func TestAttackCallbacks(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		name   string
		opt    reprise.RouteOption
		reason reprise.Reason
		err    string
	}{
		{"Key/panics", reprise.Key(func(*reprise.KeyBuilder, *http.Request) { panic("boom") }), reprise.ReasonKeyFailed, "boom"},
		{"Key/fails", reprise.Key(func(b *reprise.KeyBuilder, _ *http.Request) { b.Text("a"); b.Fail(boom) }), reprise.ReasonKeyFailed, "boom"},
		{"Key/adds nothing", reprise.Key(func(*reprise.KeyBuilder, *http.Request) {}), reprise.ReasonKeyFailed, "nothing"},
		{"Key/nil pointer", reprise.Key(func(b *reprise.KeyBuilder, r *http.Request) { b.Text(r.Response.Status) }), reprise.ReasonKeyFailed, "nil pointer"},
		{"PerUser/panics", reprise.PerUser(func(*http.Request) (string, error) { panic("boom") }), reprise.ReasonNoUser, "boom"},
		{"PerUser/fails", reprise.PerUser(func(*http.Request) (string, error) { return "x", boom }), reprise.ReasonNoUser, "boom"},
		{"PerUser/nobody", reprise.PerUser(func(*http.Request) (string, error) { return "", nil }), reprise.ReasonNoUser, ""},
		{"SkipIf/panics", reprise.SkipIf(func(*http.Request) bool { panic("boom") }), reprise.ReasonSkipped, "boom"},
		{"Scheme/panics", reprise.Scheme(func(*http.Request) string { panic("boom") }), reprise.ReasonKeyFailed, "scheme"},
		{"Scheme/other", reprise.Scheme(func(*http.Request) string { return "gopher" }), reprise.ReasonKeyFailed, "scheme"},
		{"TTLFunc/panics", reprise.TTLFunc(func(int, http.Header) time.Duration { panic("boom") }), reprise.ReasonCallbackPanic, ""},
		{"TagsFunc/panics", reprise.TagsFunc(func(*http.Request) []string { panic("boom") }), reprise.ReasonCallbackPanic, ""},
		{"Storable/panics", reprise.Storable(func(*http.Request, int, http.Header) bool { panic("boom") }), reprise.ReasonCallbackPanic, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := quiet()
			var events []reprise.Event
			cfg.Observe = func(_ context.Context, e reprise.Event) { events = append(events, e) }
			c := open(t, cfg)
			var n atomic.Int64
			h := c.Wrap(counted(&n), tt.opt)
			for i := range 3 {
				if w := serve(h, raw(t, "GET /a")); w.Code != 200 || w.Body.String() != fmt.Sprintf("v%d", i+1) {
					t.Errorf("got %d %q", w.Code, w.Body)
				}
			}
			if entries := c.Stats().Entries; entries != 0 {
				t.Errorf("%d entries; want none", entries)
			}
			for _, e := range events {
				if e.Reason != tt.reason || e.Status != 0 && e.Status != 200 {
					t.Errorf("event %+v; want reason %s", e, tt.reason)
				}
				if text := fmt.Sprint(e.Err); tt.err != "" && !strings.Contains(text, tt.err) || tt.err == "" && e.Err != nil {
					t.Errorf("event with error %v; want %q", e.Err, tt.err)
				}
			}
			if len(events) != 3 {
				t.Errorf("%d events; want 3", len(events))
			}
		})
	}
}

// TestAttackPurge shows that no method means more than it means to the handler.
func TestAttackPurge(t *testing.T) {
	for _, method := range []string{"PURGE", "BAN", "REFRESH", "DELETE", "POST", "X-UNKNOWN"} {
		var n atomic.Int64
		c := open(t, reprise.Config{})
		mux := http.NewServeMux()
		mux.Handle("/a", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet && r.Header.Get("X-May-Write") == "" {
				http.Error(w, "no", http.StatusMethodNotAllowed)
				return
			}
			counted(&n)(w, r)
		}))
		h := c.Wrap(mux)
		check(t, serve(h, raw(t, "GET /a")), 200, "MISS", "v1")
		if w := serve(h, raw(t, method+" /a")); w.Code != 405 {
			t.Errorf("%s: status %d", method, w.Code)
		}
		check(t, serve(h, raw(t, "GET /a")), 200, "HIT", "v1") // refused: nothing happened (RFC 9111 §4.4)
		serve(h, raw(t, method+" /a | X-May-Write: 1"))
		check(t, serve(h, raw(t, "GET /a")), 200, "MISS", "v3")
		// What it names beside its own URL has to be of the same origin.
		other := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "http://other.test/a")
			w.Header().Add("Content-Location", "//shop.test:8080/a")
			w.WriteHeader(http.StatusCreated)
		})
		serve(other, raw(t, method+" /b"))
		check(t, serve(h, raw(t, "GET /a")), 200, "HIT", "v3")
	}
}

// TestAttackDirectives floods a route with requests that forbid the store to answer.
func TestAttackDirectives(t *testing.T) {
	for _, directive := range []string{
		"no-cache", "max-age=0", "min-fresh=99999999999999999999", "NO-CACHE", `no-cache="x"`, "max-stale=0, max-age=0", "no-store", "no-transform, no-cache",
	} {
		for name, opts := range map[string][]reprise.RouteOption{"": nil, "/ignored": {reprise.IgnoreRequestDirectives()}} {
			t.Run(directive+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := open(t, reprise.Config{})
					var n atomic.Int64
					h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
						time.Sleep(50 * time.Millisecond)
						counted(&n)(w, r)
					}, opts...)
					check(t, serve(h, raw(t, "GET /a")), 200, "MISS", "v1")
					var wg sync.WaitGroup
					for range 100 {
						wg.Go(func() {
							if w := serve(h, raw(t, "GET /a | Cache-Control: "+directive)); w.Code != 200 {
								t.Errorf("status %d", w.Code)
							}
						})
					}
					wg.Wait()
					want := int64(2) // one for all of them
					switch {
					case opts != nil:
						want = 1
					case directive == "no-store":
						want = 101 // theirs cannot be shared, and the store keeps what it has
					}
					if n.Load() != want {
						t.Errorf("%d calls of the handler; want %d", n.Load(), want)
					}
					if w := serve(h, raw(t, "GET /a")); w.Header().Get("X-Cache") != "HIT" {
						t.Errorf("afterwards: %v", w.Header())
					}
					if w := serve(h, raw(t, "GET /b | Cache-Control: only-if-cached")); opts == nil && w.Code != http.StatusGatewayTimeout {
						t.Errorf("only-if-cached: status %d; want 504 (RFC 9111 §5.2.1.7)", w.Code)
					}
				})
			})
		}
	}
}

// TestAttackMemory asks for ever new URLs: what the cache remembers beside its store is bounded.
func TestAttackMemory(t *testing.T) {
	if raceDetector {
		t.Skip("measures memory, which the race detector takes for itself")
	}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		again   bool // ask each URL twice
		opts    []reprise.RouteOption
	}{
		{
			name:    "answers that cannot be shared",
			handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "private") },
		},
		{
			name:    "answers that vary",
			handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Vary", "Accept") },
		},
		{
			name: "refreshes that fail",
			handler: func(w http.ResponseWriter, r *http.Request) {
				if r.Context().Value(http.ServerContextKey) != nil {
					w.WriteHeader(http.StatusInternalServerError)
				}
			},
			again: true,
			opts:  []reprise.RouteOption{reprise.TTLFunc(func(int, http.Header) time.Duration { return 1 }), reprise.StaleWhileRevalidate(time.Hour)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := memstore.New(memstore.Config{MaxBytes: 256 << 10})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			cfg := quiet()
			cfg.Store = m
			c := open(t, cfg)
			h := c.Wrap(tt.handler, tt.opts...)
			i := 0
			flood := func(n int) (heap uint64) {
				done := func(k int) bool { return k >= n }
				if tt.again { // on a slow machine some are evicted before they are refreshed, or find too many under way
					before := c.Stats().Refreshes
					done = func(k int) bool { return c.Stats().Refreshes-before >= uint64(n) || k >= 10*n }
				}
				for k := 0; !done(k); k++ {
					i++
					serve(h, raw(t, "GET /"+strconv.Itoa(i)))
					if tt.again {
						r := raw(t, "GET /"+strconv.Itoa(i))
						serve(h, r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{})))
					}
				}
				runtime.GC()
				runtime.GC()
				var s runtime.MemStats
				runtime.ReadMemStats(&s)
				return s.HeapAlloc
			}
			before := flood(11_000)
			after := flood(15_000)
			if n := c.Stats().Refreshes; tt.again && n < 11_000 {
				t.Errorf("%d refreshes; want so many that the table of failures overflows", n)
			}
			if grown := int64(after) - int64(before); grown > 1<<20 {
				t.Errorf("15,000 more URLs took %d bytes; want a bound", grown)
			}
		})
	}
}
