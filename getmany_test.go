package reprise_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// shelf is what a LoadMany function reads from: it takes a second for any number of keys.
type shelf struct {
	mu    sync.Mutex
	calls [][]int
	err   error
}

func (s *shelf) one(_ context.Context, key int) (string, error) {
	time.Sleep(time.Second)
	return fmt.Sprint("one ", key), nil
}

func (s *shelf) many(_ context.Context, keys []int) (map[int]string, error) {
	s.mu.Lock()
	s.calls = append(s.calls, slices.Sorted(slices.Values(keys)))
	s.mu.Unlock()
	clear(keys[1:]) // it may do with them what it likes
	keys = s.calls[len(s.calls)-1]
	time.Sleep(time.Second)
	m := map[int]string{-1: "nobody asked for it"}
	for _, key := range keys {
		if key < 100 {
			m[key] = fmt.Sprint("v", key)
		}
	}
	return m, s.err
}

func (s *shelf) take() [][]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

func TestFuncGetMany(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var sh shelf
		f := newFunc(t, c, "f", sh.one, reprise.LoadMany(sh.many), reprise.Tags("t"))
		many := func(want []string, calls [][]int, keys ...int) {
			t.Helper()
			got, err := f.GetMany(t.Context(), keys)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("GetMany(%v) = %q, %v; want %q", keys, got, err, want)
			}
			if got := sh.take(); !reflect.DeepEqual(got, calls) {
				t.Errorf("GetMany(%v) loaded %v; want %v", keys, got, calls)
			}
			synctest.Wait()
		}
		many([]string{}, nil)
		many([]string{"v2", "v1", "v2"}, [][]int{{1, 2}}, 2, 1, 2)
		many([]string{"v1", "v3", "v2", "v4"}, [][]int{{3, 4}}, 1, 3, 2, 4)
		many([]string{"v4", "v1"}, nil, 4, 1)
		wants(t, "Get", "v3")(f.Get(t.Context(), 3))
		wants(t, "Get of a new key", "one 9")(f.Get(t.Context(), 9))
		synctest.Wait()
		if n, err := f.Delete(t.Context(), 1); n != 1 || err != nil {
			t.Fatalf("Delete = %d, %v", n, err)
		}
		many([]string{"v1", "one 9"}, [][]int{{1}}, 1, 9)
		if err := c.InvalidateTags(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		many([]string{"v1", "v2"}, [][]int{{1, 2}}, 1, 2)
		var keys []int
		var want []string
		for i := range 99 {
			keys, want = append(keys, i, i), append(want, fmt.Sprint("v", i), fmt.Sprint("v", i))
		}
		wants(t, "many keys", 198)(len(keys), nil)
		many(want, [][]int{slices.Concat([]int{0}, slices.Sorted(maps.Keys(rangeSet(3, 99))))}, keys...)
		many(want, nil, keys...)
	})
}

func rangeSet(from, to int) map[int]bool {
	m := map[int]bool{}
	for i := from; i < to; i++ {
		m[i] = true
	}
	return m
}

// TestFuncGetManyRoundTrips: in a store outside, many keys are read in two round trips for 128 of them.
func TestFuncGetManyRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutside(t)
		c := open(t, reprise.Config{Store: s})
		var sh shelf
		f := newFunc(t, c, "f", sh.one, reprise.LoadMany(func(_ context.Context, keys []int) (map[int]string, error) {
			m := map[int]string{}
			for _, key := range keys {
				m[key] = "v"
			}
			return m, nil
		}))
		keys := slices.Sorted(maps.Keys(rangeSet(0, 200)))
		if _, err := f.GetMany(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		s.gets.Store(0)
		s.multis.Store(0)
		s.marks.Store(0)
		if _, err := f.GetMany(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		if s.gets.Load() != 0 || s.multis.Load() != 2 || s.marks.Load() != 2 {
			t.Errorf("%d single reads, %d multiple ones, %d of marks; want 0, 2, 2", s.gets.Load(), s.multis.Load(), s.marks.Load())
		}
	})
}

