package reprise_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// eachStore runs a test with live values and with encoded ones, under a fake clock.
func eachStore(t *testing.T, test func(t *testing.T, s store.Store)) {
	t.Helper()
	t.Run("inside", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, nil) })
	})
	t.Run("outside", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, newOutside(t)) })
	})
}

// counting is a loader that answers 1, 2, 3 … after d.
func counting[K any](n *atomic.Int64, d time.Duration) func(context.Context, K) (int64, error) {
	return func(context.Context, K) (int64, error) {
		time.Sleep(d)
		return n.Add(1), nil
	}
}

// wants fails the test if a call did not return want.
func wants[V comparable](t *testing.T, what string, want V) func(V, error) {
	t.Helper()
	return func(got V, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s = %v, %v; want %v", what, got, err, want)
		}
	}
}

func TestMemoize(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var n atomic.Int64
		f := reprise.Memoize(c, "f", counting[string](&n, 0))
		wants(t, "first call", int64(1))(f(t.Context(), "a"))
		synctest.Wait()
		wants(t, "second call", int64(1))(f(t.Context(), "a"))
		wants(t, "another key", int64(2))(f(t.Context(), "b"))
		synctest.Wait()
		time.Sleep(time.Minute - 1)
		wants(t, "just before the end of a minute", int64(1))(f(t.Context(), "a"))
		time.Sleep(time.Nanosecond)
		wants(t, "after a minute", int64(3))(f(t.Context(), "a"))
	})
}

// TestMemoizeValues: what is nothing in other caches is a value here.
func TestMemoizeValues(t *testing.T) {
	type product struct {
		Name string
		Tags []string
	}
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		value(t, c, "zero", 0)
		value(t, c, "empty", "")
		value(t, c, "nil", (*product)(nil))
		value(t, c, "nil slice", []int(nil))
		value(t, c, "empty slice", []int{})
		value(t, c, "map", map[string]int{"a": 1})
		value(t, c, "struct", product{"shoe", []string{"a", "b"}})
		value(t, c, "pointer", &product{"shoe", nil})
		value(t, c, "time", time.Unix(1, 2).UTC())
		value(t, c, "interface", any("text"))
		value(t, c, "nil interface", any(nil))
		value(t, c, "gob", product{"shoe", []string{"a"}}, reprise.UseCodec(reprise.Gob))
		value(t, c, "bytes", []byte{0, 255}, reprise.UseCodec(reprise.Bytes))
	})
}

func value[V any](t *testing.T, c *reprise.Cache, name string, want V, opts ...reprise.FuncOption) {
	t.Helper()
	calls := 0
	f := reprise.Memoize(c, name, func(context.Context, struct{}) (V, error) { calls++; return want, nil }, opts...)
	for range 2 {
		if got, err := f(t.Context(), struct{}{}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v; want %#v", name, got, err, want)
		}
		synctest.Wait()
	}
	if calls != 1 {
		t.Errorf("%s: %d calls; want 1", name, calls)
	}
}

func TestMemoizeHitAllocs(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector drops what is pooled")
	}
	c := open(t, reprise.Config{})
	allocs(t, c, "int", 42)
	allocs(t, c, "string", "products/42")
	allocs(t, c, "struct", search{"shoes", 2, true})
	allocs(t, c, "time", struct{ At time.Time }{time.Now()})
	allocs(t, c, "long", strings.Repeat("x", 300))
	allocs(t, c, "stale", 42, reprise.StaleWhileRevalidate(time.Hour), reprise.StaleIfError(time.Hour), reprise.RefreshAhead(0.1))
	allocs(t, c, "tagged", 42, reprise.Tags("t"))
}

func allocs[K any](t *testing.T, c *reprise.Cache, name string, key K, opts ...reprise.FuncOption) {
	t.Helper()
	f := reprise.Memoize(c, name, func(context.Context, K) (string, error) { return "v", nil }, append(opts, reprise.TTL(time.Hour))...)
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if v, err := f(ctx, key); v != "v" || err != nil {
			t.Fatal(v, err)
		}
	}); n != 0 {
		t.Errorf("%s: a hit allocates %v times; want 0", name, n)
	}
}

