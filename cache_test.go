package reprise_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
)

// open returns a cache that is closed with the test.
func open(t testing.TB, cfg reprise.Config) *reprise.Cache {
	t.Helper()
	c, err := reprise.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// counted answers v1, v2 … in text/plain.
func counted(n *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "v%d", n.Add(1))
	}
}

// get asks h for target; fields are "Name: value".
func get(h http.Handler, target string, fields ...string) *httptest.ResponseRecorder {
	return request(h, http.MethodGet, target, fields...)
}

func request(h http.Handler, method, target string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// check compares status, status header ("" is absent) and body.
func check(t *testing.T, w *httptest.ResponseRecorder, status int, xcache, body string) {
	t.Helper()
	if w.Code != status || w.Header().Get("X-Cache") != xcache || w.Body.String() != body {
		t.Errorf("got %d, X-Cache %q, body %q (Cache-Status %q); want %d, %q, %q",
			w.Code, w.Header().Get("X-Cache"), w.Body.String(), w.Header().Get("Cache-Status"), status, xcache, body)
	}
}

func TestHit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var n atomic.Int64
		h := c.Wrap(counted(&n))
		check(t, get(h, "/a"), 200, "MISS", "v1")
		w := get(h, "/a")
		check(t, w, 200, "HIT", "v1")
		t.Log(w.Header())
		time.Sleep(59 * time.Second)
		w = get(h, "/a")
		check(t, w, 200, "HIT", "v1")
		t.Log(w.Header())
		time.Sleep(time.Second)
		check(t, get(h, "/a"), 200, "MISS", "v2")
	})
}

func TestStampede(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var n atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(50 * time.Millisecond)
			n.Add(1)
			_, _ = io.WriteString(w, "slow")
		})
		start := time.Now()
		var wg sync.WaitGroup
		var misses atomic.Int64
		for range 1000 {
			wg.Go(func() {
				w := get(h, "/slow")
				if w.Code != 200 || w.Body.String() != "slow" {
					t.Errorf("got %d %q", w.Code, w.Body)
				}
				if w.Header().Get("X-Cache") == "MISS" {
					misses.Add(1)
				}
			})
		}
		wg.Wait()
		if n.Load() != 1 || misses.Load() != 1 {
			t.Errorf("%d calls, %d misses; want 1, 1", n.Load(), misses.Load())
		}
		if d := time.Since(start); d != 50*time.Millisecond {
			t.Errorf("took %v", d)
		}
	})
}
