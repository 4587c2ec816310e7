package reprise

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/store"
)

// TestHorizon: it is never behind the time, and comes to rest when nobody asks.
func TestHorizon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHorizon()
		end := time.Now().Add(time.Hour).UnixNano()
		if h.before(end) || h.before(nowhere) {
			t.Fatal("a moment is later than a horizon that nobody moves")
		}
		for range 3 {
			h.start(time.Now())
			h.start(time.Now().Add(-time.Hour)) // of one who read the clock long ago
			for range 1000 {
				if at := h.at.Load(); at <= time.Now().UnixNano() || at == nowhere {
					t.Fatalf("the horizon is %v from now", time.Duration(at-time.Now().UnixNano()))
				}
				if soon := time.Now().Add(horizonAhead / 2).UnixNano(); h.before(time.Now().UnixNano()) || h.before(soon) {
					t.Fatal("the horizon is before what may come before it is moved")
				}
				if !h.before(end) {
					t.Fatal("the horizon is not before the end of an hour")
				}
				time.Sleep(horizonAhead / 100)
			}
			time.Sleep(horizonAhead)
			synctest.Wait()
			if at := h.at.Load(); at != nowhere {
				t.Fatalf("a horizon that nobody asks for is %v from now", time.Duration(at-time.Now().UnixNano()))
			}
		}
	})
}

// TestHorizonLost: a timer that does not come in time, or at all, is noticed by those who read the clock, and if it comes after all there
// are not two of them.
func TestHorizonLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHorizon()
		late := time.Now().UnixNano() // where it was left
		h.at.Store(late)
		if !h.before(late + 1) {
			t.Fatal("a horizon that nobody moves is not where it was left")
		}
		h.start(time.Now())
		for range 10 {
			at := h.at.Load()
			if at <= time.Now().UnixNano() {
				t.Fatal("a horizon that was lost is behind the time")
			}
			h.tick(late)
			if h.at.Load() != at {
				t.Fatal("a timer that was given up moves the horizon")
			}
			h.asked.Store(true)
			time.Sleep(horizonAhead / 2)
			synctest.Wait()
		}
	})
}

// TestResultsEndInTime: calls that do not read the clock notice the end of a result no later than those that do.
func TestResultsEndInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Must(New(Config{}))
		defer func() { _ = c.Close() }()
		var mu sync.Mutex
		var loaded []time.Time
		resting := 0
		f := Memoize(c, "f", func(context.Context, int) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			loaded = append(loaded, time.Now())
			return len(loaded), nil
		}, TTL(10*time.Second))
		for range 4000 {
			v, err := f(t.Context(), 1)
			if age := time.Since(loaded[len(loaded)-1]); err != nil || v != len(loaded) || age >= 10*time.Second {
				t.Fatalf("result %d of %d, %v old, %v", v, len(loaded), age, err)
			}
			time.Sleep(10 * time.Millisecond)
			if c.horizon.at.Load() == nowhere {
				resting++
			}
		}
		if resting > 4*100 { // in the last second before an end the horizon is of no use
			t.Errorf("%d of 4000 calls have nothing but the clock", resting)
		}
		if len(loaded) != 4 {
			t.Errorf("%d loads in 40 s; want 4", len(loaded))
		}
	})
}

// TestEndedIsNotThere: a store of this process has entries for a while after their time, and nobody sees one.
func TestEndedIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last Event
		c := Must(New(Config{Observe: func(_ context.Context, ev Event) { last = ev }}))
		defer func() { _ = c.Close() }()
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/varied" {
				w.Header().Set("Vary", "Accept-Language")
			}
			_, _ = io.WriteString(w, "page")
		}, TTL(time.Second))
		keys := func() (n int) {
			for _, err := range c.Entries(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			return n
		}
		ask := func(path string, want Outcome, why Reason) {
			t.Helper()
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
			if last.Outcome != want || last.Reason != why {
				t.Errorf("%s: %v, %q; want %v, %q", path, last.Outcome, last.Reason, want, why)
			}
		}
		load := func(context.Context, int) (int, error) { return 1, nil }
		f, err := NewFunc(c, "f", load, TTL(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		call := func(want Outcome, why Reason) {
			t.Helper()
			if _, err := f.Get(t.Context(), 1); err != nil || last.Outcome != want || last.Reason != why {
				t.Errorf("f: %v, %q, %v; want %v, %q", last.Outcome, last.Reason, err, want, why)
			}
		}
		time.Sleep(300 * time.Millisecond) // what ends does so between two looks of the store at the clock
		for range 2 {
			ask("/plain", Miss, "")
			ask("/varied", Miss, "")
			call(Miss, "")
			time.Sleep(time.Second - time.Nanosecond)
			ask("/plain", Hit, "")
			ask("/varied", Hit, "")
			call(Hit, "")
			if n := keys(); n != 4 { // with the index of the variants
				t.Errorf("%d entries; want 4", n)
			}
			at, err := f.Key(1)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Nanosecond)
			if v, ok := c.store.local.Load([]byte(at)); !ok || v == nil {
				t.Fatal("the store has nothing to hide")
			}
			if n := keys(); n != 0 {
				t.Errorf("%d entries whose time is over", n)
			}
			if _, err := c.Entry(t.Context(), at); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Entry of a result whose time is over: %v", err)
			}
		}
	})
}
