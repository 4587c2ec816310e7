package reprise_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/subject"
	"github.com/reprise-go/reprise/store"
)

// slow is a shared store with two nodes: "b", which has the keys of paths that begin with /b, and "a", which has the others
// and the marks. It also grants leases. Operations on a node take as long as it is told.
type slow struct {
	*subject.Shared
	takes map[string]*atomic.Int64 // by node, nanoseconds
	asked atomic.Int64             // operations on "b"
}

func newSlow() *slow {
	return &slow{Shared: subject.NewShared(), takes: map[string]*atomic.Int64{"a": {}, "b": {}}}
}

func (s *slow) Node(key string) string {
	if strings.Contains(key, "/b") {
		return "b"
	}
	return "a"
}

func (s *slow) wait(ctx context.Context, key string) error {
	node := s.Node(key)
	if node == "b" {
		s.asked.Add(1)
	}
	select {
	case <-time.After(time.Duration(s.takes[node].Load())):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *slow) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := s.wait(ctx, key); err != nil {
		return err
	}
	return s.Shared.Set(ctx, key, value, ttl)
}

func (s *slow) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	if err := s.wait(ctx, ""); err != nil {
		return store.Marks{}, err
	}
	return s.Shared.Marks(ctx, names...)
}

func (s *slow) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	if err := s.wait(ctx, key); err != nil {
		return nil, store.Marks{}, err
	}
	return s.Shared.GetMarked(ctx, key, names...)
}

func (s *slow) Lock(ctx context.Context, name string, _ time.Duration) (uint64, bool, error) {
	return 1, true, s.wait(ctx, name)
}

func (s *slow) Renew(ctx context.Context, name string, _ uint64, _ time.Duration) (bool, error) {
	return true, s.wait(ctx, name)
}

func (s *slow) Unlock(ctx context.Context, name string, _ uint64) error { return s.wait(ctx, name) }

func (s *slow) SetLocked(ctx context.Context, key string, v []byte, ttl time.Duration, _ string, _ uint64) (bool, error) {
	return true, s.Set(ctx, key, v, ttl)
}

// served caches a handler that answers the path in s, and returns a client that says X-Cache and how long it took.
func served(t *testing.T, s store.Store) func(path string) (string, time.Duration) {
	c := open(t, reprise.Config{Store: s, Logger: slog.New(slog.DiscardHandler)})
	h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }, reprise.TTL(time.Hour))
	return func(path string) (string, time.Duration) {
		began := time.Now()
		w := get(h, path)
		took := time.Since(began)
		synctest.Wait() // it is stored
		if w.Code != http.StatusOK || w.Body.String() != path {
			t.Errorf("GET %s = %d %q; want 200 and the path", path, w.Code, w.Body)
		}
		return w.Header().Get("X-Cache"), took
	}
}

// A node that hangs costs five requests their patience, and nobody who asks for what is on another node.
func TestBreakerOfNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		ask := served(t, s)
		ask("/a")
		ask("/b")
		for range 2 { // outages
			s.takes["b"].Store(int64(time.Hour))
			for i := range 5 {
				if mark, took := ask("/b"); mark != "" || took != 250*time.Millisecond {
					t.Errorf("request %d of the node that hangs: %s after %v; want an answer after 250ms, not stored", i, mark, took)
				}
				if mark, took := ask("/a"); mark != "HIT" || took != 0 {
					t.Errorf("another node: %s after %v; want a HIT at once", mark, took)
				}
			}
			asked := s.asked.Load()
			for range 100 {
				if mark, took := ask("/b"); mark != "" || took != 0 {
					t.Errorf("a node that is left alone: %s after %v; want an answer at once, not stored", mark, took)
				}
				if mark, _ := ask("/a"); mark != "HIT" {
					t.Errorf("another node: %s; want a HIT", mark)
				}
			}
			time.Sleep(5 * time.Second)
			if n := s.asked.Load() - asked; n == 0 || n > 10 {
				t.Errorf("%d probes in 5s; want some, at most one in 500ms", n)
			}
			s.takes["b"].Store(0)
			time.Sleep(time.Second)
			if mark, _ := ask("/b"); mark != "HIT" {
				t.Errorf("a second after the node is back: %s; want a HIT", mark)
			}
		}
	})
}