// TestMemoizeStampede: of a thousand calls one loads, and all have its answer as soon as it is there. How many requests may
// wait for a handler is nothing to them.
func TestMemoizeStampede(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s, Limits: reprise.Limits{Followers: 1}})
		var n atomic.Int64
		f := reprise.Memoize(c, "f", counting[int](&n, 50*time.Millisecond))
		start := time.Now()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { wants(t, "call", int64(1))(f(t.Context(), 1)) })
		}
		wg.Wait()
		if d := time.Since(start); d != 50*time.Millisecond || n.Load() != 1 {
			t.Errorf("%d loads in %v; want 1 in 50ms", n.Load(), d)
		}
		stats := c.Stats()
		if stats.Misses != 1 || stats.Collapsed != 999 {
			t.Errorf("Stats = %+v; want 1 miss, 999 collapsed", stats)
		}
	})
}

// TestMemoizeContext: each call leaves when its own context ends, and harms nobody; the loader's context ends with the last.
func TestMemoizeContext(t *testing.T) {
	type user struct{}
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var ended, values []string
		f := newFunc(t, c, "f", func(ctx context.Context, key string) (string, error) {
			name, _ := ctx.Value(user{}).(string)
			values = append(values, name)
			if _, ok := ctx.Deadline(); ok {
				t.Error("the loader's context has the deadline of a caller")
			}
			select {
			case <-ctx.Done():
				ended = append(ended, context.Cause(ctx).Error())
				return "", ctx.Err()
			case <-time.After(time.Second):
				return "v", nil
			}
		})
		call := func(name string, d time.Duration) (time.Duration, error) {
			ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), user{}, name), d)
			defer cancel()
			start := time.Now()
			_, err := f.Get(ctx, "k")
			return time.Since(start), err
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if d, err := call("leader", 100*time.Millisecond); d != 100*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the leader got %v after %v; want its own deadline after 100ms", err, d)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if d, err := call("follower", 200*time.Millisecond); d != 200*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("a follower got %v after %v; want its own deadline after 200ms", err, d)
			}
		})
		wg.Go(func() {
			if d, err := call("patient", time.Hour); d != time.Second || err != nil {
				t.Errorf("the patient one got %v after %v; want the value after 1s", err, d)
			}
		})
		wg.Wait()
		if !slices.Equal(values, []string{"leader"}) || ended != nil {
			t.Errorf("loads by %q, of which ended %q; want one by the leader", values, ended)
		}

		// Nobody waits: the load ends, and the next call begins a new one.
		if n, err := f.Delete(t.Context(), "k"); n != 1 || err != nil {
			t.Fatalf("Delete = %d, %v; want 1", n, err)
		}
		if _, err := call("alone", 100*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want the deadline", err)
		}
		synctest.Wait()
		if len(ended) != 1 || !strings.Contains(ended[0], "nobody waits") {
			t.Errorf("ended %q; want one load that nobody waited for", ended)
		}
		if _, err := call("next", time.Hour); err != nil || len(values) != 3 {
			t.Errorf("got %v after %d loads; want the value of the third", err, len(values))
		}

		// A call that comes too late begins nothing, but gets what is there.
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		wants(t, "a hit", "v")(f.Get(gone, "k"))
		if _, err := f.Get(gone, "other"); !errors.Is(err, context.Canceled) || len(values) != 3 {
			t.Errorf("got %v after %d loads; want Canceled and no load", err, len(values))
		}
	})
}

// TestMemoizeFillTimeout: who waits for a loader that takes too long gets an error, and what it returns is dropped.
func TestMemoizeFillTimeout(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var n atomic.Int64
		f := reprise.Memoize(c, "f", counting[int](&n, time.Minute), reprise.FillTimeout(time.Second))
		start := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if _, err := f(t.Context(), 1); !errors.Is(err, reprise.ErrFillTimeout) || time.Since(start) != time.Second {
					t.Errorf("got %v after %v; want ErrFillTimeout after 1s", err, time.Since(start))
				}
			})
		}
		wg.Wait()
		time.Sleep(2 * time.Minute)
		if n.Load() != 1 || entries(t, c) != 0 {
			t.Errorf("%d loads, %d entries; want 1 and none", n.Load(), entries(t, c))
		}
	})
}

