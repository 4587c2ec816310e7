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

// TestFuncTagsJoin: the tags of a function belong to what is made of its results, whether they were loaded, found or
// waited for.
func TestFuncTagsJoin(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var loads, pages, lists atomic.Int64
		product := newFunc(t, c, "product", func(ctx context.Context, id int) (int64, error) {
			time.Sleep(time.Second)
			reprise.AddTags(ctx, fmt.Sprintf("product:%d", id))
			return loads.Add(1), nil
		}, reprise.Tags("products"))
		list := newFunc(t, c, "list", func(ctx context.Context, _ string) (int64, error) {
			lists.Add(1)
			return product.Get(ctx, 42)
		})
		page := func(path string) http.Handler {
			return c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
				for range 300 { // its tags are joined once, not 300 times
					if _, err := list.Get(r.Context(), path); err != nil {
						t.Error(err)
					}
				}
				fmt.Fprintf(w, "v%d", pages.Add(1))
			}, reprise.TTL(time.Hour))
		}
		all := []http.Handler{page("a"), page("b"), page("c")}
		show := func(want string) {
			t.Helper()
			var wg sync.WaitGroup
			for i, h := range all {
				wg.Go(func() {
					if got := get(h, fmt.Sprint("/", i)); got.Header().Get("X-Cache") != want {
						t.Errorf("page %d: %q; want %s", i, got.Header().Get("X-Cache"), want)
					}
				})
			}
			wg.Wait()
			synctest.Wait()
		}
		show("MISS") // one of them loads the product, two wait for it
		if loads.Load() != 1 || lists.Load() != 3 {
			t.Errorf("%d products, %d lists; want 1 and 3", loads.Load(), lists.Load())
		}
		show("HIT")
		for i, tag := range []string{"product:42", "products"} {
			if err := c.InvalidateTags(t.Context(), tag); err != nil {
				t.Fatal(err)
			}
			show("MISS")
			if loads.Load() != int64(2+i) {
				t.Errorf("after %s: %d loads; want %d", tag, loads.Load(), 2+i)
			}
			show("HIT")
		}
		// The product stays, the pages are made anew and find it: a hit.
		for i := range all {
			if err := c.InvalidateURLs(t.Context(), fmt.Sprint("/", i)); err != nil {
				t.Fatal(err)
			}
		}
		show("MISS")
		show("HIT")
		if loads.Load() != 3 {
			t.Errorf("%d loads; want 3: invalidated pages find the product", loads.Load())
		}
		if err := c.InvalidateTags(t.Context(), "product:42"); err != nil {
			t.Fatal(err)
		}
		show("MISS")
		if err := c.InvalidateTags(t.Context(), "product:43"); err != nil {
			t.Fatal(err)
		}
		show("HIT")
	})
}

// TestFuncTagsOff: a function that is switched off still says what the page is made of.
func TestFuncTagsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		f := reprise.Memoize(c, "f", func(ctx context.Context, _ int) (int, error) {
			reprise.AddTags(ctx, "inside")
			return 1, nil
		}, reprise.Tags("static"), reprise.Off())
		h := c.WrapFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = f(r.Context(), 1) })
		for _, tag := range []string{"inside", "static"} {
			get(h, "/")
			check(t, get(h, "/"), 200, "HIT", "")
			if err := c.InvalidateTags(t.Context(), tag); err != nil {
				t.Fatal(err)
			}
			check(t, get(h, "/"), 200, "MISS", "")
		}
	})
}

// TestFuncInvalidationMeetsLoad: what was begun before an invalidation is not stored, and is not given to calls that come after
// it, whatever names it.
func TestFuncInvalidationMeetsLoad(t *testing.T) {
	for name, invalidate := range map[string]func(context.Context, *reprise.Cache, *reprise.Func[int, int64]) error{
		"key": func(ctx context.Context, _ *reprise.Cache, f *reprise.Func[int, int64]) error {
			_, err := f.Delete(ctx, 1)
			return err
		},
		"tag": func(ctx context.Context, c *reprise.Cache, _ *reprise.Func[int, int64]) error {
			return c.InvalidateTags(ctx, "static")
		},
		"inner tag": func(ctx context.Context, c *reprise.Cache, _ *reprise.Func[int, int64]) error {
			return c.InvalidateTags(ctx, "inside")
		},
		"namespace": func(ctx context.Context, c *reprise.Cache, _ *reprise.Func[int, int64]) error { return c.Clear(ctx) },
		"Set": func(ctx context.Context, _ *reprise.Cache, f *reprise.Func[int, int64]) error {
			return f.Set(ctx, 1, 100)
		},
		"Refresh": func(ctx context.Context, _ *reprise.Cache, f *reprise.Func[int, int64]) error {
			_, err := f.Refresh(ctx, 1)
			return err
		},
		"key by Key": func(ctx context.Context, c *reprise.Cache, f *reprise.Func[int, int64]) error {
			at, err := f.Key(1)
			if err == nil {
				_, err = c.Delete(ctx, at)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, s store.Store) {
				c := open(t, reprise.Config{Store: s})
				data := atomic.Int64{}
				data.Store(1)
				slow := true
				var opts []reprise.FuncOption
				if name == "tag" {
					opts = append(opts, reprise.Tags("static"))
				}
				f := newFunc(t, c.Namespace("ns"), "f", func(ctx context.Context, _ int) (int64, error) {
					v := data.Load()
					if name == "inner tag" {
						reprise.AddTags(ctx, "inside")
					}
					if slow {
						slow = false
						time.Sleep(time.Second)
					}
					return v, nil
				}, opts...)
				var wg sync.WaitGroup
				wg.Go(func() { wants(t, "the call before", int64(1))(f.Get(t.Context(), 1)) })
				synctest.Wait()
				data.Store(100)
				if err := invalidate(t.Context(), c, f); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					wants(t, "a call after it", int64(100))(f.Get(t.Context(), 1))
				}
				wg.Wait()
				synctest.Wait()
				wants(t, "a call after all", int64(100))(f.Get(t.Context(), 1))
			})
		})
	}
}

