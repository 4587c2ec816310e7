package reprise

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func never() bool { return false }

func always() bool { return true }

// TestCrowdWithRoom: while the process keeps up nobody waits, however many they are.
func TestCrowdWithRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		c.open()
		for i := range 1000 {
			if !c.enter(t.Context(), never) {
				t.Fatalf("number %d did not enter", i)
			}
		}
	})
}

// TestCrowdInLine: when the process is late the others wait, and enter in order as places become free.
func TestCrowdInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		c.open()
		c.least = 2
		for range 4 {
			c.enter(t.Context(), never)
		}
		c.late = always
		for range 10 {
			time.Sleep(2 * settles)
			c.look()
		}
		if c.limit != 2 {
			t.Fatalf("the limit is %v; want no less than 2", c.limit)
		}
		var mu sync.Mutex
		var entered []int
		for i := range 3 {
			go func() {
				if c.enter(t.Context(), never) {
					mu.Lock()
					defer mu.Unlock()
					entered = append(entered, i)
				}
			}()
			synctest.Wait()
		}
		want := []int(nil)
		for i := range 5 {
			c.leave()
			synctest.Wait()
			if i >= 2 { // of four two are too many
				want = append(want, i-2)
			}
			mu.Lock()
			if !slices.Equal(entered, want) {
				t.Errorf("after %d have left %v have entered; want %v", i+1, entered, want)
			}
			mu.Unlock()
		}
		c.leave()
		c.leave()
		if c.running != 0 || !math.IsInf(c.limit, 1) {
			t.Errorf("%d run, and the limit is %v; want 0 and none", c.running, c.limit)
		}
	})
}

// TestCrowdLimit: it is lowered once for what is seen at once, and rises by as many as have ended since without its being seen.
func TestCrowdLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		c.open()
		c.least = 1
		for range 100 {
			c.enter(t.Context(), never)
		}
		c.late = always
		for range 10 {
			c.look()
		}
		if want := 100 * crowdShrink; c.limit != want {
			t.Errorf("the limit is %v; want %v", c.limit, want)
		}
		before := c.limit
		c.leave()
		if c.limit != before {
			t.Errorf("the limit rises to %v before what was changed shows", c.limit)
		}
		time.Sleep(2 * settles)
		for range 90 {
			c.leave()
		}
		if got := c.limit - before; got < 0.9*crowdGrow || got > 1.1*crowdGrow {
			t.Errorf("the limit rose by %v when as many as that had left; want about %v", got, crowdGrow)
		}
	})
}

// TestCrowdLeftEarly: who waits goes when its context ends, and when the store is back, and takes no place.
func TestCrowdLeftEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		c.open()
		c.least = 1
		c.enter(t.Context(), never)
		c.late = always
		c.look()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if c.enter(ctx, never) || time.Since(began) != time.Second {
			t.Errorf("who may wait for a second entered, or went after %v", time.Since(began))
		}
		c.left = time.Now().Add(time.Hour) // it is not stuck
		back := time.Now().Add(3 * time.Second)
		if c.enter(t.Context(), func() bool { return !time.Now().Before(back) }) || time.Since(back) > settles {
			t.Errorf("who waits for the store entered, or went %v after it was back", time.Since(back))
		}
		if c.line.Len() != 0 || c.running != 1 {
			t.Errorf("%d are left in the line and %d run; want 0 and 1", c.line.Len(), c.running)
		}
		c.leave()
		if !c.enter(t.Context(), never) {
			t.Error("there is no place after all have left")
		}
	})
}

// TestCrowdOfIdlers: who is inside and takes his time, but no processor, keeps nobody out for long.
func TestCrowdOfIdlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		c.open()
		c.least = 2
		for range 2 {
			c.enter(t.Context(), never)
		}
		c.late = always
		c.look()
		c.late = never
		began := time.Now()
		var line sync.WaitGroup
		for range 100 {
			line.Go(func() {
				if !c.enter(t.Context(), never) {
					t.Error("somebody did not enter")
				}
			})
		}
		line.Wait()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("100 had entered after %v, though the process was not late", took)
		}
	})
}

// TestCrowdStuck: where nobody leaves, though the process is late, somebody in the line is let in at last.
func TestCrowdStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crowd
		c.open()
		c.least, c.late = 1, always
		c.enter(t.Context(), never)
		c.look()
		began := time.Now()
		if !c.enter(t.Context(), never) {
			t.Fatal("it did not enter")
		}
		if took := time.Since(began); took < stuckAfter || took > stuckAfter+3*settles {
			t.Errorf("it entered after %v; want %v", took, stuckAfter)
		}
	})
}

// downStore is a store outside the process that cannot be reached.
type downStore struct{}

var errDown = errors.New("down")

func (downStore) Get(context.Context, string) ([]byte, error)              { return nil, errDown }
func (downStore) Set(context.Context, string, []byte, time.Duration) error { return errDown }
func (downStore) Delete(context.Context, ...string) (int, error)           { return 0, errDown }
func (downStore) Close() error                                             { return nil }

// TestCrowdWithin: handlers and functions wait for each other's places; what a handler calls has the place of that, and waits for none.
func TestCrowdWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Store: downStore{}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		crowd := &c.engine.store.crowd
		crowd.limit, crowd.least, crowd.late = 1, 1, always
		var now, most atomic.Int64
		work := func() {
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
		}
		inner := Memoize(c, "inner", func(context.Context, string) (int, error) { return 1, nil })
		apart := Memoize(c, "apart", func(context.Context, int) (int, error) { work(); return 1, nil })
		h := c.WrapFunc(func(_ http.ResponseWriter, r *http.Request) {
			work()
			if _, err := inner(r.Context(), r.URL.Path); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/"+strconv.Itoa(i), http.NoBody))
			})
			all.Go(func() { _, _ = apart(t.Context(), i) })
		}
		all.Wait()
		if took := time.Since(began); took > 6*time.Second || most.Load() > 3 { // the first place becomes three, as there are no more
			t.Errorf("six took %v, and %d ran at once; want at most 6 s and 3", took, most.Load())
		}
		if crowd.running != 0 || crowd.line.Len() != 0 {
			t.Errorf("%d run and %d wait when all have ended", crowd.running, crowd.line.Len())
		}
	})
}
