package reprise_test

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store/memstore"
)

// TestHitAllocs holds what hits and misses allocate. It is the guard of the speed that benchmarks show.
func TestHitAllocs(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	small, large := []byte(strings.Repeat("x", 1<<10)), []byte(strings.Repeat("x", 64<<10))
	vary := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Language")
		origin(small)(w, r)
	}
	for _, tt := range []struct {
		name   string
		body   http.HandlerFunc
		cfg    reprise.Config
		opts   []reprise.RouteOption
		fields []string
		etag   bool // a conditional request
		most   float64
	}{
		{name: "1 KiB", body: origin(small)},
		{name: "64 KiB", body: origin(large)},
		{name: "for ever", body: origin(small), opts: []reprise.RouteOption{reprise.TTL(reprise.Forever)}},
		{name: "ClientTTL", body: origin(small), opts: []reprise.RouteOption{reprise.ClientTTL()}},
		{name: "declared Vary", body: origin(small), opts: []reprise.RouteOption{reprise.Vary("Accept-Encoding")}},
		{name: "request directives", body: origin(small), fields: []string{"Cache-Control: max-age=10"}},
		{name: "learned Vary", body: vary, fields: []string{"Accept-Language: en"}, most: 2},
		{name: "learned Vary, conditional, observed", body: vary, fields: []string{"Accept-Language: en"}, etag: true,
			cfg: reprise.Config{Observe: func(context.Context, reprise.Event) {}}, most: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := open(t, tt.cfg).Wrap(tt.body, tt.opts...)
			w := &reusable{h: make(http.Header)}
			r := requests(1, tt.fields...)[0]
			h.ServeHTTP(w, r)
			w.reset()
			h.ServeHTTP(w, r)
			if w.h.Get("X-Cache") != "HIT" {
				t.Fatalf("no hit: %v", w.h)
			}
			want := http.StatusOK
			if tt.etag {
				r.Header.Set("If-None-Match", w.h.Get("Etag"))
				want = http.StatusNotModified
			}
			n := testing.AllocsPerRun(2000, func() {
				w.reset()
				h.ServeHTTP(w, r)
			})
			if w.status != want {
				t.Errorf("status %d; want %d", w.status, want)
			}
			if n > tt.most {
				t.Errorf("%v allocations per hit; want at most %v", n, tt.most)
			}
		})
	}
}

// TestMissAllocs holds what a fill of 1 KiB allocates, the handler's own included.
func TestMissAllocs(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	h := open(t, reprise.Config{}).Wrap(origin([]byte(strings.Repeat("x", 1<<10))), reprise.TTL(time.Hour))
	w := &reusable{h: make(http.Header)}
	rs := requests(3000)
	i := 0
	n := testing.AllocsPerRun(len(rs)-1, func() {
		w.reset()
		h.ServeHTTP(w, rs[i])
		i++
	})
	if w.h.Get("X-Cache") != "MISS" {
		t.Fatalf("no miss: %v", w.h)
	}
	if n > 14 {
		t.Errorf("%v allocations per miss; want at most 14", n)
	}
}

// TestEntryMemory holds what an entry takes beside its body, its key and the text of its fields.
func TestEntryMemory(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	s, err := memstore.New(memstore.Config{MaxBytes: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := open(t, reprise.Config{Store: s}).Wrap(origin([]byte(strings.Repeat("x", 256))), reprise.TTL(time.Hour))
	w := &reusable{h: make(http.Header)}
	r := requests(1)[0]
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			r.URL.Path = fmt.Sprintf("/products/%08d", i)
			r.RequestURI = r.URL.Path + "?lang=en"
			w.reset()
			h.ServeHTTP(w, r)
		}
	}
	fill(0, 1000) // what is not an entry's
	text := len("reprise|GET|http://shop.test|/products/00000000|lang=en") + 256
	w.reset()
	h.ServeHTTP(w, r)
	for name, lines := range w.h {
		switch name {
		case "Age", "X-Cache", "Cache-Status": // not stored
		default:
			text += len(name) + len(lines[0])
		}
	}
	before := heap()
	fill(1000, n+1000)
	after := heap()
	bytes := float64(after.HeapAlloc-before.HeapAlloc)/float64(n) - float64(text)
	objects := float64(after.HeapObjects-before.HeapObjects) / float64(n)
	t.Logf("%d entries: %.0f bytes beside %d of body, key and fields; %.2f objects", n, bytes, text, objects)
	if bytes > 280 || objects > 4.1 {
		t.Errorf("an entry takes %.0f bytes and %.2f objects more than its text; want at most 280 and 4", bytes, objects)
	}
	runtime.KeepAlive(h)
}

func heap() runtime.MemStats {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}
