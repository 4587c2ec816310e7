package reprise_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

func TestFuncStaleWhileRevalidate(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var n atomic.Int64
		f := newFunc(t, c, "f", func(ctx context.Context, _ int) (int64, error) {
			if n.Load() > 0 && ctx.Value(http1{}) != nil {
				t.Error("a background load has a value of the call that found the old one")
			}
			time.Sleep(time.Second)
			return n.Add(1), nil
		}, reprise.StaleWhileRevalidate(10*time.Second))
		ctx := context.WithValue(t.Context(), http1{}, "request")
		wants(t, "first call", int64(1))(f.Get(t.Context(), 1))
		time.Sleep(time.Minute)
		start := time.Now()
		for range 3 {
			wants(t, "stale", int64(1))(f.Get(ctx, 1))
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("3 stale values took %v; want no wait", d)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		wants(t, "refreshed", int64(2))(f.Get(ctx, 1))
		time.Sleep(time.Minute + 11*time.Second)
		wants(t, "after the window", int64(3))(f.Get(t.Context(), 1))
		if stats := c.Stats(); stats.Stales != 3 || stats.Refreshes != 1 || stats.Misses != 2 {
			t.Errorf("Stats = %+v; want 3 stale, 1 refresh, 2 misses", stats)
		}
	})
}

// http1 is the key of a value in a context.
type http1 struct{}

// TestFuncRefreshBackoff: after each failure the next background load waits longer.
func TestFuncRefreshBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{Logger: silent()})
		var fails []time.Duration
		var down time.Time
		f := newFunc(t, c, "f", func(context.Context, int) (int, error) {
			switch {
			case down.IsZero():
				return 1, nil
			case len(fails)%2 == 0:
				fails = append(fails, time.Since(down))
				panic("boom")
			}
			fails = append(fails, time.Since(down))
			return 0, errLoad
		}, reprise.StaleWhileRevalidate(time.Hour))
		wants(t, "first call", 1)(f.Get(t.Context(), 1))
		time.Sleep(time.Minute)
		for down = time.Now(); time.Since(down) < 10*time.Second; time.Sleep(100 * time.Millisecond) {
			wants(t, "stale", 1)(f.Get(t.Context(), 1))
			synctest.Wait()
		}
		if want := []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second}; !slices.Equal(fails, want) {
			t.Errorf("background loads at %v; want them at %v", fails, want)
		}
		down = time.Time{}
		time.Sleep(8 * time.Second)
		wants(t, "stale", 1)(f.Get(t.Context(), 1))
	})
}

// TestFuncRefreshBound: no more background loads than Limits.Refreshes run at once.
func TestFuncRefreshBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{Limits: reprise.Limits{Refreshes: 2}})
		var running, most, loads atomic.Int64
		f := newFunc(t, c, "f", func(context.Context, int) (int, error) {
			loads.Add(1)
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(time.Second)
			return 1, nil
		}, reprise.StaleWhileRevalidate(time.Hour))
		for i := range 10 {
			wants(t, "first call", 1)(f.Get(t.Context(), i))
		}
		most.Store(0)
		time.Sleep(time.Minute)
		for i := range 10 {
			wants(t, "stale", 1)(f.Get(t.Context(), i))
			wants(t, "stale again", 1)(f.Get(t.Context(), i))
		}
		synctest.Wait()
		if most.Load() != 2 || loads.Load() != 12 {
			t.Errorf("%d loads, %d in the background at once; want 12 and 2", loads.Load(), most.Load())
		}
	})
}

// TestFuncRefreshAhead: a value that is asked for is replaced before its time is over, and nobody waits.
func TestFuncRefreshAhead(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var running, most atomic.Int64
		began := map[int][]time.Duration{}
		var mu sync.Mutex
		start := time.Now()
		f := newFunc(t, c, "f", func(_ context.Context, key int) (int, error) {
			mu.Lock()
			began[key] = append(began[key], time.Since(start))
			mu.Unlock()
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			if time.Since(start) > 0 {
				time.Sleep(5 * time.Second)
			}
			return key, nil
		}, reprise.TTL(100*time.Second), reprise.RefreshAhead(0.5))
		const keys = 10
		for time.Since(start) < 200*time.Second {
			for key := range keys {
				before := time.Now()
				wants(t, "call", key)(f.Get(t.Context(), key))
				if d := time.Since(before); d != 0 {
					t.Fatalf("a call waited %v at %v", d, before.Sub(start))
				}
			}
			synctest.Wait()
			time.Sleep(time.Second)
		}
		moments := map[time.Duration]bool{}
		for key, at := range began {
			if len(at) < 3 || len(at) > 5 {
				t.Errorf("key %d: loads at %v; want one each 50 to 75 s", key, at)
				continue
			}
			if at[1] < 50*time.Second || at[1] > 76*time.Second {
				t.Errorf("key %d: refreshed at %v; want it in the third quarter of 100s", key, at[1])
			}
			moments[at[1]] = true
		}
		if len(moments) < keys/2 {
			t.Errorf("%d keys were refreshed at %d moments; want them spread", keys, len(moments))
		}
	})
}

