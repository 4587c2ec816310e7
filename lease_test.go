package reprise_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/subject"
)

// leasing is a shared store that grants leases.
type leasing struct {
	*subject.Shared
	mu     sync.Mutex
	fence  uint64
	leases map[string]*grant
	down   atomic.Bool
}

type grant struct {
	fence uint64
	until time.Time
}

func newLeasing() *leasing {
	return &leasing{Shared: subject.NewShared(), leases: make(map[string]*grant)}
}

func (s *leasing) Lock(_ context.Context, name string, ttl time.Duration) (uint64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down.Load() {
		return 0, false, io.ErrUnexpectedEOF
	}
	if g := s.leases[name]; g != nil && time.Now().Before(g.until) {
		return 0, false, nil
	}
	s.fence++
	s.leases[name] = &grant{s.fence, time.Now().Add(ttl)}
	return s.fence, true, nil
}

func (s *leasing) Renew(_ context.Context, name string, fence uint64, ttl time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.leases[name]
	if g == nil || g.fence != fence {
		return false, nil
	}
	g.until = time.Now().Add(ttl)
	return true, nil
}

func (s *leasing) Unlock(_ context.Context, name string, fence uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.leases[name]; g != nil && g.fence == fence {
		g.until = time.Time{}
	}
	return nil
}

func (s *leasing) SetLocked(ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.leases[name]; g != nil && g.fence > fence {
		return false, nil
	}
	return true, s.Set(ctx, key, value, ttl)
}

// fleet asks n processes on one store for one URL, m clients each, and returns the handler's calls.
func fleet(t *testing.T, s *leasing, n, m int, handler func(call int64, w http.ResponseWriter)) (calls int64) {
	t.Helper()
	var count atomic.Int64
	var wg sync.WaitGroup
	for range n {
		h := open(t, reprise.Config{Store: s}).WrapFunc(func(w http.ResponseWriter, _ *http.Request) { handler(count.Add(1), w) })
		for range m {
			wg.Go(func() {
				if w := get(h, "/a"); w.Code != 200 || w.Body.String() != "body" {
					t.Errorf("got %d %q", w.Code, w.Body)
				}
			})
		}
	}
	wg.Wait()
	return count.Load()
}

func TestFleet(t *testing.T) {
	body := func(_ int64, w http.ResponseWriter) {
		time.Sleep(100 * time.Millisecond)
		_, _ = io.WriteString(w, "body")
	}
	t.Run("one run for all processes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			if n := fleet(t, newLeasing(), 8, 50, body); n != 1 {
				t.Errorf("%d calls; want 1", n)
			}
			if d := time.Since(start); d > 150*time.Millisecond {
				t.Errorf("the last client waited %v", d)
			}
		})
	})
	t.Run("a run longer than the lease keeps it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			n := fleet(t, newLeasing(), 3, 2, func(_ int64, w http.ResponseWriter) {
				time.Sleep(9 * time.Second)
				_, _ = io.WriteString(w, "body")
			})
			if n != 1 {
				t.Errorf("%d calls; want 1", n)
			}
		})
	})
	t.Run("nobody queues for what cannot be shared", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			n := fleet(t, newLeasing(), 8, 5, func(_ int64, w http.ResponseWriter) {
				time.Sleep(100 * time.Millisecond)
				w.Header().Set("Cache-Control", "private")
				_, _ = io.WriteString(w, "body")
			})
			if d := time.Since(start); n != 40 || d > 360*time.Millisecond {
				t.Errorf("%d calls in %v; want 40 in the time of three and a poll", n, d)
			}
		})
	})
	t.Run("without leases each process runs once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newLeasing()
			s.down.Store(true)
			if n := fleet(t, s, 4, 10, body); n != 4 {
				t.Errorf("%d calls; want 4", n)
			}
		})
	})
	t.Run("a lease whose owner has died is taken over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newLeasing()
			if _, ok, _ := s.Lock(t.Context(), "~L|reprise|GET|http://example.com|/a", 2*time.Second); !ok {
				t.Fatal("no lease")
			}
			start := time.Now()
			if n := fleet(t, s, 4, 10, body); n != 1 {
				t.Errorf("%d calls; want 1", n)
			}
			if d := time.Since(start); d < 2100*time.Millisecond || d > 2250*time.Millisecond {
				t.Errorf("the last client waited %v; want the lease, the run and a poll", d)
			}
		})
	})
	t.Run("who has lost the lease does not overwrite", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newLeasing()
			stuck := open(t, reprise.Config{Store: s}).WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
				s.mu.Lock() // as if its process had been stopped: the lease runs out, and another takes it
				s.fence++
				s.leases["~L|reprise|GET|http://example.com|/a"] = &grant{s.fence, time.Now().Add(time.Minute)}
				s.mu.Unlock()
				_ = s.Set(t.Context(), "reprise|GET|http://example.com|/a", []byte("the later owner's"), time.Minute)
				_, _ = io.WriteString(w, "body")
			})
			get(stuck, "/a")
			synctest.Wait()
			if b, _ := s.Get(t.Context(), "reprise|GET|http://example.com|/a"); string(b) != "the later owner's" {
				t.Errorf("the store holds %q", b)
			}
		})
	})
	t.Run("one background refresh", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newLeasing()
			var calls atomic.Int64
			handlers := make([]http.Handler, 3)
			for i := range handlers {
				handlers[i] = open(t, reprise.Config{Store: s}).WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
					calls.Add(1)
					time.Sleep(100 * time.Millisecond)
					_, _ = io.WriteString(w, "body")
				}, reprise.TTL(time.Second), reprise.StaleWhileRevalidate(time.Minute))
			}
			get(handlers[0], "/a")
			time.Sleep(2 * time.Second)
			for _, h := range handlers {
				if w := get(h, "/a"); w.Header().Get("X-Cache") != "HIT" {
					t.Errorf("X-Cache %q; want the stale answer", w.Header().Get("X-Cache"))
				}
			}
			time.Sleep(time.Second / 2)
			if n := calls.Load(); n != 2 {
				t.Errorf("%d calls; want the first and one refresh", n)
			}
		})
	})
}

