package reprise_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// has fails the test unless key holds want.
func has[V comparable](t *testing.T, c *reprise.Cache, key string, want V) {
	t.Helper()
	if v, ok, err := reprise.Get[V](t.Context(), c, key); v != want || !ok || err != nil {
		t.Errorf("Get(%q) = %v, %v, %v; want %v", key, v, ok, err, want)
	}
}

func hasNot[V comparable](t *testing.T, c *reprise.Cache, key string) {
	t.Helper()
	var zero V
	if v, ok, err := reprise.Get[V](t.Context(), c, key); v != zero || ok || err != nil {
		t.Errorf("Get(%q) = %v, %v, %v; want nothing", key, v, ok, err)
	}
}

func set[V any](t *testing.T, c *reprise.Cache, key string, v V, opts ...reprise.Policy) {
	t.Helper()
	if err := reprise.Set(t.Context(), c, key, v, opts...); err != nil {
		t.Errorf("Set(%q): %v", key, err)
	}
}

func TestValue(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		hasNot[string](t, c, "greeting")
		set(t, c, "greeting", "hello")
		set(t, c, "empty", "")
		set(t, c, "short", 1, reprise.TTL(time.Second))
		set(t, c, "forever", 2, reprise.TTL(reprise.Forever))
		set(t, c, "off", 3, reprise.Off())
		has(t, c, "greeting", "hello")
		has(t, c, "empty", "")
		hasNot[int](t, c, "off")
		hasNot[struct{ A int }](t, c, "greeting") // of another type
		time.Sleep(time.Second - 1)
		has(t, c, "short", 1)
		time.Sleep(time.Nanosecond)
		hasNot[int](t, c, "short")
		set(t, c, "greeting", "good day")
		has(t, c, "greeting", "good day")
		time.Sleep(time.Minute)
		hasNot[string](t, c, "greeting")
		has(t, c, "forever", 2)
		if n, err := c.Delete(t.Context(), "forever", "greeting"); n != 1 || err != nil {
			t.Errorf("Delete = %d, %v; want 1", n, err)
		}
		hasNot[int](t, c, "forever")
	})
}

// TestValueKeys: an application's keys are any texts, each another one, and apart in each namespace.
func TestValueKeys(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		made := reprise.KeyOf(func(b *reprise.KeyBuilder) { b.Text("a"); b.Int(1) })
		keys := []string{"a", "a|~i:1", made, "a b", "ä", "~k|b", "~p|a", strings.Repeat("x", 1000), strings.Repeat("x", 1001), "\x00"}
		spaces := []*reprise.Cache{c, c.Namespace("ns"), c.Namespace("ns:deep"), c.Namespace("nsx")}
		for i, space := range spaces {
			for j, key := range keys {
				set(t, space, key, 100*i+j)
			}
		}
		for i, space := range spaces {
			for j, key := range keys {
				has(t, space, key, 100*i+j)
			}
		}
		set(t, c, "b", 1, reprise.Namespaced("ns"))
		has(t, c.Namespace("ns"), "b", 1)
		if err := c.Namespace("ns").Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		hasNot[int](t, spaces[1], "a")
		hasNot[int](t, spaces[2], "a")
		has(t, spaces[0], "a", 0)
		has(t, spaces[3], "a", 300)
		for _, key := range keys {
			if n, err := c.Delete(t.Context(), key); n != 1 || err != nil {
				t.Errorf("Delete(%.20q) = %d, %v; want 1", key, n, err)
			}
		}
	})
}

