package e2e

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/realserver"
)

// TestOverload stops the store of a site for a moment that has processors enough for hits and too few for misses. Its handlers then
// take all the time there is, the replies of the store wait behind them, and yet the hits return.
func TestOverload(t *testing.T) {
	const (
		pages   = 1000
		rate    = 400
		perPage = 4 * time.Millisecond // of a processor, of which all pages together want 1.6
		outage  = 2 * time.Second
		inARow  = 200
	)
	burn := func() {
		for began := time.Now(); time.Since(began) < perPage; {
		}
	}
	for name, open := range map[string]func(c *reprise.Cache, miss func()) (ask func(page int)){
		"handler": func(c *reprise.Cache, miss func()) func(int) {
			h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
				miss()
				_, _ = io.WriteString(w, r.URL.Path)
			}, reprise.TTL(time.Hour))
			return func(page int) {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/"+strconv.Itoa(page), nil))
			}
		},
		"function": func(c *reprise.Cache, miss func()) func(int) {
			get := reprise.Memoize(c, "page", func(_ context.Context, page int) (int, error) {
				miss()
				return page, nil
			}, reprise.TTL(time.Hour))
			return func(page int) { _, _ = get(context.Background(), page) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			server := realserver.NewRedis(t)
			s, closeAll, err := place{kind: "redis", addrs: []string{server.Addr()}, prefix: "overload"}.open()
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := closeAll(); err != nil {
					t.Errorf("Close of the store: %v", err)
				}
			}()
			c, err := reprise.New(reprise.Config{Store: s, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var missed atomic.Int64
			ask := open(c, func() { missed.Add(1); burn() })
			for page := range pages {
				ask(page)
			}

			var answered, stayed, row atomic.Int64 // row is of answers without a miss
			stop := make(chan struct{})
			var clients sync.WaitGroup
			clients.Go(func() {
				waiting := make(chan struct{}, pages/2)
				began := time.Now()
				for n := 0; ; n++ { // whether the last ones have their answers or not
					select {
					case <-stop:
						return
					case <-time.After(time.Until(began.Add(time.Duration(n) * time.Second / rate))):
					}
					select {
					case waiting <- struct{}{}:
					default: // as many as can: clients give up, and come again
						stayed.Add(1)
						continue
					}
					clients.Go(func() {
						defer func() { <-waiting }()
						before := missed.Load()
						ask(n * 7919 % pages)
						answered.Add(1)
						if row.Add(1); missed.Load() > before {
							row.Store(0)
						}
					})
				}
			})
			hits := func() (after time.Duration, ok bool) {
				began := time.Now()
				for row.Store(0); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
					if row.Load() >= inARow {
						return time.Since(began), true
					}
				}
				return patience, false
			}
			if _, ok := hits(); !ok {
				t.Error("a warm cache misses")
			}
			server.Pause(t)
			answers := answered.Load()
			time.Sleep(outage)
			answers = answered.Load() - answers
			server.Continue(t)
			after, ok := hits()
			t.Logf("%d answers in the %v without a store; %d in a row hit %v after it; %d requests were not made", answers, outage, inARow, after, stayed.Load())
			if !ok {
				t.Errorf("hits do not return within %v", patience)
			}
			close(stop)
			clients.Wait()
		})
	}
}
