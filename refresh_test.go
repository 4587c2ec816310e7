package reprise_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store/memstore"
)

// swr lives for ten seconds and may be served stale for an hour while it is refreshed.
func swr(more ...reprise.RouteOption) []reprise.RouteOption {
	return append(more, reprise.TTL(10*time.Second), reprise.StaleWhileRevalidate(time.Hour))
}

// stale waits until what is stored is stale.
func stale() { time.Sleep(11 * time.Second) }

func TestRefreshOnePerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var n atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			_, _ = fmt.Fprintf(w, "v%d", n.Add(1))
		}, swr()...)
		get(h, "/a")
		stale()
		start := time.Now()
		for _, cl := range crowd(h, 100, "/a") {
			if cl.body.String() != "v1" || cl.end != start {
				t.Errorf("got %q after %v; want v1 at once", cl.body.String(), cl.end.Sub(start))
			}
		}
		time.Sleep(time.Second)
		idle(t, c)
		check(t, get(h, "/a"), 200, "HIT", "v2")
		if n.Load() != 2 {
			t.Errorf("%d calls; want 2", n.Load())
		}
	})
}

func TestRefreshBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{Limits: reprise.Limits{Refreshes: 3}})
		var running, most atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "v")
		}, swr()...)
		for i := range 10 {
			get(h, fmt.Sprint("/", i))
		}
		most.Store(0)
		time.Sleep(time.Minute)
		for range 2 {
			for i := range 10 {
				check(t, get(h, fmt.Sprint("/", i)), 200, "HIT", "v")
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if most.Load() != 3 || c.Stats().Refreshes != 6 {
			t.Errorf("%d refreshes at once, %d in all; want 3, 6", most.Load(), c.Stats().Refreshes)
		}
	})
}

// After a failure the next refresh waits, longer each time, and at once is possible again after a success.
func TestRefreshBackOff(t *testing.T) {
	for _, tt := range []struct {
		name    string
		failure http.HandlerFunc
	}{
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }},
		{"500 that states a lifetime", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			http.Error(w, strings.Repeat("x", 50_000), 500)
		}},
		{"panic", func(http.ResponseWriter, *http.Request) { panic("oops") }},
		{"Goexit", func(http.ResponseWriter, *http.Request) { runtime.Goexit() }},
		{"private", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "private") }},
		{"hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				c := open(t, reprise.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				var fail bool
				var at []time.Duration
				start := time.Now()
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					at = append(at, time.Since(start))
					if fail {
						tt.failure(w, r)
						return
					}
					_, _ = io.WriteString(w, "good")
				}, swr(reprise.FillTimeout(time.Millisecond))...)
				get(h, "/a")
				stale()
				start, at, fail = time.Now(), nil, true
				for range 3000 {
					check(t, get(h, "/a"), 200, "HIT", "good")
					time.Sleep(100 * time.Millisecond)
				}
				synctest.Wait()
				var waits []time.Duration
				for i := 1; i < len(at); i++ {
					waits = append(waits, (at[i] - at[i-1]).Round(time.Second))
				}
				var want []time.Duration
				for _, seconds := range []int{1, 2, 4, 8, 16, 32, 60, 60, 60} {
					want = append(want, time.Duration(seconds)*time.Second)
				}
				if !slices.Equal(waits, want) {
					t.Errorf("refreshes waited %v; want %v", waits, want)
				}
				if panics := strings.Contains(log.String(), "oops"); panics != (tt.name == "panic") {
					t.Errorf("the log says: %s", log.String())
				}
				fail = false
				time.Sleep(time.Minute)
				get(h, "/a")
				synctest.Wait()
				if w := get(h, "/a"); w.Header().Get("Age") != "0" {
					t.Errorf("after a success Age = %q; want 0", w.Header().Get("Age"))
				}
				stale()
				synctest.Wait()
				at, fail = nil, true
				for range 2 { // the first may fail at once, the second comes a second later
					get(h, "/a")
					time.Sleep(1100 * time.Millisecond)
				}
				synctest.Wait()
				if len(at) != 2 {
					t.Errorf("%d refreshes after the success; want 2", len(at))
				}
				idle(t, c)
			})
		})
	}
}

type ctxKey struct{}

