package reprise_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// faraway is a store outside the process with so much time for each round trip.
type faraway struct {
	*outside
	trip time.Duration
}

func (s faraway) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	time.Sleep(s.trip)
	return s.outside.Set(ctx, key, value, ttl)
}

func (s faraway) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	time.Sleep(s.trip)
	return s.outside.Marks(ctx, names...)
}

func (s faraway) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	time.Sleep(s.trip)
	return s.outside.GetMarked(ctx, key, names...)
}

// What URLs vary on is written for all of them at the same time, however far away the store is.
func TestManyIndexesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const urls, trip = 500, 10 * time.Millisecond
		var failed, calls atomic.Int64
		c := reprise.Must(reprise.New(reprise.Config{
			Store: faraway{newOutside(t), trip}, Logger: silent(),
			Observe: func(_ context.Context, ev reprise.Event) {
				if ev.Outcome == reprise.Failed {
					failed.Add(1)
				}
			},
		}))
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.Header().Set("Vary", "Accept-Language")
			_, _ = w.Write([]byte("page"))
		})
		var all sync.WaitGroup
		for i := range urls {
			all.Go(func() { get(h, fmt.Sprint("/", i), "Accept-Language: de") })
		}
		all.Wait()
		answered := time.Now()
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(answered); took > 10*trip {
			t.Errorf("the writes took %v after the answers, of round trips of %v", took, trip)
		}
		if failed.Load() > 0 || calls.Load() != urls {
			t.Errorf("%d writes failed, %d calls of the handler; want 0, %d", failed.Load(), calls.Load(), urls)
		}
	})
}

// Variants of one URL that are stored at the same time are all in its list: a Delete leaves none of them.
func TestVariantsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		s.takes["a"].Store(int64(10 * time.Millisecond))
		c := open(t, reprise.Config{Store: s, Logger: silent()})
		route, err := c.NewRoute(reprise.TTL(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		h := route.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Vary", "Accept-Language")
		}))
		for i := range 10 {
			go get(h, "/", fmt.Sprint("Accept-Language: x-", i))
		}
		time.Sleep(time.Minute)
		key, err := route.Key(httptest.NewRequest(http.MethodGet, "/", nil))
		if err != nil {
			t.Fatal(err)
		}
		if n := keysIn(t, s); n != 11 {
			t.Errorf("%d keys are in the store; want 10 variants and their index", n)
		}
		if n, err := c.Delete(t.Context(), key); n != 1 || err != nil {
			t.Errorf("Delete = %d, %v; want 1", n, err)
		}
		if n := keysIn(t, s); n != 0 {
			t.Errorf("%d keys are left; want none", n)
		}
	})
}

func keysIn(t *testing.T, s store.Lister) (n int) {
	t.Helper()
	for _, err := range s.Keys(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

// A variant that ends soon does not take the others along, which a process that is new to the URL finds by its index.
func TestIndexLastsAsLongAsVariants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		process := func() http.Handler {
			c := open(t, reprise.Config{Store: s, Logger: silent()})
			return c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Vary", "Accept-Language")
				w.Header().Set("Cache-Control", "max-age="+r.Header.Get("Accept-Language")[len("x-"):])
			})
		}
		first := process()
		for _, age := range []string{"3600", "60"} {
			get(first, "/", "Accept-Language: x-"+age)
			synctest.Wait() // it is stored
		}
		time.Sleep(10 * time.Minute)
		if mark := get(process(), "/", "Accept-Language: x-3600").Header().Get("X-Cache"); mark != "HIT" {
			t.Errorf("a variant that lasts an hour, after ten minutes: %s; want a HIT", mark)
		}
	})
}