// TestFuncGetManyTags: in a store outside, the marks of the tags of many values are read in one round trip, and each value is
// judged by those of its own.
func TestFuncGetManyTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &untagged{outside: newOutside(t)}
		c := open(t, reprise.Config{Store: s, Logger: silent()})
		var loads atomic.Int64
		f := newFunc(t, c, "f", func(ctx context.Context, key int) (int64, error) {
			if key < 50 {
				reprise.AddTags(ctx, "all", fmt.Sprint("tag ", key))
			}
			return loads.Add(1), nil
		}, reprise.StaleWhileRevalidate(time.Minute))
		keys := slices.Sorted(maps.Keys(rangeSet(0, 100)))
		read := func(what string, wantLoads, wantMarks int64) {
			t.Helper()
			synctest.Wait()
			loaded := loads.Load()
			s.gets.Store(0)
			s.multis.Store(0)
			s.marks.Store(0)
			if _, err := f.GetMany(t.Context(), keys); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if s.gets.Load() != 0 || s.multis.Load() != 1 || wantMarks > 0 && s.marks.Load() != wantMarks {
				t.Errorf("%s: %d single reads, %d multiple ones, %d of marks; want 0, 1, %d", what, s.gets.Load(), s.multis.Load(), s.marks.Load(), wantMarks)
			}
			synctest.Wait()
			if n := loads.Load() - loaded; n != wantLoads {
				t.Errorf("%s: %d loads; want %d", what, n, wantLoads)
			}
		}
		invalidate := func(c *reprise.Cache, tag string) {
			t.Helper()
			if err := c.InvalidateTags(t.Context(), tag); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.GetMany(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		read("nothing invalidated", 0, 1)
		invalidate(c, "another")
		read("another tag", 0, 2)
		invalidate(c, "tag 7")
		read("a tag of one", 1, 0) // its write reads marks, too
		read("after that", 0, 2)
		invalidate(c.Soft(), "tag 8")
		read("softly, a tag of one", 1, 0)
		invalidate(c, "all")
		read("a tag of half of them", 50, 0)
		invalidate(c, "another")
		s.refuses = true
		read("marks of tags that cannot be read", 50, 0)
	})
}

// untagged is a store outside whose marks of tags cannot be read when it refuses.
type untagged struct {
	*outside
	refuses bool
}

func (s *untagged) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	if s.refuses && slices.ContainsFunc(names, func(name string) bool { return name[0] == 't' }) {
		return store.Marks{}, errDown
	}
	return s.outside.Marks(ctx, names...)
}

// TestFuncGetManyJoins: keys that are being loaded are waited for, and those that a GetMany loads can be waited for.
func TestFuncGetManyJoins(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var sh shelf
		f := newFunc(t, c, "f", sh.one, reprise.LoadMany(sh.many))
		start := time.Now()
		var wg sync.WaitGroup
		call := func(want []string, keys ...int) {
			wg.Go(func() {
				if got, err := f.GetMany(t.Context(), keys); err != nil || !slices.Equal(got, want) {
					t.Errorf("GetMany(%v) = %q, %v; want %q", keys, got, err, want)
				}
			})
			synctest.Wait()
		}
		wg.Go(func() { wants(t, "Get", "one 1")(f.Get(t.Context(), 1)) })
		synctest.Wait()
		call([]string{"one 1", "v2", "v3"}, 1, 2, 3)
		call([]string{"v3", "v4", "one 1"}, 3, 4, 1)
		wg.Go(func() { wants(t, "Get", "v4")(f.Get(t.Context(), 4)) })
		wg.Wait()
		if got, want := sh.take(), [][]int{{2, 3}, {4}}; !reflect.DeepEqual(got, want) || time.Since(start) != time.Second {
			t.Errorf("loaded %v in %v; want %v in 1s", got, time.Since(start), want)
		}
	})
}

// TestFuncGetManyFails: each key has its own error, and those that have none have their value.
func TestFuncGetManyFails(t *testing.T) {
	own := errors.New("key 2 alone")
	for _, tt := range []struct {
		name  string
		err   error
		keys  []int
		want  []string
		errs  []error // matched by errors.Is
		calls int     // of two
	}{
		{"missing", nil, []int{1, 100}, []string{"v1", ""}, []error{nil, reprise.ErrNotLoaded}, 2},
		{"error beside values", errLoad, []int{100, 1}, []string{"", "v1"}, []error{errLoad, nil}, 2},
		{"error of a key", &reprise.ManyError{Errs: []error{nil, own, nil}}, []int{1, 2, 100}, []string{"v1", "", ""}, []error{nil, own, reprise.ErrNotLoaded}, 2},
		{"errors that do not fit", &reprise.ManyError{Errs: []error{own}}, []int{1, 2, 100}, []string{"v1", "v2", ""}, []error{nil, nil, own}, 2},
		{"no error", nil, []int{1, 2}, []string{"v1", "v2"}, []error{nil, nil}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				sh := shelf{err: tt.err}
				f := newFunc(t, c, "f", sh.one, reprise.LoadMany(func(ctx context.Context, keys []int) (map[int]string, error) {
					if len(keys) < len(tt.keys) {
						sh.err = nil // the second time, for those that failed
					}
					return sh.many(ctx, keys)
				}))
				got, err := f.GetMany(t.Context(), tt.keys)
				if !slices.Equal(got, tt.want) {
					t.Errorf("GetMany = %q; want %q", got, tt.want)
				}
				var many *reprise.ManyError
				failed := slices.ContainsFunc(tt.errs, func(err error) bool { return err != nil })
				if errors.As(err, &many) != failed {
					t.Fatalf("GetMany: %v; want a *ManyError: %v", err, failed)
				}
				for i, want := range tt.errs {
					if failed && !errors.Is(many.Errs[i], want) {
						t.Errorf("error of key %d: %v; want %v", tt.keys[i], many.Errs[i], want)
					}
					if want != nil && !errors.Is(err, want) {
						t.Errorf("%v does not match %v", err, want)
					}
				}
				synctest.Wait() // until then it can be followed
				_, _ = f.GetMany(t.Context(), tt.keys)
				if calls := sh.take(); len(calls) != tt.calls {
					t.Errorf("%v: %d loads in two calls; want %d", calls, len(calls), tt.calls)
				}
			})
		})
	}
}

