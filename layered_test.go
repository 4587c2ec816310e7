package reprise_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/tierstore"
)

// distant is a store outside the process that grants leases and tells nobody what has changed. While it refuses, marks can be read
// and values cannot.
type distant struct {
	*outside
	store.Locker
	refuses atomic.Bool
}

func (s *distant) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	if s.refuses.Load() {
		return nil, store.Marks{}, errDown
	}
	return s.outside.GetMarked(ctx, key, names...)
}

func (s *distant) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	if s.refuses.Load() {
		return nil, errDown
	}
	return s.outside.GetMulti(ctx, keys)
}

// newNodes returns a store and two caches that have copies of what it holds for an hour.
func newNodes(t *testing.T) (far *distant, here, there *reprise.Cache) {
	t.Helper()
	o := newOutside(t)
	far = &distant{outside: o, Locker: o.Store.(store.Locker)}
	node := func() *reprise.Cache {
		near, err := memstore.New(memstore.Config{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := tierstore.New(tierstore.Config{Near: near, Far: far, NearTTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = s.Close(), near.Close() })
		return open(t, reprise.Config{Store: s, Logger: silent()})
	}
	return far, node(), node()
}

// TestLayeredOnce: one process runs the loader or handler for all that have copies of what it did before.
func TestLayeredOnce(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c *reprise.Cache){
		"invalidated by tag": func(t *testing.T, c *reprise.Cache) {
			if err := c.InvalidateTags(t.Context(), "tag"); err != nil {
				t.Error(err)
			}
		},
		"cleared": func(t *testing.T, c *reprise.Cache) {
			if err := c.Clear(t.Context()); err != nil {
				t.Error(err)
			}
		},
		"softly invalidated": func(t *testing.T, c *reprise.Cache) {
			if err := c.Soft().InvalidateTags(t.Context(), "tag"); err != nil {
				t.Error(err)
			}
		},
		"expired": func(*testing.T, *reprise.Cache) { time.Sleep(11 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, here, there := newNodes(t)
				var loads, runs atomic.Int64
				type node struct {
					f *reprise.Func[int, int64]
					h http.Handler
				}
				var nodes []node
				for _, c := range []*reprise.Cache{here, there} {
					options := []reprise.Policy{reprise.TTL(10 * time.Second), reprise.Tags("tag")}
					nodes = append(nodes, node{
						newFunc(t, c, "f", counting[int](&loads, 0), options[0], options[1]),
						c.WrapFunc(counted(&runs), options[0], options[1]),
					})
				}
				ask := func() {
					for range 2 { // the second time from the copy
						for _, n := range nodes {
							if _, err := n.f.Get(t.Context(), 1); err != nil {
								t.Error(err)
							}
							if _, err := n.f.GetMany(t.Context(), []int{2, 3}); err != nil {
								t.Error(err)
							}
							if w := get(n.h, "/"); w.Code != http.StatusOK {
								t.Errorf("status %d", w.Code)
							}
							synctest.Wait()
						}
					}
				}
				ask()
				end(t, here)
				ask()
				if loads.Load() != 6 || runs.Load() != 2 {
					t.Errorf("%d loads of three keys and %d runs; want 6 and 2: by one process, before and after", loads.Load(), runs.Load())
				}
			})
		})
	}
}

// TestLayeredValue: a value that took the place of an invalidated one is found, by Get and by Entry.
func TestLayeredValue(t *testing.T) {
	_, here, there := newNodes(t)
	f := newFunc(t, here, "f", counting[int](new(atomic.Int64), 0))
	for i := range 3 {
		want := fmt.Sprint("value ", i)
		if err := here.InvalidateTags(t.Context(), "tag"); err != nil {
			t.Fatal(err)
		}
		if err := reprise.Set(t.Context(), here, "key", want, reprise.Tags("tag")); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := reprise.Get[string](t.Context(), there, "key"); got != want || !ok || err != nil {
			t.Errorf("Get = %q, %v, %v; want %q", got, ok, err, want)
		}
		if err := f.Set(t.Context(), 1, int64(i)); err != nil {
			t.Fatal(err)
		}
		key, err := f.Key(1)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := there.Entry(t.Context(), key); err != nil || e.Stale {
			t.Errorf("Entry = %+v, %v; want what was set", e, err)
		}
	}
}

// TestLayeredStale: while the store does not give the value itself, a copy that is stale is as good as ever.
func TestLayeredStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far, here, _ := newNodes(t)
		fails := errors.New("no")
		var loads atomic.Int64
		f := newFunc(t, here, "f", func(context.Context, int) (int64, error) {
			if loads.Add(1) > 3 {
				return 0, fails
			}
			return loads.Load(), nil
		}, reprise.TTL(time.Second), reprise.StaleIfError(time.Hour))
		for range 2 {
			if _, err := f.GetMany(t.Context(), []int{1, 2, 3}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		time.Sleep(2 * time.Second)
		far.refuses.Store(true)
		v, err := f.Get(t.Context(), 1)
		if v, err := reprise.AllowStale(v, err); v == 0 || err != nil {
			t.Errorf("Get = %v, %v; want what is near", v, err)
		}
		many, err := f.GetMany(t.Context(), []int{2, 3})
		var each *reprise.ManyError
		if !errors.As(err, &each) {
			t.Fatalf("GetMany = %v, %v; want a ManyError", many, err)
		}
		if v, err := reprise.AllowStale(many[0], each.Errs[0]); v == 0 || err != nil {
			t.Errorf("GetMany = %v, %v; want what is near", v, err)
		}
	})
}