// fleetLoad is fleet for a function.
func fleetLoad(t *testing.T, s *leasing, n, m int, load func(call int64) (string, error)) (calls int64) {
	t.Helper()
	var count atomic.Int64
	var wg sync.WaitGroup
	for range n {
		f := reprise.Memoize(open(t, reprise.Config{Store: s}), "f", func(context.Context, int) (string, error) { return load(count.Add(1)) })
		for range m {
			wg.Go(func() {
				if v, err := f(t.Context(), 1); v != "value" || err != nil {
					t.Errorf("got %q, %v", v, err)
				}
			})
		}
	}
	wg.Wait()
	return count.Load()
}

func TestFleetOfFunctions(t *testing.T) {
	load := func(int64) (string, error) {
		time.Sleep(100 * time.Millisecond)
		return "value", nil
	}
	t.Run("one call for all processes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			if n := fleetLoad(t, newLeasing(), 8, 50, load); n != 1 {
				t.Errorf("%d calls; want 1", n)
			}
			if d := time.Since(start); d > 150*time.Millisecond {
				t.Errorf("the last caller waited %v", d)
			}
		})
	})
	t.Run("a lease whose owner has died is taken over", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newLeasing()
			if _, ok, _ := s.Lock(t.Context(), "~L|reprise|~f:f|~i:1", 2*time.Second); !ok {
				t.Fatal("no lease")
			}
			start := time.Now()
			if n := fleetLoad(t, s, 4, 10, load); n != 1 {
				t.Errorf("%d calls; want 1", n)
			}
			if d := time.Since(start); d < 2100*time.Millisecond || d > 2250*time.Millisecond {
				t.Errorf("the last caller waited %v; want the lease, the call and a poll", d)
			}
		})
	})
	t.Run("nobody queues for what is not stored", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var wg sync.WaitGroup
			var calls atomic.Int64
			s := newLeasing()
			for range 8 {
				f := reprise.Memoize(open(t, reprise.Config{Store: s}), "f", func(ctx context.Context, _ int) (string, error) {
					calls.Add(1)
					reprise.NoStore(ctx)
					return load(0)
				})
				wg.Go(func() { _, _ = f(t.Context(), 1) })
			}
			wg.Wait()
			if d := time.Since(start); calls.Load() != 8 || d > 260*time.Millisecond {
				t.Errorf("%d calls in %v; want 8 in the time of two and a poll", calls.Load(), d)
			}
		})
	})
	t.Run("batches take no leases", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			var wg sync.WaitGroup
			var calls atomic.Int64
			s := newLeasing()
			for i := range 4 {
				f := newFunc(t, open(t, reprise.Config{Store: s}), "f", counting[int](new(atomic.Int64), 0),
					reprise.LoadMany(func(_ context.Context, keys []int) (map[int]int64, error) {
						calls.Add(1)
						time.Sleep(100 * time.Millisecond)
						return map[int]int64{keys[0]: 1, keys[1]: 1}, nil
					}))
				for range 10 {
					wg.Go(func() {
						if v, err := f.GetMany(t.Context(), []int{i, i + 1}); err != nil || v[0] != 1 || v[1] != 1 {
							t.Errorf("GetMany = %v, %v", v, err)
						}
					})
				}
			}
			wg.Wait()
			if d := time.Since(start); calls.Load() != 4 || d != 100*time.Millisecond || len(s.leases) != 0 {
				t.Errorf("%d calls in %v with %d leases; want one for each process, at once, and none", calls.Load(), d, len(s.leases))
			}
		})
	})
	t.Run("without leases each process calls once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newLeasing()
			s.down.Store(true)
			if n := fleetLoad(t, s, 4, 10, load); n != 4 {
				t.Errorf("%d calls; want 4", n)
			}
		})
	})
}