func TestFuncStaleIfError(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		var log bytes.Buffer
		c := open(t, reprise.Config{Store: s, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		fail := func() (int, error) { return 1, nil }
		f := newFunc(t, c, "f", func(context.Context, int) (int, error) { return fail() },
			reprise.StaleIfError(time.Hour), reprise.FillTimeout(time.Second), reprise.ErrorTTL(time.Hour))
		wants(t, "first call", 1)(f.Get(t.Context(), 1))
		synctest.Wait()
		time.Sleep(2 * time.Minute)
		stale := func(what string, ctx context.Context, want error) {
			t.Helper()
			age := 2 * time.Minute
			start := time.Now()
			v, err := f.Get(ctx, 1)
			age += time.Since(start)
			var se *reprise.StaleError
			if v != 1 || !errors.As(err, &se) || want != nil && !errors.Is(err, want) || se.Age < age {
				t.Errorf("%s: got %d, %v; want the old value with a *StaleError for %v", what, v, err, want)
			}
			v, err = reprise.AllowStale(v, err)
			wants(t, what+": AllowStale", 1)(v, err)
			synctest.Wait()
		}
		fail = func() (int, error) { return 0, errLoad }
		stale("error", t.Context(), errLoad)
		stale("error again: it is not remembered in place of the value", t.Context(), errLoad)
		if v, err := f.Refresh(t.Context(), 1); v != 0 || !errors.Is(err, errLoad) {
			t.Errorf("Refresh = %d, %v; want the error alone", v, err)
		}
		fail = func() (int, error) { panic("boom") }
		stale("panic", t.Context(), nil)
		if !strings.Contains(log.String(), "boom") {
			t.Errorf("log %q; want the panic that nobody saw", log.String())
		}
		fail = func() (int, error) { time.Sleep(time.Minute); return 2, nil }
		stale("timeout", t.Context(), reprise.ErrFillTimeout)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		stale("the caller's deadline", ctx, context.DeadlineExceeded)
		time.Sleep(time.Minute)

		fail = func() (int, error) { return 0, errLoad }
		if n, err := f.Delete(t.Context(), 1); n != 1 || err != nil {
			t.Fatalf("Delete = %d, %v; want 1", n, err)
		}
		if v, err := f.Get(t.Context(), 1); v != 0 || !errors.Is(err, errLoad) {
			t.Errorf("got %d, %v; want no value that was deleted", v, err)
		}
	})
}

// TestAllowStale: an error that only wraps a StaleError came without a value.
func TestAllowStale(t *testing.T) {
	se := &reprise.StaleError{Err: errLoad}
	for _, err := range []error{errLoad, fmt.Errorf("page: %w", se), errors.Join(se, errLoad)} {
		if _, got := reprise.AllowStale(0, err); got != err {
			t.Errorf("AllowStale(%v) = %v; want it as it is", err, got)
		}
	}
	wants(t, "AllowStale of no error", 1)(reprise.AllowStale(1, nil))
	wants(t, "AllowStale of old values", 1)(reprise.AllowStale(1, error(&reprise.ManyError{Errs: []error{se, nil}})))
	_, err := reprise.AllowStale(1, error(&reprise.ManyError{Errs: []error{se, errLoad}}))
	var many *reprise.ManyError
	if !errors.As(err, &many) || many.Errs[0] != nil || many.Errs[1] != errLoad {
		t.Errorf("AllowStale = %v; want the error of the second key alone", err)
	}

	// A loader that hands on another function's StaleError has no value to go with it.
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		outer := reprise.Memoize(c, "outer", func(context.Context, int) (int, error) { return 0, se })
		v, err := reprise.AllowStale(outer(t.Context(), 1))
		if !errors.Is(err, errLoad) {
			t.Errorf("got %d, %v; want the error", v, err)
		}
	})
}
