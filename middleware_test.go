package reprise_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

type middleware = func(http.Handler) http.Handler

// chained is what alice, chi and negroni come down to.
func chained(h http.Handler, mw ...middleware) http.Handler {
	for _, m := range slices.Backward(mw) {
		h = m(h)
	}
	return h
}

// TestServeMux holds what a handler sees behind a pattern, on a miss and in a background refresh.
func TestServeMux(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var n atomic.Int64
		mux := http.NewServeMux()
		mux.Handle("GET shop.test/{kind}/{id...}", c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s by %s, v%d", r.PathValue("kind"), r.PathValue("id"), r.Pattern, n.Add(1))
		}, reprise.StaleWhileRevalidate(time.Hour)))

		const pattern = "GET shop.test/{kind}/{id...}"
		check(t, serve(mux, raw(t, "GET /books/1/2")), 200, "MISS", "books 1/2 by "+pattern+", v1")
		check(t, serve(mux, raw(t, "GET /books/3")), 200, "MISS", "books 3 by "+pattern+", v2")
		check(t, serve(mux, raw(t, "HEAD /books/3")), 200, "HIT", "")
		if w := serve(mux, raw(t, "POST /books/3")); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST: %d", w.Code)
		}
		time.Sleep(61 * time.Second)
		check(t, serve(mux, raw(t, "GET /books/1/2")), 200, "HIT", "books 1/2 by "+pattern+", v1")
		synctest.Wait() // the refresh
		check(t, serve(mux, raw(t, "GET /books/1/2")), 200, "HIT", "books 1/2 by "+pattern+", v3")
	})
}

// TestWrappedMux caches what a whole mux answers, its own redirects and errors among it.
func TestWrappedMux(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /a/{id}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "a "+r.PathValue("id")) })
	h := open(t, reprise.Config{}).Wrap(mux)
	for _, xcache := range []string{"MISS", "HIT"} {
		check(t, serve(h, raw(t, "GET /a/1")), 200, xcache, "a 1")
	}
	for range 2 {
		check(t, serve(h, raw(t, "GET /b")), 404, "", "404 page not found\n")
	}
	for range 2 {
		bare, w := serve(mux, raw(t, "GET //a/1")), serve(h, raw(t, "GET //a/1"))
		if w.Code != bare.Code || w.Header().Get("Location") != bare.Header().Get("Location") {
			t.Errorf("redirect: got %d to %s; want %d to %s", w.Code, w.Header().Get("Location"), bare.Code, bare.Header().Get("Location"))
		}
	}
}

// TestChain holds the order of a chain: what is outside the cache runs on every request, what is inside on misses.
func TestChain(t *testing.T) {
	c := open(t, reprise.Config{})
	var outside, before, inside atomic.Int64
	counting := func(n *atomic.Int64, field string) middleware {
		return func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(field, fmt.Sprint(n.Add(1)))
				next.ServeHTTP(w, r)
			})
		}
	}
	h := chained(http.HandlerFunc(mirror),
		counting(&outside, "X-Outside"),
		c.Middleware(reprise.Before(counting(&before, "X-Before"))),
		counting(&inside, "X-Inside"),
	)
	for i := range 3 {
		w := serve(h, raw(t, "GET /a"))
		got := w.Header().Get("X-Outside") + " " + w.Header().Get("X-Before") + " " + w.Header().Get("X-Inside")
		if want := fmt.Sprintf("%d %d 1", i+1, i+1); got != want {
			t.Errorf("request %d: %s; want %s", i, got, want)
		}
	}
}