// entries counts what is stored; a store that cannot list has none.
func entries(t *testing.T, c *reprise.Cache) (n int) {
	t.Helper()
	for _, err := range c.Entries(t.Context(), "") {
		if err == nil {
			n++
		}
	}
	return n
}

func explode(context.Context, int) (int, error) {
	time.Sleep(time.Second)
	panic("boom")
}

// TestMemoizePanic: a panic comes out where the load began, others get it as an error, and the key works on.
func TestMemoizePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{Logger: silent()})
		f := reprise.Memoize(c, "f", explode)
		for range 2 {
			var panics, errs atomic.Int64
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					defer func() {
						v := recover()
						p, ok := v.(*reprise.PanicError)
						if v != nil && (!ok || p.Value != "boom" || !strings.Contains(string(p.Stack), "reprise_test.explode")) {
							t.Errorf("panicked with %v; want a *PanicError with the loader's stack", v)
						}
						if v != nil {
							panics.Add(1)
						}
					}()
					_, err := f(t.Context(), 1)
					var p *reprise.PanicError
					if !errors.As(err, &p) || p.Value != "boom" {
						t.Errorf("got %v; want a *PanicError", err)
					}
					errs.Add(1)
				})
			}
			wg.Wait()
			if panics.Load() != 1 || errs.Load() != 9 {
				t.Errorf("%d panics, %d errors; want 1 and 9", panics.Load(), errs.Load())
			}
		}

		abort := reprise.Memoize(c, "abort", func(context.Context, int) (int, error) { panic(http.ErrAbortHandler) })
		func() {
			defer func() {
				if v := recover(); v != any(http.ErrAbortHandler) {
					t.Errorf("panicked with %v; want http.ErrAbortHandler itself", v)
				}
			}()
			_, _ = abort(t.Context(), 1)
		}()
	})
}

// TestMemoizeGoexit: a loader that ends its goroutine ends that of the call that began it, and nobody else's.
func TestMemoizeGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		f := reprise.Memoize(c, "f", func(context.Context, int) (int, error) {
			time.Sleep(time.Second)
			runtime.Goexit()
			return 0, nil
		})
		var ended, failed atomic.Int64
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				returned := false
				defer func() {
					if !returned {
						ended.Add(1)
					}
				}()
				if _, err := f(t.Context(), 1); err != nil {
					failed.Add(1)
				}
				returned = true
			})
		}
		wg.Wait()
		if ended.Load() != 1 || failed.Load() != 2 {
			t.Errorf("%d goroutines ended, %d errors; want 1 and 2", ended.Load(), failed.Load())
		}
	})
}

// TestMemoizeRecursion: a loader that waits for itself is told so instead of waiting for FillTimeout.
func TestMemoizeRecursion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var f func(context.Context, int) (int, error)
		f = reprise.Memoize(c, "f", func(ctx context.Context, n int) (int, error) {
			v, err := f(ctx, n/2) // 0 asks for 0
			return v + 1, err
		})
		start := time.Now()
		if _, err := f(t.Context(), 5); err == nil || !strings.Contains(err.Error(), "asks for the key that it loads") || time.Since(start) != 0 {
			t.Errorf("got %v after %v; want to be told at once", err, time.Since(start))
		}
	})
}

var errLoad = errors.New("no connection")