// TestFuncGetManyLeaves: a GetMany that leaves harms nobody, and the load ends with the last who waits for any of its keys.
func TestFuncGetManyLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var ended atomic.Int64
		f := newFunc(t, c, "f", loader[int, int], reprise.LoadMany(func(ctx context.Context, keys []int) (map[int]int, error) {
			select {
			case <-ctx.Done():
				ended.Add(1)
				return nil, ctx.Err()
			case <-time.After(time.Second):
				return map[int]int{1: 1, 2: 2}, nil
			}
		}))
		leave := func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			if _, err := f.GetMany(ctx, []int{1, 2}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("GetMany: %v; want the deadline", err)
			}
		}
		var wg sync.WaitGroup
		wg.Go(leave)
		synctest.Wait()
		wants(t, "Get", 2)(f.Get(t.Context(), 2))
		wg.Wait()
		if n, err := f.Delete(t.Context(), 1, 2); n != 2 || err != nil {
			t.Errorf("Delete = %d, %v; want both keys", n, err)
		}
		leave()
		synctest.Wait()
		if ended.Load() != 1 {
			t.Errorf("%d loads ended early; want the one that nobody waited for", ended.Load())
		}
	})
}

// TestFuncGetManyAlone: without LoadMany the loader runs for each key, not for all at once; a panic or an error is one key's.
func TestFuncGetManyAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var running, most atomic.Int64
		f := newFunc(t, c, "f", func(_ context.Context, key int) (int, error) {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(time.Second)
			switch {
			case key == 1000:
				panic("boom")
			case key%10 == 0:
				return 0, errLoad
			}
			return key, nil
		})
		keys := slices.Sorted(maps.Keys(rangeSet(0, 100)))
		start := time.Now()
		values, err := f.GetMany(t.Context(), keys)
		var many *reprise.ManyError
		if !errors.As(err, &many) {
			t.Fatalf("GetMany: %v; want a *ManyError", err)
		}
		for i := range keys {
			want, wantErr := i, error(nil)
			if i%10 == 0 {
				want, wantErr = 0, errLoad
			}
			if values[i] != want || !errors.Is(many.Errs[i], wantErr) {
				t.Errorf("key %d: %d, %v; want %d, %v", i, values[i], many.Errs[i], want, wantErr)
			}
		}
		if most.Load() != 16 || time.Since(start) != 7*time.Second {
			t.Errorf("%d at once, %v; want 16 at once and 7s", most.Load(), time.Since(start))
		}

		defer func() {
			if p, ok := recover().(*reprise.PanicError); !ok || p.Value != "boom" {
				t.Errorf("panicked with %v; want what the loader did", p)
			}
			wants(t, "the other key", 1001)(f.Get(t.Context(), 1001))
		}()
		_, _ = f.GetMany(t.Context(), []int{1000, 1001})
	})
}

// TestFuncStoreDown: a store that fails costs a load, never an error.
func TestFuncStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutside(t)
		var events []reprise.Event
		c := open(t, reprise.Config{Store: s, Logger: silent(), Observe: func(_ context.Context, e reprise.Event) {
			if e.Outcome == reprise.Miss {
				events = append(events, e)
			}
		}})
		var n atomic.Int64
		f := newFunc(t, c, "f", counting[int](&n, 0))
		s.down.Store(true)
		wants(t, "Get", int64(1))(f.Get(t.Context(), 1))
		synctest.Wait()
		if v, err := f.GetMany(t.Context(), []int{1, 2}); err != nil || v[0]+v[1] != 5 {
			t.Errorf("GetMany = %v, %v; want 2 and 3", v, err)
		}
		synctest.Wait()
		if len(events) != 3 || events[0].Reason != reprise.ReasonStoreFailed || !errors.Is(events[0].Err, errDown) {
			t.Errorf("events %+v; want misses because of the store", events)
		}
		var failure *reprise.StoreError
		if err := f.Set(t.Context(), 1, 5); !errors.As(err, &failure) {
			t.Errorf("Set: %v; want a *StoreError", err)
		}
		if _, err := f.Delete(t.Context(), 1); !errors.As(err, &failure) {
			t.Errorf("Delete: %v; want a *StoreError", err)
		}
	})
}