// Clients that leave while the store is asked say nothing of it.
func TestBreakerOfClientsThatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		c := open(t, reprise.Config{Store: s, Logger: slog.New(slog.DiscardHandler)})
		h := c.WrapFunc(func(http.ResponseWriter, *http.Request) {}, reprise.TTL(time.Hour))
		get(h, "/b")
		synctest.Wait() // it is stored
		s.takes["b"].Store(int64(100 * time.Millisecond))
		for range 20 {
			ctx, leave := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, leave)
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/b", nil))
			synctest.Wait()
		}
		if mark := get(h, "/b").Header().Get("X-Cache"); mark != "HIT" {
			t.Errorf("after 20 clients that left: %s; want a HIT", mark)
		}
		if n := c.Stats().StoreErrors; n != 0 {
			t.Errorf("%d failures of the store are counted; want 0", n)
		}
	})
}

// A store that is away fills no log.
func TestFailuresAreLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		s.takes["a"].Store(int64(time.Hour))
		var lines strings.Builder
		c := open(t, reprise.Config{Store: s, Logger: slog.New(slog.NewTextHandler(&lines, nil))})
		h := c.WrapFunc(func(http.ResponseWriter, *http.Request) {})
		for range 100 {
			get(h, "/")
		}
		synctest.Wait()
		if n := strings.Count(lines.String(), "\n"); n != 1 || !strings.Contains(lines.String(), "the store fails") {
			t.Errorf("%d lines:\n%s\nwant one, that the store fails", n, &lines)
		}
		if n := c.Stats().StoreErrors; n < 5 {
			t.Errorf("%d failures of the store are counted; want all", n)
		}
	})
}

// refusing is a store that takes no value above a kilobyte, and that claims to clear.
type refusing struct{ *subject.Shared }

func (s refusing) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if len(value) > 1<<10 {
		return store.ErrTooLarge
	}
	return s.Shared.Set(ctx, key, value, ttl)
}

func (refusing) Clear(context.Context, string) (int, error) { return 0, errors.ErrUnsupported }

// A store that says why it does not do something works: it is asked on, and no failure is logged.
func TestBreakerOfRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tooLarge atomic.Int64
		c := open(t, reprise.Config{
			Store: refusing{subject.NewShared()}, Logger: slog.New(slog.DiscardHandler),
			Observe: func(_ context.Context, ev reprise.Event) {
				if ev.Outcome == reprise.Failed && ev.Reason == reprise.ReasonTooLarge { // beside that of the answer, which may know it by then
					tooLarge.Add(1)
				}
			},
		})
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/small" {
				_, _ = w.Write(make([]byte, 2<<10))
			}
		}, reprise.TTL(time.Hour))
		for i := range 20 {
			get(h, "/large/"+strconv.Itoa(i))
			if err := c.Namespace("none").Clear(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		get(h, "/small")
		synctest.Wait() // it is stored
		if mark := get(h, "/small").Header().Get("X-Cache"); mark != "HIT" {
			t.Errorf("after values that were too large: %s; want a HIT", mark)
		}
		if n := tooLarge.Load(); n != 20 {
			t.Errorf("%d events say that an answer is too large; want 20", n)
		}
		if n := c.Stats().StoreErrors; n != 0 {
			t.Errorf("%d failures of the store are counted; want 0", n)
		}
	})
}

// The operations before one answer share the store's time: a miss looks up, takes a lease and looks again.
func TestStoreTimeoutIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		ask := served(t, s)
		s.takes["a"].Store(int64(100 * time.Millisecond))
		if _, took := ask("/1"); took != 250*time.Millisecond {
			t.Errorf("operations of 100ms: an answer after %v; want one after 250ms", took)
		}
		time.Sleep(time.Minute)
		s.takes["a"].Store(int64(50 * time.Millisecond))
		if mark, took := ask("/2"); mark != "MISS" || took != 150*time.Millisecond {
			t.Errorf("operations of 50ms: %s after %v; want a MISS after three", mark, took)
		}
		time.Sleep(time.Minute)
		if mark, took := ask("/2"); mark != "HIT" || took != 50*time.Millisecond {
			t.Errorf("operations of 50ms: %s after %v; want a HIT after one", mark, took)
		}
	})
}