// TestWrappedTwice wraps a mux and a handler behind it, which have one key: the outer cache makes the answer, and the inner one stands
// in nobody's way, in no store and at no moment of an entry's life.
func TestWrappedTwice(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var n atomic.Int64
		var down atomic.Bool
		old := []reprise.RouteOption{reprise.StaleWhileRevalidate(20 * time.Second), reprise.StaleIfError(time.Hour)}
		mux := http.NewServeMux()
		mux.Handle("GET /a", c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			if down.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			counted(&n)(w, r)
		}, append(old, reprise.Public())...))
		h := c.Wrap(mux, old...)

		began := time.Now()
		for _, cl := range crowd(h, 3, "/a") {
			if cl.code != 200 || cl.body.String() != "v1" || cl.end.Sub(began) != time.Second {
				t.Errorf("got %d %q after %v; want v1 after 1s", cl.code, &cl.body, cl.end.Sub(began))
			}
		}
		synctest.Wait() // for the write to a store outside
		check(t, get(h, "/a"), 200, "HIT", "v1")
		check(t, get(h, "/a", "Authorization: x"), 200, "HIT", "v1") // the inner one's to give

		time.Sleep(65 * time.Second)
		check(t, get(h, "/a"), 200, "HIT", "v1")
		time.Sleep(2 * time.Second)
		check(t, get(h, "/a"), 200, "HIT", "v2") // refreshed
		time.Sleep(90 * time.Second)
		down.Store(true)
		check(t, get(h, "/a"), 200, "HIT", "v2") // instead of the error
		down.Store(false)
		check(t, get(h, "/a"), 200, "MISS", "v3")
	})
}

// TestInsideTwice holds that what a handler says from inside reaches every cache that its answer goes through, whatever the inner one
// does, and no answer that is only made of it.
func TestInsideTwice(t *testing.T) {
	unwraps := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(unwrapper{w}, r)
		})
	}
	for _, tt := range []struct {
		name  string
		inner []reprise.RouteOption
	}{
		{"same key", nil},
		{"another key", []reprise.RouteOption{reprise.Namespaced("inner")}},
		{"off", []reprise.RouteOption{reprise.Off()}},
		{"skipped", []reprise.RouteOption{reprise.SkipIf(func(*http.Request) bool { return true })}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				var n atomic.Int64
				inner := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					switch r.URL.Path {
					case "/no-store":
						reprise.NoStore(r.Context())
					case "/ttl":
						reprise.SetTTL(r.Context(), 5*time.Second)
					}
					counted(&n)(w, r)
				}, tt.inner...)
				h := c.Wrap(unwraps(inner))

				check(t, get(h, "/no-store"), 200, "", "v1")
				check(t, get(h, "/no-store"), 200, "", "v2")
				check(t, get(h, "/ttl"), 200, "MISS", "v3")
				time.Sleep(4 * time.Second)
				check(t, get(h, "/ttl"), 200, "HIT", "v3")
				time.Sleep(2 * time.Second)
				check(t, get(h, "/ttl"), 200, "MISS", "v4")

				page := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					part := httptest.NewRecorder()
					inner.ServeHTTP(part, newRequest("/no-store").WithContext(r.Context()))
					_, _ = io.WriteString(w, "page with "+part.Body.String())
				})
				check(t, get(page, "/page"), 200, "MISS", "page with v5")
				check(t, get(page, "/page"), 200, "HIT", "page with v5")
			})
		})
	}
}

// What a route for each user answers, or is a part of, is no other user's, though the cache around it does not know of users.
func TestPerUserInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		user := func(r *http.Request) (string, error) { return r.Header.Get("X-User"), nil }
		hello := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "hello "+r.Header.Get("X-User"))
		})
		inner := c.Wrap(hello, reprise.PerUser(user))
		off := c.Wrap(hello, reprise.PerUser(user), reprise.Off())
		rt, err := c.NewRoute(reprise.PerUser(user))
		if err != nil {
			t.Fatal(err)
		}
		sooner := func(w http.ResponseWriter, r *http.Request) {
			if !rt.ServeStored(w, r) {
				rt.Wrap(hello).ServeHTTP(w, r)
			}
		}
		part := func(w http.ResponseWriter, r *http.Request) {
			made := httptest.NewRecorder()
			part := newRequest("/part", "X-User: "+r.Header.Get("X-User"))
			inner.ServeHTTP(made, part.WithContext(r.Context()))
			_, _ = io.WriteString(w, made.Body.String())
		}
		for target, h := range map[string]http.Handler{
			"/through": c.Wrap(inner), "/off": c.Wrap(off), "/part": c.WrapFunc(part),
			"/sooner": c.WrapFunc(sooner, reprise.Namespaced("outer")),
		} {
			for range 3 { // also of what is stored for the user
				bodies := make(map[string]string)
				var mu sync.Mutex
				var all sync.WaitGroup
				for _, name := range []string{"ann", "bob"} {
					all.Go(func() {
						w := get(h, target, "X-User: "+name)
						mu.Lock()
						defer mu.Unlock()
						bodies[name] = w.Body.String()
					})
				}
				all.Wait()
				if bodies["ann"] != "hello ann" || bodies["bob"] != "hello bob" {
					t.Errorf("%s: %v; want to each his own", target, bodies)
				}
			}
		}

		both := c.WrapFunc(part, reprise.PerUser(user))
		check(t, get(both, "/both", "X-User: ann"), 200, "MISS", "hello ann")
		check(t, get(both, "/both", "X-User: ann"), 200, "HIT", "hello ann")
		check(t, get(both, "/both", "X-User: bob"), 200, "MISS", "hello bob")
	})
}