func TestMemoizeErrors(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var n atomic.Int64
		load := func(context.Context, int) (int, error) {
			n.Add(1)
			return 7, errLoad
		}
		plain := reprise.Memoize(c, "plain", load)
		for range 2 {
			if v, err := plain(t.Context(), 1); v != 0 || !errors.Is(err, errLoad) {
				t.Errorf("got %d, %v; want the loader's error", v, err)
			}
			synctest.Wait()
		}
		if n.Load() != 2 {
			t.Errorf("%d loads; want 2: errors are not stored", n.Load())
		}

		n.Store(0)
		remembering := reprise.Memoize(c, "remembering", load, reprise.ErrorTTL(time.Second))
		for range 3 {
			v, err := remembering(t.Context(), 1)
			var remembered *reprise.RememberedError
			if v != 0 || !errors.Is(err, errLoad) && !errors.As(err, &remembered) || err.Error() != errLoad.Error() {
				t.Errorf("got %d, %v; want the error or its text", v, err)
			}
			synctest.Wait()
		}
		if n.Load() != 1 {
			t.Errorf("%d loads; want 1: the error is remembered", n.Load())
		}
		time.Sleep(time.Second)
		if _, err := remembering(t.Context(), 1); !errors.Is(err, errLoad) || n.Load() != 2 {
			t.Errorf("got %v after %d loads; want a second load", err, n.Load())
		}

		canceled := reprise.Memoize(c, "canceled", func(context.Context, int) (int, error) {
			n.Add(1)
			return 0, fmt.Errorf("query: %w", context.Canceled)
		}, reprise.ErrorTTL(time.Hour))
		n.Store(0)
		for range 2 {
			_, _ = canceled(t.Context(), 1)
			synctest.Wait()
		}
		if n.Load() != 2 {
			t.Errorf("%d loads; want 2: that somebody left is not remembered", n.Load())
		}
	})
}

func TestMemoizeSkipValue(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s, Logger: silent()})
		var n atomic.Int64
		load := counting[int](&n, time.Second)
		odd := reprise.Memoize(c, "odd", load, reprise.SkipValue(func(v int64) bool { return v%2 == 1 }))
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { wants(t, "a skipped value", int64(1))(odd(t.Context(), 1)) })
		}
		wg.Wait()
		synctest.Wait()
		wants(t, "the next call", int64(2))(odd(t.Context(), 1))
		synctest.Wait()
		wants(t, "a hit", int64(2))(odd(t.Context(), 1))

		broken := reprise.Memoize(c, "broken", load, reprise.SkipValue(func(int64) bool { panic("boom") }))
		wants(t, "a value whose SkipValue panics", int64(3))(broken(t.Context(), 1))
		synctest.Wait()
		wants(t, "the next one", int64(4))(broken(t.Context(), 1))
	})
}

func TestMemoizeCloneWith(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		f := newFunc(t, c, "f", func(context.Context, int) ([]int, error) {
			time.Sleep(time.Second)
			return []int{1, 2, 3}, nil
		}, reprise.CloneWith(slices.Clone[[]int]))
		check := func() {
			v, err := f.Get(t.Context(), 1)
			if err != nil || !slices.Equal(v, []int{1, 2, 3}) {
				t.Errorf("Get = %v, %v; want the value as it was loaded", v, err)
			}
			clear(v)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(check)
		}
		wg.Wait()
		synctest.Wait()
		check()
		check()
		mine := []int{1, 2, 3}
		if err := f.Set(t.Context(), 1, mine); err != nil {
			t.Fatal(err)
		}
		clear(mine)
		check()
		check()
	})
}

func TestMemoizeFromInside(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var n atomic.Int64
		f := reprise.Memoize(c.Namespace("ns"), "f", func(ctx context.Context, key string) (int64, error) {
			if inner := reprise.FromContext(ctx); inner == nil {
				t.Error("FromContext = nil in a loader")
			} else if err := reprise.Set(ctx, inner, "seen", key); err != nil {
				t.Error(err)
			}
			switch key {
			case "short":
				reprise.SetTTL(ctx, time.Second)
			case "none":
				reprise.NoStore(ctx)
			case "zero":
				reprise.SetTTL(ctx, 0)
			case "tags":
				for i := range 257 {
					reprise.AddTags(ctx, fmt.Sprint(i))
				}
			case "long tag":
				reprise.AddTags(ctx, strings.Repeat("x", 1025))
			}
			return n.Add(1), nil
		})
		for _, tt := range []struct {
			key   string
			loads int64
		}{{"plain", 1}, {"short", 1}, {"none", 2}, {"zero", 2}, {"tags", 2}, {"long tag", 2}} {
			before := n.Load()
			for range 2 {
				if _, err := f(t.Context(), tt.key); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if got := n.Load() - before; got != tt.loads {
				t.Errorf("%s: %d loads for 2 calls; want %d", tt.key, got, tt.loads)
			}
		}
		if v, ok, err := reprise.Get[string](t.Context(), c.Namespace("ns"), "seen"); v != "long tag" || !ok || err != nil {
			t.Errorf("Get = %q, %v, %v; want what the last loader has set in its namespace", v, ok, err)
		}
		before := n.Load()
		for _, d := range []time.Duration{time.Second - 1, 1} {
			time.Sleep(d)
			if _, err := f(t.Context(), "short"); err != nil {
				t.Fatal(err)
			}
		}
		if got := n.Load() - before; got != 1 {
			t.Errorf("short: %d loads; want 1, when its second is over", got)
		}
	})
}

