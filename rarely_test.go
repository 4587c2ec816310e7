package reprise_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
)

// What panics at each request is logged at most once in ten seconds, by each route and function for itself; the
// functions of options hide no handler and no loader.
func TestPanicsAreLoggedRarely(t *testing.T) {
	type asker = func(ctx context.Context, n int) // another key for each n
	route := func(c *reprise.Cache, o reprise.RouteOption) asker {
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.URL) }, o)
		return func(_ context.Context, n int) { get(h, fmt.Sprint("/", n)) }
	}
	function := func(c *reprise.Cache, name string, o reprise.FuncOption) asker {
		f := reprise.Memoize(c, name, func(_ context.Context, n int) (int, error) { return n, nil }, o)
		return func(ctx context.Context, n int) { _, _ = f(ctx, n) }
	}
	for _, tt := range []struct {
		name string
		open func(*reprise.Cache) []asker
		want []string // a line of each, every ten seconds
	}{
		{"options of routes", func(c *reprise.Cache) []asker {
			return []asker{
				route(c, reprise.TTLFunc(func(int, http.Header) time.Duration { panic("boom") })),
				route(c, reprise.TagsFunc(func(*http.Request) []string { panic("boom") })),
				route(c, reprise.Storable(func(*http.Request, int, http.Header) bool { panic("boom") })),
			}
		}, []string{"option=TTLFunc", "option=TagsFunc", "option=Storable"}},
		{"options of functions", func(c *reprise.Cache) []asker {
			return []asker{
				function(c, "skips", reprise.SkipValue(func(int) bool { panic("boom") })),
				function(c, "sizes", reprise.SizeOf(func(int) int64 { panic("boom") })),
			}
		}, []string{"func=skips", "func=sizes"}},
		{"a loader", func(c *reprise.Cache) []asker {
			load := reprise.Memoize(c, "loads", func(_ context.Context, n int) (int, error) {
				time.Sleep(2 * time.Millisecond)
				if n < 0 {
					panic("boom")
				}
				return n, nil
			}, reprise.SkipValue(func(int) bool { panic("boom") }))
			return []asker{func(ctx context.Context, n int) {
				_, _ = load(ctx, n)
				ctx, leave := context.WithTimeout(ctx, time.Millisecond)
				defer leave()
				_, _ = load(ctx, -n) // has left when the loader panics: nobody hears of it
				time.Sleep(2 * time.Millisecond)
			}}
		}, []string{"option=SkipValue", "a loader panicked"}},
		{"a handler", func(c *reprise.Cache) []asker {
			stored := make(map[string]bool)
			h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
				if stored[r.URL.Path] {
					panic("boom")
				}
				stored[r.URL.Path] = true
				_, _ = fmt.Fprint(w, r.URL)
			}, reprise.TTL(time.Second), reprise.StaleWhileRevalidate(time.Hour))
			return []asker{func(_ context.Context, n int) {
				get(h, fmt.Sprint("/", n))
				get(h, fmt.Sprint("/", max(1, n-15))) // stale by now, and refreshed in the background
				synctest.Wait()
			}}
		}, []string{"a handler panicked"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				c := open(t, reprise.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				askers := tt.open(c)
				n := 0
				ask := func(until time.Duration) {
					for end := time.Now().Add(until); time.Now().Before(end); time.Sleep(time.Second / 10) {
						n++
						for _, ask := range askers {
							ask(t.Context(), n)
						}
					}
					synctest.Wait()
				}
				check := func(when string, want int) {
					t.Helper()
					for _, text := range tt.want {
						if got := strings.Count(log.String(), text); got != want {
							t.Errorf("%s %d lines have %q; want %d:\n%s", when, got, text, want, log.String())
						}
					}
					if got := strings.Count(log.String(), "panicked"); got != want*len(tt.want) {
						t.Errorf("%s %d lines; want %d", when, got, want*len(tt.want))
					}
				}
				ask(9 * time.Second)
				check("after nine seconds", 1)
				ask(5 * time.Second)
				check("after fourteen", 2)
			})
		})
	}
}
