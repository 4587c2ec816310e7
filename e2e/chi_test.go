package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/reprise-go/reprise"
)

// TestChi puts the cache into a chi router: as a middleware, before a group and before one handler. chi keeps what a pattern
// matched in the request's context and reuses it, so that a background refresh gets it by Detach.
func TestChi(t *testing.T) {
	refreshed := make(chan struct{}, 1)
	cache, err := reprise.New(reprise.Config{Observe: func(_ context.Context, e reprise.Event) {
		if e.Outcome == reprise.Refreshed {
			refreshed <- struct{}{}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	})
	keepParams := reprise.Detach(func(from, to context.Context) context.Context {
		params := chi.NewRouteContext()
		rctx := chi.RouteContext(from)
		for i, name := range rctx.URLParams.Keys {
			params.URLParams.Add(name, rctx.URLParams.Values[i])
		}
		return context.WithValue(to, chi.RouteCtxKey, params)
	})

	var n atomic.Int64
	show := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s v%d", chi.URLParam(r, "id"), n.Add(1))
	}
	r := chi.NewRouter()
	r.Use(middleware.RequestID, middleware.Recoverer, middleware.Compress(5))
	r.Get("/live/{id}", show)
	r.Group(func(r chi.Router) {
		r.Use(cache.Middleware(reprise.TTL(time.Minute), reprise.StaleWhileRevalidate(time.Hour), keepParams))
		r.Get("/books/{id}", show)
	})
	r.With(cache.Middleware(reprise.Namespaced("films"))).Get("/films/{id}", show)
	r.Route("/admin", func(r chi.Router) { r.Mount("/", cache.WrapFunc(show)) })

	srv := httptest.NewServer(r)
	defer srv.Close()
	get := func(path string) (body, xcache string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b), resp.Header.Get("X-Cache")
	}
	for _, tt := range []struct{ path, body, xcache string }{
		{"/live/1", "1 v1", ""},
		{"/live/1", "1 v2", ""},
		{"/books/1", "1 v3", "MISS"},
		{"/books/1", "1 v3", "HIT"},
		{"/books/2", "2 v4", "MISS"},
		{"/films/1", "1 v5", "MISS"},
		{"/films/1", "1 v5", "HIT"},
		{"/admin/", " v6", "MISS"},
		{"/admin/", " v6", "HIT"},
		{"/none", "404 page not found\n", ""},
	} {
		if body, xcache := get(tt.path); body != tt.body || xcache != tt.xcache {
			t.Errorf("GET %s: %q %q; want %q %q", tt.path, body, xcache, tt.body, tt.xcache)
		}
	}

	if err := cache.Soft().InvalidateURLs(t.Context(), "/books/1"); err != nil {
		t.Fatal(err)
	}
	if body, xcache := get("/books/1"); body != "1 v3" || xcache != "HIT" {
		t.Errorf("stale: %q %q; want the old one at once", body, xcache)
	}
	select {
	case <-refreshed:
	case <-time.After(10 * time.Second):
		t.Fatal("no refresh")
	}
	if body, xcache := get("/books/1"); body != "1 v7" || xcache != "HIT" {
		t.Errorf("refreshed: %q %q; want what the handler said without a client", body, xcache)
	}
}