// A page that is made of what another handler answers has its tags, whether that ran or is stored, and whoever says them.
func TestTagsOfParts(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var n atomic.Int64
		part := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			reprise.AddTags(r.Context(), "said")
			counted(&n)(w, r)
		}, reprise.Tags("route"), reprise.StaleIfError(time.Hour), reprise.StaleWhileRevalidate(time.Hour))
		off := c.Wrap(counted(&n), reprise.Tags("off"), reprise.Off())
		page := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, h := range []http.Handler{part, off} {
				made := httptest.NewRecorder()
				h.ServeHTTP(made, newRequest("/part").WithContext(r.Context()))
				_, _ = io.WriteString(w, made.Body.String())
			}
		})
		ask := func(target, xcache, body string) {
			t.Helper()
			check(t, get(page, target), 200, xcache, body)
			synctest.Wait() // for the write to a store outside
		}
		ask("/one", "MISS", "v1v2")
		ask("/two", "MISS", "v1v3") // of a part that is stored
		ask("/two", "HIT", "v1v3")
		for i, tag := range []string{"said", "route", "off"} {
			if err := c.InvalidateTags(t.Context(), tag); err != nil {
				t.Fatal(err)
			}
			for _, target := range []string{"/one", "/two"} {
				if w := get(page, target); w.Header().Get("X-Cache") != "MISS" {
					t.Errorf("%d: %s after an invalidation of %q: X-Cache = %q; want MISS", i, target, tag, w.Header().Get("X-Cache"))
				}
				synctest.Wait()
			}
		}
		if err := c.Soft().InvalidateTags(t.Context(), "said"); err != nil {
			t.Fatal(err)
		}
		if w := get(page, "/three"); w.Header().Get("X-Cache") != "" {
			t.Errorf("of a part that was softly invalidated: X-Cache = %q; want none", w.Header().Get("X-Cache"))
		}
	})
}

// unwrapper is the ResponseWriter of a middleware that does as http.ResponseController asks.
type unwrapper struct{ http.ResponseWriter }

func (u unwrapper) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// TestStripPrefix keeps apart what one handler answers below two prefixes, and invalidates it by the client's URL.
func TestStripPrefix(t *testing.T) {
	c := open(t, reprise.Config{})
	var n atomic.Int64
	h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s v%d", r.URL.Path, n.Add(1)) })
	mux := http.NewServeMux()
	mux.Handle("/v1/", http.StripPrefix("/v1", h))
	mux.Handle("/v2/", http.StripPrefix("/v2", h))
	for range 2 {
		if got := serve(mux, raw(t, "GET /v1/a%2fb")).Body.String(); got != "/a/b v1" {
			t.Errorf("/v1: %q", got)
		}
		if got := serve(mux, raw(t, "GET /v2/a%2fb")).Body.String(); got != "/a/b v2" {
			t.Errorf("/v2: %q", got)
		}
	}
	if err := c.InvalidateURLs(t.Context(), "/v1/a%2Fb"); err != nil {
		t.Fatal(err)
	}
	check(t, serve(mux, raw(t, "GET /v2/a%2fb")), 200, "HIT", "/a/b v2")
	check(t, serve(mux, raw(t, "GET /v1/a%2fb")), 200, "MISS", "/a/b v3")
}

// TestRewrite holds that a path which a middleware changed counts, also where it changed Path alone.
func TestRewrite(t *testing.T) {
	for _, target := range []string{"/a", "/a%2fb"} {
		h := chained(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }),
			func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if to := r.Header.Get("X-To"); to != "" {
						u := *r.URL
						u.Path = to // and RawPath is what it was
						r2 := *r
						r2.URL = &u
						r = &r2
					}
					next.ServeHTTP(w, r)
				})
			},
			open(t, reprise.Config{}).Middleware())
		for range 2 {
			for _, to := range []string{"/x", "/y"} {
				if got := serve(h, raw(t, "GET "+target+" | X-To: "+to)).Body.String(); got != to {
					t.Errorf("%s rewritten to %s: got %s", target, to, got)
				}
			}
		}
	}
}

