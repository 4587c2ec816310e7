package reprise_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
)

// While marks cannot be read, another process may invalidate what is being filled here. Whoever asks after that must not
// get it, and since nobody can know, gets what was begun after it asked.
func TestNobodyFollowsWithoutMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutside(t)
		c := reprise.Must(reprise.New(reprise.Config{Store: s, Logger: silent()}))
		defer c.Close()
		var version atomic.Int64
		answer := func() string {
			v := version.Load()
			time.Sleep(time.Second)
			return fmt.Sprint(v)
		}
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer())) })
		load := func(context.Context, int) (string, error) { return answer(), nil }
		one, many := newFunc(t, c, "one", load), newFunc(t, c, "many", load)
		for name, ask := range map[string]func() string{
			"response": func() string {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
				return rec.Body.String()
			},
			"function": func() string {
				v, err := one.Get(t.Context(), 1)
				if err != nil {
					t.Error(err)
				}
				return v
			},
			"many": func() string {
				vs, err := many.GetMany(t.Context(), []int{1, 2})
				if err != nil {
					t.Error(err)
				}
				return vs[0]
			},
		} {
			s.down.Store(true)
			before := version.Load()
			go ask()
			time.Sleep(time.Second / 2)
			version.Add(1) // and invalidates, through a process that reaches the store
			if got, want := ask(), fmt.Sprint(before+1); got != want {
				t.Errorf("%s: got version %s; want %s", name, got, want)
			}
		}
	})
}

// While the store cannot be read, those who want one key still share runs: who waits for one has a run that begins
// after he asked.
func TestCollapsingWithoutMarks(t *testing.T) {
	for name, ask := range map[string]func(*testing.T, *reprise.Cache, *atomic.Int64) func(){
		"response": func(t *testing.T, c *reprise.Cache, calls *atomic.Int64) func() {
			h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
				time.Sleep(time.Second)
				_, _ = fmt.Fprint(w, calls.Add(1))
			})
			return func() {
				if w := get(h, "/"); w.Code != http.StatusOK {
					t.Errorf("status %d", w.Code)
				}
			}
		},
		"function": func(t *testing.T, c *reprise.Cache, calls *atomic.Int64) func() {
			f := reprise.Memoize(c, "f", counting[int](calls, time.Second))
			return func() {
				if _, err := f(t.Context(), 1); err != nil {
					t.Error(err)
				}
			}
		},
		"many": func(t *testing.T, c *reprise.Cache, calls *atomic.Int64) func() {
			f := newFunc(t, c, "f", counting[int](new(atomic.Int64), time.Second),
				reprise.LoadMany(func(_ context.Context, keys []int) (map[int]int64, error) {
					time.Sleep(time.Second)
					values := make(map[int]int64)
					for _, key := range keys { // those that nobody else is loading
						values[key] = 1
					}
					if values[1] == 1 {
						calls.Add(1)
					}
					return values, nil
				}))
			return func() {
				if _, err := f.GetMany(t.Context(), []int{1, 2}); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newOutside(t)
				c := reprise.Must(reprise.New(reprise.Config{Store: s, Logger: silent()}))
				defer c.Close()
				var calls atomic.Int64
				once := ask(t, c, &calls)
				s.down.Store(true)
				var wg sync.WaitGroup
				for range 10 { // ten waves of a hundred clients, a tenth of a second apart
					for range 100 {
						wg.Go(func() {
							start := time.Now()
							once()
							if d := time.Since(start); d > 2*time.Second {
								t.Errorf("a client waited %v", d)
							}
						})
					}
					time.Sleep(100 * time.Millisecond)
				}
				wg.Wait()
				if n := calls.Load(); n != 2 {
					t.Errorf("%d calls; want 2: one for the first wave, one for all that came while it ran", n)
				}
			})
		})
	}
}

// A loader that asks for the key that it loads is told so, also while nobody can tell what was invalidated.
func TestLoadOfItselfWithoutMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutside(t)
		c := reprise.Must(reprise.New(reprise.Config{Store: s, Logger: silent()}))
		defer c.Close()
		s.down.Store(true)
		var f *reprise.Func[int, int]
		f = newFunc(t, c, "f", func(ctx context.Context, key int) (int, error) {
			time.Sleep(time.Second)
			return f.Get(ctx, key)
		})
		start := time.Now()
		if v, err := f.Get(t.Context(), 1); err == nil || time.Since(start) != time.Second {
			t.Errorf("Get = %d, %v after %v; want an error as soon as it asks", v, err, time.Since(start))
		}
	})
}

// Records that cannot be read say nothing of the marks: a load that began before an invalidation is not followed.
func TestManyWithoutRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutside(t)
		c := reprise.Must(reprise.New(reprise.Config{Store: s, Logger: silent()}))
		defer c.Close()
		var version, calls atomic.Int64
		f := newFunc(t, c, "f", func(context.Context, int) (int64, error) {
			calls.Add(1)
			v := version.Load()
			time.Sleep(time.Second)
			return v, nil
		})
		s.noMulti.Store(true)
		ask := func() (int64, error) {
			vs, err := f.GetMany(t.Context(), []int{1, 2})
			return vs[0], err
		}
		go func() { _, _ = ask() }()
		time.Sleep(time.Second / 2)
		go func() {
			v, err := ask()
			wants(t, "GetMany without an invalidation", int64(0))(v, err)
		}()
		synctest.Wait()
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls for two keys; want 2", n)
		}
		version.Add(1)
		if _, err := f.Delete(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		wants(t, "GetMany after Delete", int64(1))(ask())
	})
}
