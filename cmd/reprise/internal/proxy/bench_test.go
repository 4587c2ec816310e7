package proxy_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
	"github.com/reprise-go/reprise/store/memstore"
)

// discard is a ResponseWriter that costs nothing.
type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// What a hit costs beside net/http: what the proxy does about the request, and the cache.
func BenchmarkHit(b *testing.B) {
	o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=3600")
		_, _ = io.WriteString(w, strings.Repeat("x", 1<<10))
	}))
	defer o.Close()
	u, err := url.Parse(o.URL)
	if err != nil {
		b.Fatal(err)
	}
	m, err := memstore.New(memstore.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	cfg := proxy.Defaults()
	cfg.Origin, cfg.Store = u, m
	s, err := proxy.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	request := func() *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {"bench"}, "Accept-Encoding": {"gzip"}}
		return r
	}
	s.ServeHTTP(httptest.NewRecorder(), request())
	w := &discard{make(http.Header)}
	r := request()
	b.ReportAllocs()
	for b.Loop() {
		clear(w.h)
		for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
			delete(r.Header, name)
		}
		s.ServeHTTP(w, r)
	}
	if !strings.Contains(w.h.Get("Cache-Status"), "hit") {
		b.Fatalf("Cache-Status = %q; want a hit", w.h.Get("Cache-Status"))
	}
}
