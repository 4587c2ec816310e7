package reprise_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// slowToKeep is a store outside the process that takes its time to keep what it is given first.
type slowToKeep struct {
	*outside
	begun atomic.Bool
}

func (s *slowToKeep) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if s.begun.Swap(true) {
		return s.outside.Set(ctx, key, value, ttl)
	}
	select {
	case <-time.After(100 * time.Millisecond):
		return s.outside.Set(ctx, key, value, ttl)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Who asks again, before the store has taken what it will find, waits for that instead of having the handler run once more;
// who asks for something else waits for nothing.
func TestAskedAgainBeforeItIsWritten(t *testing.T) {
	for _, tt := range []struct {
		name, first, second string
		opts                []reprise.RouteOption
		calls               int64
		waits               bool
	}{
		{name: "the same variant", first: "Accept-Language: de", second: "Accept-Language: de", calls: 1, waits: true},
		{name: "another variant", first: "Accept-Language: de", second: "Accept-Language: en", calls: 2},
		{
			name: "the same language", first: "Accept-Language: de", second: "Accept-Language: de, en;q=0.5", calls: 1, waits: true,
			opts: []reprise.RouteOption{reprise.Standard()},
		},
		{
			name: "a part of a part", first: "Range: bytes=0-5", second: "Range: bytes=1-3", calls: 1, waits: true,
			opts: []reprise.RouteOption{reprise.Standard()},
		},
		{
			name: "another part", first: "Range: bytes=0-5", second: "Range: bytes=7-9", calls: 2, waits: true,
			opts: []reprise.RouteOption{reprise.Standard()},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := reprise.Must(reprise.New(reprise.Config{Store: &slowToKeep{outside: newOutside(t)}, Logger: silent()}))
				defer c.Close()
				var calls atomic.Int64
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					calls.Add(1)
					w.Header().Set("Cache-Control", "max-age=60")
					w.Header().Set("Etag", `"v"`)
					var from, to int
					if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to); err == nil {
						w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/10", from, to))
						w.WriteHeader(http.StatusPartialContent)
						_, _ = w.Write([]byte("0123456789")[from : to+1])
						return
					}
					language, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
					w.Header().Set("Vary", "Accept-Language")
					w.Header().Set("Content-Language", language)
					_, _ = w.Write([]byte(language))
				}, tt.opts...)
				ask := func(field string) (*httptest.ResponseRecorder, time.Duration) {
					name, value, _ := strings.Cut(field, ": ")
					r := httptest.NewRequest(http.MethodGet, "/", nil)
					r.Header.Set(name, value)
					w, start := httptest.NewRecorder(), time.Now()
					h.ServeHTTP(w, r)
					return w, time.Since(start)
				}
				ask(tt.first)
				w, took := ask(tt.second)
				if (took > 0) != tt.waits || calls.Load() != tt.calls {
					t.Errorf("took %v, %d calls of the handler; want %d: %d %v %q", took, calls.Load(), tt.calls, w.Code, w.Header(), w.Body)
				}
			})
		})
	}
}

// slowToAnswer is a store outside the process that looks at once and takes its time to tell; what it is to keep it has earlier.
type slowToAnswer struct {
	*outside
}

func (s slowToAnswer) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	v, m, err := s.outside.GetMarked(ctx, key, names...)
	time.Sleep(10 * time.Millisecond)
	return v, m, err
}

func (s slowToAnswer) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	time.Sleep(5 * time.Millisecond)
	return s.outside.Set(ctx, key, value, ttl)
}

// What is written while somebody looks for it is found all the same: here what a HEAD said, which is no fill that could be followed.
func TestWrittenWhileLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := reprise.Must(reprise.New(reprise.Config{Store: slowToAnswer{newOutside(t)}, Logger: silent()}))
		defer c.Close()
		gets := 0
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"v"`)
			w.Header().Set("Cache-Control", "max-age=1")
			if r.Method == http.MethodHead {
				w.Header().Set("Cache-Control", "max-age=100")
				return
			}
			gets++
			_, _ = w.Write([]byte("page"))
		}, reprise.Standard())
		get(h, "/")
		time.Sleep(2 * time.Second)
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodHead, "/", nil))
		if w := get(h, "/"); w.Body.String() != "page" || gets != 1 {
			t.Errorf("GET after a HEAD that freshened what is stored: %q, %d GETs reached the handler; want 1", w.Body, gets)
		}
	})
}

// hangs is a store outside the process that is read as ever and never done with what it is to keep.
type hangs struct {
	*outside
}

func (hangs) Set(ctx context.Context, _ string, _ []byte, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

// A write that hangs takes no more of an answer's time than a look-up may.
func TestAskedAgainWhileAWriteHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 250 * time.Millisecond
		c := reprise.Must(reprise.New(reprise.Config{
			Store: hangs{newOutside(t)}, Logger: silent(), Limits: reprise.Limits{StoreTimeout: limit},
		}))
		defer c.Close()
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Vary", "Accept-Language")
			_, _ = w.Write([]byte("page"))
		})
		for range 2 {
			start := time.Now()
			if w := get(h, "/", "Accept-Language: de"); w.Code != http.StatusOK || time.Since(start) > limit {
				t.Errorf("status %d after %v; want 200 within %v", w.Code, time.Since(start), limit)
			}
		}
	})
}