// TestTimeoutHandler puts http.TimeoutHandler around the cache, and inside of it.
func TestTimeoutHandler(t *testing.T) {
	slow := func(n *atomic.Int64) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			counted(n)(w, r)
		}
	}
	t.Run("outside", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			h := http.TimeoutHandler(open(t, reprise.Config{}).Wrap(slow(&n)), time.Second, "late")
			check(t, serve(h, raw(t, "GET /a")), 503, "", "late")
			time.Sleep(2 * time.Second) // the run went on, for its answer can be stored
			check(t, serve(h, raw(t, "GET /a")), 200, "HIT", "v1")
		})
	})
	t.Run("inside", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Int64
			h := open(t, reprise.Config{}).Wrap(http.TimeoutHandler(slow(&n), time.Second, "late"))
			for range 2 {
				check(t, serve(h, raw(t, "GET /a")), 503, "", "late")
			}
			time.Sleep(2 * time.Second)
			if n.Load() != 2 {
				t.Errorf("%d calls; want 2: a 503 is not stored", n.Load())
			}
			fast := open(t, reprise.Config{}).Wrap(http.TimeoutHandler(counted(&n), time.Second, "late"))
			check(t, serve(fast, raw(t, "GET /b")), 200, "MISS", "v3")
			check(t, serve(fast, raw(t, "GET /b")), 200, "HIT", "v3")
		})
	})
}

// gzipped is the middleware that half the world has copied: it says so first, and compresses what comes.
func gzipped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Vary", "Accept-Encoding")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		defer zw.Close()
		next.ServeHTTP(gzipWriter{w, zw}, r)
	})
}

type gzipWriter struct {
	http.ResponseWriter
	zw *gzip.Writer
}

func (w gzipWriter) Write(p []byte) (int, error) { return w.zw.Write(p) }

// TestGzip puts a compressing middleware around the cache, and inside of it, and asks over real connections.
func TestGzip(t *testing.T) {
	outside := func(c *reprise.Cache, h http.Handler) http.Handler { return gzipped(c.Wrap(h)) }
	inside := func(c *reprise.Cache, h http.Handler) http.Handler { return c.Wrap(gzipped(h)) }
	for _, tt := range []struct {
		name  string
		build func(*reprise.Cache, http.Handler) http.Handler
		sizes []int
	}{
		{"outside", outside, []int{0, 5, 1000, 100 << 10}},
		{"inside", inside, []int{0, 5, 1000, 100 << 10}},
	} {
		for _, size := range tt.sizes {
			text := strings.Repeat("x", size)
			t.Run(fmt.Sprintf("%s/%d", tt.name, size), func(t *testing.T) {
				var n atomic.Int64
				srv := httptest.NewServer(tt.build(open(t, reprise.Config{}), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					n.Add(1)
					_, _ = io.WriteString(w, text)
				})))
				defer srv.Close()
				client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
				defer client.CloseIdleConnections()
				for _, encoding := range []string{"gzip", "gzip", "identity", "gzip, br", "identity"} {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Accept-Encoding", encoding)
					resp, err := client.Do(req)
					if err != nil {
						t.Fatalf("%s: %v", encoding, err)
					}
					var body io.Reader = resp.Body
					if strings.HasPrefix(encoding, "gzip") {
						if body, err = gzip.NewReader(resp.Body); err != nil {
							t.Fatalf("%s: %v of %+v", encoding, err, resp.Header)
						}
					}
					b, err := io.ReadAll(body)
					resp.Body.Close()
					if string(b) != text || err != nil {
						t.Errorf("%s: %d bytes, %v; want %d (%v)", encoding, len(b), err, size, resp.Header)
					}
					if got := resp.Header.Values("Vary"); len(got) == 0 || got[0] != "Accept-Encoding" {
						t.Errorf("%s: Vary %q", encoding, got)
					}
				}
				if n.Load() > 3 {
					t.Errorf("%d calls; want one for each encoding at most", n.Load())
				}
			})
		}
	}
}
