package reprise_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
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