// TestFuncSoft: softly invalidated, a value is served while it is loaded anew, but becomes no part of something new.
func TestFuncSoft(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var n, m atomic.Int64
		fail := false
		f := newFunc(t, c, "f", func(context.Context, int) (int64, error) {
			if fail {
				return 0, errLoad
			}
			time.Sleep(time.Second)
			return n.Add(1), nil
		}, reprise.Tags("t"), reprise.StaleWhileRevalidate(time.Hour), reprise.StaleIfError(time.Hour), reprise.TTL(time.Hour))
		outer := newFunc(t, c, "outer", func(ctx context.Context, _ int) (int64, error) {
			m.Add(1)
			return reprise.AllowStale(f.Get(ctx, 1))
		}, reprise.StaleWhileRevalidate(time.Hour))
		soft := func() {
			t.Helper()
			if err := c.Soft().InvalidateTags(t.Context(), "t"); err != nil {
				t.Fatal(err)
			}
		}
		wants(t, "outer", int64(1))(outer.Get(t.Context(), 1))
		synctest.Wait()
		soft()
		wants(t, "the old value", int64(1))(f.Get(t.Context(), 1))
		wants(t, "the old outer value", int64(1))(outer.Get(t.Context(), 1))
		time.Sleep(time.Second)
		synctest.Wait()
		wants(t, "the new value", int64(2))(f.Get(t.Context(), 1))
		wants(t, "the new outer value, not made of the old one", int64(2))(outer.Get(t.Context(), 1))

		// Where only the old value is to be had, what is made of it is not kept.
		soft()
		fail = true
		if n, err := outer.Delete(t.Context(), 1); n != 1 || err != nil {
			t.Fatalf("Delete = %d, %v; want 1", n, err)
		}
		before := m.Load()
		for range 2 {
			wants(t, "outer of an old value", int64(2))(outer.Get(t.Context(), 1))
			synctest.Wait()
		}
		if got := m.Load() - before; got != 2 {
			t.Errorf("%d outer loads; want 2: none is stored", got)
		}
	})
}

// TestFuncDelete: Delete counts, and forgets no other key; so does Clear with the namespace.
func TestFuncDelete(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s, NamespacePolicy: reprise.Replace})
		var n atomic.Int64
		f := newFunc(t, c, "f", counting[int](&n, 0), reprise.Namespaced("elsewhere"))
		for i := range 3 {
			wants(t, "load", int64(i+1))(f.Get(t.Context(), i))
		}
		synctest.Wait()
		if n, err := f.Delete(t.Context(), 0, 1, 7); n != 2 || err != nil {
			t.Errorf("Delete = %d, %v; want 2", n, err)
		}
		wants(t, "deleted", int64(4))(f.Get(t.Context(), 0))
		wants(t, "kept", int64(3))(f.Get(t.Context(), 2))
		if err := c.Namespace("elsewhere").Clear(t.Context()); err != nil {
			t.Fatal(err)
		}
		wants(t, "cleared", int64(5))(f.Get(t.Context(), 2))
	})
}

// TestFuncTagsOfErrors: what a handler makes of an error is dropped with the function's results, also where there is no result that could
// have tags.
func TestFuncTagsOfErrors(t *testing.T) {
	for name, load := range map[string]func(context.Context, int) (int64, error){
		"an error":  func(context.Context, int) (int64, error) { return 0, errDown },
		"no answer": func(ctx context.Context, _ int) (int64, error) { <-ctx.Done(); return 0, nil },
		"a panic":   explode64,
	} {
		t.Run(name, func(t *testing.T) {
			eachStore(t, func(t *testing.T, s store.Store) {
				c := open(t, reprise.Config{Store: s, Logger: silent()})
				f := newFunc(t, c, "f", load, reprise.Tags("tag"), reprise.FillTimeout(time.Second))
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					defer func() { fmt.Fprint(w, "not now", recover() != nil) }()
					if _, err := f.GetMany(r.Context(), []int{1, 2}); err == nil {
						t.Error("GetMany = nil; want an error")
					}
				}, reprise.TTL(time.Hour))
				for _, want := range []string{"MISS", "HIT"} {
					if got := get(h, "/").Header().Get("X-Cache"); got != want {
						t.Errorf("the page: %q; want %s", got, want)
					}
					synctest.Wait()
				}
				if err := c.InvalidateTags(t.Context(), "tag"); err != nil {
					t.Fatal(err)
				}
				if got := get(h, "/").Header().Get("X-Cache"); got != "MISS" {
					t.Errorf("the page after its function's tag was invalidated: %q; want MISS", got)
				}
			})
		})
	}
}

func explode64(context.Context, int) (int64, error) { panic("boom") }
