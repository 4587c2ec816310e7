package reprise_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// TestFuncEvents: there is one event for each call, with what became of it.
func TestFuncEvents(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		var mu sync.Mutex
		var events []reprise.Event
		c := open(t, reprise.Config{Store: s, Logger: silent(), Observe: func(_ context.Context, e reprise.Event) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, e)
		}})
		fail := false
		f := newFunc(t, c, "f", func(ctx context.Context, key string) (int, error) {
			switch {
			case fail:
				return 0, errLoad
			case key == "none":
				reprise.NoStore(ctx)
			}
			return 1, nil
		}, reprise.StaleWhileRevalidate(time.Second), reprise.StaleIfError(time.Hour))
		step := func(key string, want ...reprise.Event) {
			t.Helper()
			events = nil
			_, _ = f.Get(t.Context(), key)
			synctest.Wait()
			if len(events) != len(want) {
				t.Fatalf("%d events %+v; want %d", len(events), events, len(want))
			}
			// A background load and the call that began it end in any order.
			slices.SortFunc(events, func(a, b reprise.Event) int { return int(a.Outcome) - int(b.Outcome) })
			for i, got := range events {
				if got.Name != "f" || got.Method != "" || got.Key != "reprise|~f:f|"+key || got.Start.IsZero() {
					t.Errorf("event %+v; want it to name function and key", got)
				}
				if (got.Err != nil) != (want[i].Err != nil) {
					t.Errorf("error %v; want %v", got.Err, want[i].Err)
				}
				got.Name, got.Key, got.Start, got.Err = "", "", time.Time{}, nil
				want[i].Err = nil
				if got != want[i] {
					t.Errorf("event %+v; want %+v", got, want[i])
				}
			}
		}
		step("k", reprise.Event{Outcome: reprise.Miss, TTL: time.Minute})
		time.Sleep(time.Second)
		step("k", reprise.Event{Outcome: reprise.Hit, Age: time.Second, TTL: 59 * time.Second})
		step("none", reprise.Event{Outcome: reprise.Pass, Reason: reprise.ReasonFromInside, TTL: time.Minute})
		time.Sleep(59 * time.Second)
		fail = true
		step("k",
			reprise.Event{Outcome: reprise.Stale, Reason: reprise.ReasonRefreshing, Age: time.Minute},
			reprise.Event{Outcome: reprise.Refreshed, Reason: reprise.ReasonLoadError, Err: errLoad})
		time.Sleep(2 * time.Second)
		step("k", reprise.Event{Outcome: reprise.Stale, Reason: reprise.ReasonInsteadOfError, Age: 62 * time.Second, TTL: -2 * time.Second, Err: errLoad})
		step("other", reprise.Event{Outcome: reprise.Failed, Reason: reprise.ReasonLoadError, Err: errLoad})
		fail = false
		step("k", reprise.Event{Outcome: reprise.Miss, Reason: reprise.ReasonExpired, TTL: time.Minute})
		if _, err := f.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
		step("k", reprise.Event{Outcome: reprise.Miss, TTL: time.Minute})
		c.SetEnabled(false)
		events = nil
		_, _ = f.Get(t.Context(), "k")
		if len(events) != 1 || events[0].Outcome != reprise.Bypass || events[0].Reason != reprise.ReasonDisabled || events[0].Name != "f" {
			t.Errorf("events %+v; want a bypass", events)
		}
		want := reprise.Stats{Hits: 1, Stales: 2, Misses: 3, Passes: 1, Bypasses: 1, Refreshes: 1, Failures: 1}
		got := c.Stats()
		got.Entries, got.Bytes = 0, 0
		if got != want {
			t.Errorf("Stats = %+v; want %+v", got, want)
		}
	})
}

// TestFuncEntry: what a function has stored is seen like any other entry, live or encoded.
func TestFuncEntry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range []store.Store{nil, newOutside(t)} {
			c := open(t, reprise.Config{Store: s})
			f := newFunc(t, c, "f", func(ctx context.Context, _ int) (string, error) {
				reprise.AddTags(ctx, "inside")
				return "v", nil
			}, reprise.Tags("static"))
			wants(t, "Get", "v")(f.Get(t.Context(), 1))
			synctest.Wait()
			key, err := f.Key(1)
			if err != nil {
				t.Fatal(err)
			}
			e, err := c.Entry(t.Context(), key)
			if err != nil || e.Key != key || e.Base != key || e.Kind != "value" || !slices.Equal(e.Tags, []string{"inside", "static"}) || e.Stale {
				t.Errorf("Entry = %+v, %v; want the value with its tags", e, err)
			}
			if d := e.Expires.Sub(e.Stored); d != time.Minute || !e.Stored.Equal(time.Now()) {
				t.Errorf("Entry: stored %v, expires after %v; want now and a minute", e.Stored, d)
			}
			if s == nil && entries(t, c) != 1 {
				t.Errorf("%d entries; want 1", entries(t, c))
			}
		}
	})
}

// TestFuncSize: the estimate of what a value takes is about right where the type tells it, and SizeOf tells the rest.
func TestFuncSize(t *testing.T) {
	type row struct {
		ID   int64
		Name string
		Next *row
	}
	c := open(t, reprise.Config{})
	word, of := int64(reflect.TypeFor[int]().Size()), int64(reflect.TypeFor[row]().Size())
	size(t, c, "int", 7, word)
	size(t, c, "string", strings.Repeat("x", 1000), 2*word+64+1000)
	size(t, c, "bytes", make([]byte, 1000), 3*word+64+1000)
	size(t, c, "row", row{}, of+2*64)
	size(t, c, "pointer", &row{}, word+64+of+2*64)
	size(t, c, "rows", make([]row, 10), 3*word+64+10*(of+2*64))
	size(t, c, "map", map[int64]bool{1: true, 2: true}, word+64+2*(8+1+16))
	size(t, c, "array", [3]string{}, 3*(2*word+64))
	size(t, c, "SizeOf", &row{}, 5000, reprise.SizeOf(func(*row) int64 { return 5000 }))
	size(t, c, "less than nothing", 7, 0, reprise.SizeOf(func(int) int64 { return -1 << 40 }))

	// A value that is too large for the store is returned, and not stored.
	loads := 0
	f := newFunc(t, c, "huge", func(context.Context, int) (int, error) { loads++; return 1, nil },
		reprise.SizeOf(func(int) int64 { return memstore.DefaultMaxBytes }))
	for range 2 {
		wants(t, "a huge value", 1)(f.Get(t.Context(), 1))
	}
	if loads != 2 {
		t.Errorf("%d loads; want 2", loads)
	}
}

// size compares what two functions of equal keys count for: one of V, and one of nothing.
func size[V any](t *testing.T, c *reprise.Cache, name string, v V, want int64, opts ...reprise.FuncOption) {
	t.Helper()
	load := func(context.Context, struct{}) (V, error) { return v, nil }
	bytes := func(ns string, opts ...reprise.FuncOption) int64 {
		f := newFunc(t, c.Namespace(ns), name, load, opts...)
		before := c.Stats().Bytes
		if _, err := f.Get(t.Context(), struct{}{}); err != nil {
			t.Fatal(err)
		}
		return c.Stats().Bytes - before
	}
	zero := bytes("a", reprise.SizeOf(func(V) int64 { return 0 }))
	if got := bytes("b", opts...) - zero; got != want {
		t.Errorf("%s: a value counts for %d bytes; want %d", name, got, want)
	}
}
