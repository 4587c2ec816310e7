package reprise_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// reusable is a ResponseWriter that costs nothing between requests.
type reusable struct {
	h      http.Header
	status int
	n      int
}

func (w *reusable) Header() http.Header { return w.h }
func (w *reusable) WriteHeader(s int)   { w.status = s }
func (w *reusable) Write(p []byte) (int, error) {
	w.n += len(p)
	return len(p), nil
}

func (w *reusable) reset() {
	clear(w.h)
	w.status, w.n = 0, 0
}

// bare is a handler that sets every field which reprise sends on a hit, and writes the same body.
func bare(body []byte) http.Handler {
	length := strconv.Itoa(len(body))
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", length)
		h.Set("Date", "Sat, 21 Nov 2026 10:00:00 GMT")
		h.Set("Etag", `"0123456789abcdef0123456789abcdef"`)
		h.Set("Age", "1")
		h.Set("X-Cache", "HIT")
		h.Set("Cache-Status", "reprise; hit; ttl=59")
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body)
	})
}

func origin(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}
}

// requests are GETs of n URLs as net/http's server makes them.
func requests(n int, fields ...string) []*http.Request {
	rs := make([]*http.Request, n)
	for i := range rs {
		rs[i] = httptest.NewRequest(http.MethodGet, fmt.Sprintf("/products/%d?lang=en", i), nil)
		rs[i].Host = "shop.test"
		rs[i].Header = http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip"}}
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			rs[i].Header.Set(name, value)
		}
	}
	return rs
}

// BenchmarkHit measures hits beside the bare handler; the ratios are what counts.
func BenchmarkHit(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		body := []byte(strings.Repeat("x", size))
		for _, keys := range []int{1, 10_000} {
			rs := requests(keys)
			name := fmt.Sprintf("%dKiB/keys=%d", size>>10, keys)
			if keys == 10_000 && size > 1<<10 {
				continue
			}
			order := make([]uint16, 1<<14)
			zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(keys-1)+1)
			for i := range order {
				order[i] = uint16(min(zipf.Uint64(), uint64(keys-1)))
			}
			c := open(b, reprise.Config{})
			h := c.Wrap(origin(body), reprise.TTL(time.Hour))
			w := &reusable{h: make(http.Header)}
			for _, r := range rs {
				w.reset()
				h.ServeHTTP(w, r)
			}
			for _, x := range []struct {
				name string
				h    http.Handler
			}{{"bare", bare(body)}, {"reprise", h}} {
				b.Run(name+"/"+x.name, func(b *testing.B) {
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						w.reset()
						x.h.ServeHTTP(w, rs[order[i&(1<<14-1)]])
						i++
					}
				})
			}
		}
	}
}

// prepared is a store outside the process that costs nothing: what it returns is there already. What a hit in it costs is
// reprise's own.
type prepared struct {
	store.Store // nil: nothing else is asked of it

	values sync.Map
	slots  [16]uint64
}

func (s *prepared) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	s.values.Store(key, value)
	return nil
}

func (s *prepared) GetMarked(_ context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	m, _ := s.Marks(context.Background(), names...)
	v, ok := s.values.Load(key)
	if !ok {
		return nil, m, store.ErrNotFound
	}
	return v.([]byte), m, nil
}

func (s *prepared) Marks(_ context.Context, names ...string) (store.Marks, error) {
	return store.Marks{Incarnation: 1, Newest: 1, Slots: s.slots[:len(names)]}, nil
}

func (*prepared) Raise(context.Context, ...string) (uint64, error) { return 2, nil }

// BenchmarkHitOutside measures the engine's part of a hit in a store outside the process, by one goroutine and by 64 at once.
func BenchmarkHitOutside(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		c := open(b, reprise.Config{Store: new(prepared)})
		h := c.Wrap(origin([]byte(strings.Repeat("x", size))), reprise.TTL(time.Hour))
		rs := requests(128)
		for i, r := range rs {
			ctx, cancel := context.WithCancel(b.Context()) // as that of a server's request
			defer cancel()
			rs[i] = r.WithContext(ctx)
			h.ServeHTTP(&reusable{h: make(http.Header)}, rs[i])
		}
		b.Run(fmt.Sprintf("%dKiB/alone", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			w, i := &reusable{h: make(http.Header)}, 0
			for b.Loop() {
				w.reset()
				h.ServeHTTP(w, rs[i%len(rs)])
				i++
			}
			if w.h.Get("X-Cache") != "HIT" {
				b.Fatalf("no hit: %v", w.h)
			}
		})
		b.Run(fmt.Sprintf("%dKiB/at-once", size>>10), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(max(1, 64/runtime.GOMAXPROCS(0)))
			b.RunParallel(func(pb *testing.PB) {
				w, i := &reusable{h: make(http.Header)}, 0
				for pb.Next() {
					w.reset()
					h.ServeHTTP(w, rs[i%len(rs)])
					i++
				}
			})
		})
	}
}

// BenchmarkMiss measures fills of ever new URLs, in a store that is empty at first and full soon, and in a large one.
func BenchmarkMiss(b *testing.B) {
	body := []byte(strings.Repeat("x", 1<<10))
	for _, x := range []struct {
		name  string
		bytes int64
	}{{"10k", 16 << 20}, {"1M", 1600 << 20}} {
		entries := 10_000
		if x.name == "1M" {
			entries = 1_000_000
		}
		for _, y := range []string{"bare", "reprise"} {
			b.Run(x.name+"/"+y, func(b *testing.B) {
				h := bare(body)
				r := requests(1)[0]
				n := 0
				next := func() {
					n++
					r.URL.Path = "/products/" + strconv.Itoa(n)
					r.RequestURI = r.URL.Path + "?lang=en"
				}
				w := &reusable{h: make(http.Header)}
				if y == "reprise" {
					s, err := memstore.New(memstore.Config{MaxBytes: x.bytes})
					if err != nil {
						b.Fatal(err)
					}
					defer s.Close()
					h = open(b, reprise.Config{Store: s}).Wrap(origin(body), reprise.TTL(time.Hour))
					for range entries {
						next()
						w.reset()
						h.ServeHTTP(w, r)
					}
				}
				b.ReportAllocs()
				for b.Loop() {
					next()
					w.reset()
					h.ServeHTTP(w, r)
				}
			})
		}
	}
}

// BenchmarkHitMore measures hits that do more, beside the bare handler.
func BenchmarkHitMore(b *testing.B) {
	body := []byte(strings.Repeat("x", 1<<10))
	c := open(b, reprise.Config{Observe: func(context.Context, reprise.Event) {}})
	h := c.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Language")
		origin(body)(w, r)
	}))
	w := &reusable{h: make(http.Header)}
	r := requests(1, "Accept-Language: en")[0]
	h.ServeHTTP(w, r)
	conditional := r.Clone(r.Context())
	w.reset()
	h.ServeHTTP(w, r)
	conditional.Header.Set("If-None-Match", w.h.Get("Etag"))
	ranged := r.Clone(r.Context())
	ranged.Header.Set("Range", "bytes=0-99")
	for _, x := range []struct {
		name string
		h    http.Handler
		r    *http.Request
	}{{"bare", bare(body), r}, {"vary", h, r}, {"vary+conditional", h, conditional}, {"vary+range", h, ranged}} {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w.reset()
				x.h.ServeHTTP(w, x.r)
			}
		})
	}
}
