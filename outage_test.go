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
		f := reprise.Memoize(c, "f", func(context.Context, int) (string, error) { return answer(), nil })
		for name, ask := range map[string]func() string{
			"response": func() string {
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
				return rec.Body.String()
			},
			"function": func() string {
				v, err := f(t.Context(), 1)
				if err != nil {
					t.Error(err)
				}
				return v
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

// While the store cannot be read, requests for one key still share runs: those that wait for one have a run that begins
// after them.
func TestCollapsingWithoutMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutside(t)
		c := reprise.Must(reprise.New(reprise.Config{Store: s, Logger: silent()}))
		defer c.Close()
		var calls atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			_, _ = fmt.Fprint(w, calls.Add(1))
		})
		s.down.Store(true)
		var wg sync.WaitGroup
		for range 10 { // ten waves of a hundred clients, a tenth of a second apart
			for range 100 {
				wg.Go(func() {
					start := time.Now()
					if w := get(h, "/"); w.Code != http.StatusOK {
						t.Errorf("status %d", w.Code)
					}
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
}
