package reprise_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/subject"
)

// slowSet is a store that takes its time to write.
type slowSet struct {
	*subject.Shared
	sets atomic.Int64
}

func (s *slowSet) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	time.Sleep(500 * time.Millisecond)
	defer s.sets.Add(1)
	return s.Shared.Set(ctx, key, v, ttl)
}

// TestClose holds that handlers go on, uncached, and that a second Close does nothing.
func TestClose(t *testing.T) {
	c, err := reprise.New(reprise.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Int64
	h := c.Wrap(counted(&n))
	check(t, get(h, "/a"), 200, "MISS", "v1")
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	check(t, get(h, "/a"), 200, "", "v2")
	check(t, request(h, "POST", "/a"), 200, "", "v3")
	check(t, get(c.Namespace("late").Wrap(counted(&n)), "/a"), 200, "", "v4")
}

// TestCloseWaitsForWrites holds that an answer which its client has is in the store when Close returns.
func TestCloseWaitsForWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowSet{Shared: subject.NewShared()}
		c, err := reprise.New(reprise.Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		var n atomic.Int64
		h := c.Wrap(counted(&n))
		start := time.Now()
		check(t, get(h, "/a"), 200, "MISS", "v1")
		if d := time.Since(start); d != 0 {
			t.Errorf("the client waited %v for the store", d)
		}
		if err := c.Close(); err != nil || s.sets.Load() != 1 || time.Since(start) != 500*time.Millisecond {
			t.Errorf("Close() = %v after %v, %d writes done; want nil after 500ms, 1", err, time.Since(start), s.sets.Load())
		}
	})
}

// TestCloseDuringFill lets an answer that is being made reach its clients, whoever follows too. The store, which may be closed by
// then, does not get it.
func TestCloseDuringFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowSet{Shared: subject.NewShared()}
		c, err := reprise.New(reprise.Config{Store: s})
		if err != nil {
			t.Fatal(err)
		}
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "whole")
		})
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if w := get(h, "/a"); w.Code != 200 || w.Body.String() != "whole" {
					t.Errorf("got %d %q", w.Code, w.Body)
				}
			})
		}
		synctest.Wait()
		start := time.Now()
		if err := c.Close(); err != nil || time.Since(start) != 0 {
			t.Errorf("Close() = %v after %v; clients are the server's business", err, time.Since(start))
		}
		wg.Wait()
		time.Sleep(time.Second)
		if n := s.sets.Load(); n != 0 {
			t.Errorf("%d writes after Close; want none", n)
		}
	})
}

// TestCloseSaysWhatIsLeft holds the error of a Close that has waited long enough.
func TestCloseSaysWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := reprise.New(reprise.Config{})
		if err != nil {
			t.Fatal(err)
		}
		var n atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Load() > 0 {
				time.Sleep(time.Minute) // and does not look at its context
			}
			counted(&n)(w, r)
		}, reprise.StaleWhileRevalidate(time.Hour))
		get(h, "/a")
		time.Sleep(61 * time.Second)
		get(h, "/a")
		synctest.Wait()
		start := time.Now()
		err = c.Close()
		if err == nil || !strings.Contains(err.Error(), "within 5s: 1 fills running") || time.Since(start) != 5*time.Second {
			t.Errorf("Close() = %v after %v; want what is left, after 5s", err, time.Since(start))
		}
		time.Sleep(time.Minute)
	})
}