func TestValueTags(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s, Defaults: []reprise.Policy{reprise.Tags("all")}})
		pages := 0
		h := c.WrapFunc(func(_ http.ResponseWriter, r *http.Request) {
			pages++
			_, _, _ = reprise.Get[int](r.Context(), reprise.FromContext(r.Context()), "n")
		})
		for _, tag := range []string{"n", "all"} {
			// Before the values are set: one name in 262,144 has the slot of another, and would take one of them along.
			if err := c.InvalidateURLs(t.Context(), "/"); err != nil {
				t.Fatal(err)
			}
			set(t, c, "n", 1, reprise.Tags("n"))
			set(t, c, "m", 2)
			before := pages
			for range 2 {
				get(h, "/")
				synctest.Wait()
			}
			if err := c.InvalidateTags(t.Context(), tag); err != nil {
				t.Fatal(err)
			}
			hasNot[int](t, c, "n")
			get(h, "/")
			if pages != before+2 {
				t.Errorf("%s: the page was made %d times; want twice: it has the tags of the value", tag, pages-before)
			}
		}
		hasNot[int](t, c, "m")
		set(t, c, "n", 1, reprise.Tags("n"))
		if err := c.Soft().InvalidateTags(t.Context(), "n"); err != nil {
			t.Fatal(err)
		}
		hasNot[int](t, c, "n") // nobody would replace it
	})
}

func TestValueErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutside(t)
		c := open(t, reprise.Config{Store: s, Logger: silent()})
		var config *reprise.ConfigError
		if err := reprise.Set(t.Context(), c, "k", 1, reprise.TTL(-1), nil); !errors.As(err, &config) || !strings.Contains(err.Error(), "nil option") {
			t.Errorf("Set: %v; want both mistakes", err)
		}
		if err := reprise.Set(t.Context(), c, "k", func() {}); err == nil || !strings.Contains(err.Error(), "JSON") {
			t.Errorf("Set of a func: %v; want the codec's error", err)
		}
		if err := reprise.Set(t.Context(), c, "", 1); err == nil {
			t.Error("Set of no key = nil")
		}
		if _, _, err := reprise.Get[int](t.Context(), c, reprise.KeyOf(func(*reprise.KeyBuilder) {})); err == nil {
			t.Error("Get of no key = nil error")
		}
		set(t, c, "k", 1)
		s.down.Store(true)
		var failure *reprise.StoreError
		if _, ok, err := reprise.Get[int](t.Context(), c, "k"); ok || !errors.As(err, &failure) {
			t.Errorf("Get = %v, %v; want a *StoreError", ok, err)
		}
		if err := reprise.Set(t.Context(), c, "k", 2); !errors.As(err, &failure) {
			t.Errorf("Set: %v; want a *StoreError", err)
		}
		s.down.Store(false)

		// Without a cache there is nothing, and no harm.
		none := reprise.FromContext(t.Context())
		set(t, none, "k", 1)
		hasNot[int](t, none, "k")
	})
}

// TestValueWithoutNumbers: a store of three methods keeps values; what it cannot do is said.
func TestValueWithoutNumbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{Store: bytesOnly(t)})
		var n atomic.Int64
		f := newFunc(t, c, "f", counting[int](&n, 0))
		for range 2 {
			wants(t, "Get", int64(1))(f.Get(t.Context(), 1))
			synctest.Wait()
		}
		if n, err := f.Delete(t.Context(), 1); n != 1 || err != nil {
			t.Errorf("Delete = %d, %v; want 1", n, err)
		}
		if v, err := f.GetMany(t.Context(), []int{1, 2}); err != nil || v[0]+v[1] != 5 {
			t.Errorf("GetMany = %v, %v; want 2 and 3", v, err)
		}
		if err := f.Set(t.Context(), 1, 10); err != nil {
			t.Error(err)
		}
		wants(t, "Get after Set", int64(10))(f.Get(t.Context(), 1))
		tagged := newFunc(t, c, "tagged", func(ctx context.Context, _ int) (int64, error) {
			reprise.AddTags(ctx, "t")
			return n.Add(1), nil
		})
		for want := range int64(2) {
			wants(t, "what could not be invalidated by its tag", 4+want)(tagged.Get(t.Context(), 1))
			synctest.Wait()
		}
		set(t, c, "k", 1)
		has(t, c, "k", 1)
		if err := reprise.Set(t.Context(), c, "k", 2, reprise.Tags("t")); err == nil {
			t.Error("Set with a tag = nil; want a *ConfigError")
		}
		if err := c.InvalidateTags(t.Context(), "t"); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("InvalidateTags: %v; want ErrUnsupported", err)
		}
	})
}