// A refresh carries nothing of the client whose request began it but what the route's Detach copies.
func TestRefreshRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var seen *http.Request
		mux := http.NewServeMux()
		mux.Handle("/items/{id}", c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			seen = r
			w.Header().Set("Cache-Control", "public")
			_, _ = io.WriteString(w, "item "+r.PathValue("id"))
		}, swr(reprise.Detach(func(from, to context.Context) context.Context {
			return context.WithValue(to, ctxKey{}, from.Value(ctxKey{}).(string)+", copied")
		}))...))
		ask := func() {
			ctx, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, "value"))
			defer cancel()
			ctx = context.WithValue(ctx, http.ServerContextKey, &http.Server{Addr: "server"})
			ctx = context.WithValue(ctx, ctxKey2{}, "gone")
			r := newRequest("https://shop.test/items/7?q=1", "Authorization: me", "Proxy-Authorization: me", "Cookie: session=1",
				"If-None-Match: \"x\"", "Range: bytes=0-1", "Cache-Control: max-stale", "Accept: text/plain")
			r.TLS = &tls.ConnectionState{ServerName: "shop.test", PeerCertificates: []*x509.Certificate{{}}}
			w := new(client)
			<-w.ask(mux, r.WithContext(ctx))
			r.Header.Set("Accept", "changed")
		}
		get(mux, "https://shop.test/items/7?q=1")
		stale()
		seen = nil
		ask()
		synctest.Wait()
		if seen == nil {
			t.Fatal("there was no refresh")
		}
		for _, name := range []string{"Authorization", "Proxy-Authorization", "Cookie", "If-None-Match", "Range", "Cache-Control"} {
			if v := seen.Header.Get(name); v != "" {
				t.Errorf("%s = %q; want none", name, v)
			}
		}
		if len(seen.TLS.PeerCertificates) > 0 || seen.TLS.ServerName != "shop.test" {
			t.Errorf("TLS = %+v; want a connection without certificates", seen.TLS)
		}
		if seen.Method != "GET" || seen.URL.RawQuery != "q=1" || seen.PathValue("id") != "7" || seen.Header.Get("Accept") != "text/plain" {
			t.Errorf("got %s %s with id %q and Accept %q", seen.Method, seen.URL, seen.PathValue("id"), seen.Header.Get("Accept"))
		}
		if n, err := seen.Body.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("Body.Read() = %d, %v; want an empty body", n, err)
		}
		ctx := seen.Context()
		if ctx.Value(ctxKey{}) != "value, copied" || ctx.Value(ctxKey2{}) != nil {
			t.Errorf("values = %v, %v; want what Detach copied, nil", ctx.Value(ctxKey{}), ctx.Value(ctxKey2{}))
		}
		if s, ok := ctx.Value(http.ServerContextKey).(*http.Server); !ok || s.Addr != "server" {
			t.Errorf("ServerContextKey = %v", ctx.Value(http.ServerContextKey))
		}
		if reprise.FromContext(ctx) == nil {
			t.Error("FromContext() = nil")
		}
		check(t, get(mux, "https://shop.test/items/7?q=1"), 200, "HIT", "item 7")
	})
}

type ctxKey2 struct{}

// A refresh outlives the request that began it and has a deadline of its own.
func TestRefreshDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		calls := 0
		var lived time.Duration
		var cause error
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls == 1 {
				_, _ = io.WriteString(w, "v1")
				return
			}
			start := time.Now()
			<-r.Context().Done()
			lived, cause = time.Since(start), context.Cause(r.Context())
			_, _ = io.WriteString(w, "v2")
		}, swr(reprise.FillTimeout(5*time.Second))...)
		get(h, "/a")
		stale()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		<-new(client).ask(h, newRequest("/a").WithContext(ctx))
		time.Sleep(time.Minute)
		synctest.Wait()
		if lived != 5*time.Second || !errors.Is(cause, context.DeadlineExceeded) {
			t.Errorf("the context ended after %v by %v; want 5s, FillTimeout", lived, cause)
		}
		idle(t, c)
	})
}

// Close ends refreshes, waits for them and keeps nothing of what they still answer.
func TestRefreshClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := memstore.New(memstore.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		c, err := reprise.New(reprise.Config{Store: m})
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		ended := false
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls++; calls > 1 {
				<-r.Context().Done()
				time.Sleep(time.Second)
				ended = true
			}
			_, _ = fmt.Fprint(w, "v", calls)
		}, swr()...)
		get(h, "/a")
		stale()
		check(t, get(h, "/a"), 200, "HIT", "v1")
		start := time.Now()
		if err := c.Close(); err != nil || !ended || time.Since(start) != time.Second {
			t.Errorf("Close() = %v after %v, handler ended: %v; want nil after 1s", err, time.Since(start), ended)
		}
		next := open(t, reprise.Config{Store: m})
		check(t, get(next.Wrap(http.NotFoundHandler(), swr()...), "/a"), 200, "HIT", "v1")
	})
}