// TestMemoizeOff: what is switched off is called as if it were not wrapped, on the caller's goroutine and with its context.
func TestMemoizeOff(t *testing.T) {
	c := open(t, reprise.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var n int64
	load := func(inner context.Context, _ int) (int64, error) {
		if inner.Done() != ctx.Done() {
			t.Error("the context is not the caller's")
		}
		n++
		return n, nil
	}
	many := func(_ context.Context, keys []int) (map[int]int64, error) {
		n++
		return map[int]int64{keys[0]: n}, nil
	}
	twice := func(name string, f *reprise.Func[int, int64]) {
		t.Helper()
		n = 0
		wants(t, name+": first", int64(1))(f.Get(ctx, 1))
		if err := f.Set(ctx, 1, 9); err != nil {
			t.Error(err)
		}
		wants(t, name+": second", int64(2))(f.Get(ctx, 1))
		wants(t, name+": Refresh", int64(3))(f.Refresh(ctx, 1))
		v, err := f.GetMany(ctx, []int{1, 2})
		var e *reprise.ManyError
		if !errors.As(err, &e) || e.Errs[0] != nil || !errors.Is(e.Errs[1], reprise.ErrNotLoaded) || v[0] != 4 {
			t.Errorf("%s: GetMany = %v, %v; want 4 and ErrNotLoaded for the second", name, v, err)
		}
	}
	twice("Off", newFunc(t, c, "off", load, reprise.Off(), reprise.LoadMany(many)))
	twice("TTL(0)", newFunc(t, c, "zero", load, reprise.TTL(0), reprise.LoadMany(many)))
	f := newFunc(t, c, "f", load, reprise.LoadMany(many))
	c.SetEnabled(false)
	twice("disabled", f)
	if err := reprise.Set(ctx, c, "k", 1); err != nil {
		t.Error(err)
	}
	c.SetEnabled(true)
	if _, ok, err := reprise.Get[int](ctx, c, "k"); ok || err != nil {
		t.Errorf("Get = %v, %v; want nothing of what was set while the cache was off", ok, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	twice("closed", f)
}

type search struct {
	Text string
	Page int
	Full bool
}

func BenchmarkMemoizeHit(b *testing.B) {
	benchHit(b, "int", 42)
	benchHit(b, "string", "products/42")
	benchHit(b, "struct", search{"shoes", 2, true})
}

// benchHit compares a hit with a look-up in otter by the same key, with and without expiry.
func benchHit[K comparable](b *testing.B, name string, key K) {
	load := func(context.Context, K) (int, error) { return 1, nil }
	c := open(b, reprise.Config{})
	f := reprise.Memoize(c, name, load, reprise.TTL(time.Hour))
	ctx := context.Background()
	b.Run(name+"/reprise", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if v, err := f(ctx, key); v != 1 || err != nil {
				b.Fatal(v, err)
			}
		}
	})
	expiring := otter.Must(&otter.Options[K, int]{MaximumSize: 1000, ExpiryCalculator: otter.ExpiryWriting[K, int](time.Hour)})
	plain := otter.Must(&otter.Options[K, int]{MaximumSize: 1000})
	for _, x := range []struct {
		name string
		c    *otter.Cache[K, int]
	}{{"otter-expiry", expiring}, {"otter", plain}} {
		x.c.Set(key, 1)
		b.Run(name+"/"+x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v, ok := x.c.GetIfPresent(key); v != 1 || !ok {
					b.Fatal(v, ok)
				}
			}
		})
	}
}
