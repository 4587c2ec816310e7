package reprise_test

import (
	"context"
	"fmt"
	"net/http"
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