// A handler that ignores its context does not hold up Close for ever.
func TestCloseGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := reprise.New(reprise.Config{})
		if err != nil {
			t.Fatal(err)
		}
		calls := 0
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			if calls++; calls > 1 {
				time.Sleep(time.Hour)
			}
			_, _ = io.WriteString(w, "v")
		}, swr()...)
		get(h, "/a")
		stale()
		get(h, "/a")
		start := time.Now()
		if err := c.Close(); err == nil || time.Since(start) != 5*time.Second {
			t.Errorf("Close() = %v after %v; want an error after 5s", err, time.Since(start))
		}
		time.Sleep(time.Hour)
	})
}

// What belongs to a user is refreshed by that user's request.
func TestRefreshNotForUsers(t *testing.T) {
	user := func(r *http.Request) (string, error) { return r.Header.Get("Authorization"), nil }
	for _, tt := range []struct {
		name string
		opts []reprise.RouteOption
	}{
		{"PerUser", []reprise.RouteOption{reprise.PerUser(user)}},
		{"in the key", []reprise.RouteOption{reprise.Key(func(b *reprise.KeyBuilder, r *http.Request) { b.Header(r, "Authorization") })}},
		{"public", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				n := 0
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					n++
					if r.Header.Get("Authorization") != "me" {
						t.Error("the handler was run without the user's credentials")
					}
					w.Header().Set("Cache-Control", "public")
					_, _ = fmt.Fprintf(w, "v%d", n)
				}, swr(tt.opts...)...)
				get(h, "/a", "Authorization: me")
				check(t, get(h, "/a", "Authorization: me"), 200, "HIT", "v1")
				stale()
				check(t, get(h, "/a", "Authorization: me"), 200, "MISS", "v2")
				check(t, get(h, "/a", "Authorization: me"), 200, "HIT", "v2")
			})
		})
	}
}

// A Detach that panics is the route's mistake, not the client's.
func TestDetachPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		c := open(t, reprise.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		var n atomic.Int64
		h := c.Wrap(counted(&n), swr(reprise.Detach(func(_, _ context.Context) context.Context { panic("oops") }))...)
		get(h, "/a")
		stale()
		check(t, get(h, "/a"), 200, "HIT", "v1")
		idle(t, c)
		if !strings.Contains(log.String(), "Detach") {
			t.Errorf("the log says: %s", log.String())
		}
		time.Sleep(time.Hour)
		check(t, get(h, "/a"), 200, "MISS", "v2")
	})
}

// A request that has to wait follows a refresh that is under way; a refresh that fails does not take its answer along.
func TestFollowRefresh(t *testing.T) {
	for _, code := range []int{200, 500} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				events := make(chan reprise.Event, 10)
				c := open(t, reprise.Config{Observe: func(_ context.Context, ev reprise.Event) { events <- ev }})
				n := 0
				h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
					if n++; n > 1 {
						time.Sleep(time.Second)
						w.WriteHeader(code)
					}
					_, _ = fmt.Fprintf(w, "v%d", n)
				}, swr(reprise.StaleIfError(time.Hour))...)
				get(h, "/a")
				stale()
				get(h, "/a")
				start := time.Now()
				w := get(h, "/a", "Cache-Control: max-age=0")
				if time.Since(start) != time.Second || n != 2 {
					t.Errorf("got %q after %v and %d calls; want to follow the refresh", w.Body, time.Since(start), n)
				}
				want := "v2"
				if code == 500 {
					want = "v1"
				}
				check(t, w, 200, "HIT", want)
				idle(t, c)
				close(events)
				var reasons []string
				for ev := range events {
					if ev.Outcome == reprise.Refreshed {
						reasons = append(reasons, string(ev.Reason))
					}
				}
				wantReason := map[int]string{200: "[]", 500: "[server-error]"}[code]
				if fmt.Sprint(reasons) != wantReason {
					t.Errorf("events of refreshes say %v; want %v", reasons, wantReason)
				}
			})
		})
	}
}
