package memcachedstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// operations are calls that need the server, each with arguments that work.
func operations(s *memcachedstore.Store) map[string]func(context.Context) error {
	large := make([]byte, 2<<20)
	return map[string]func(context.Context) error{
		"Get":       func(ctx context.Context) error { _, err := s.Get(ctx, "key"); return err },
		"Get large": func(ctx context.Context) error { _, err := s.Get(ctx, "large"); return err },
		"Set":       func(ctx context.Context) error { return s.Set(ctx, "key", []byte("value"), time.Hour) },
		"Set large": func(ctx context.Context) error { return s.Set(ctx, "large", large, time.Hour) },
		"Delete":    func(ctx context.Context) error { _, err := s.Delete(ctx, "a", "b", "c", "d"); return err },
		"GetMulti": func(ctx context.Context) error {
			_, err := s.GetMulti(ctx, []string{"key", "a", "b", "c", "d", "e"})
			return err
		},
		"Marks":     func(ctx context.Context) error { _, err := s.Marks(ctx, "a", "b"); return err },
		"Raise":     func(ctx context.Context) error { _, err := s.Raise(ctx, "a", "b"); return err },
		"GetMarked": func(ctx context.Context) error { _, _, err := s.GetMarked(ctx, "key", "a", "b"); return err },
		"Lock": func(ctx context.Context) error {
			fence, ok, err := s.Lock(ctx, "name", time.Hour)
			if ok {
				err = s.Unlock(ctx, "name", fence)
			}
			return err
		},
		"SetLocked": func(ctx context.Context) error {
			_, err := s.SetLocked(ctx, "key", []byte("value"), time.Hour, "name", 1)
			return err
		},
	}
}

// TestFaults breaks the connection to one of two servers under every operation: each ends by its deadline, and works
// again as soon as the server does.
func TestFaults(t *testing.T) {
	const (
		deadline = 200 * time.Millisecond
		slack    = 5 * time.Second // of a busy machine; the faults last until every operation has ended
	)
	for name, tt := range map[string]struct {
		breaks func(*testing.T, *realserver.Server, *realserver.Proxy)
		heals  func(*testing.T, *realserver.Server, *realserver.Proxy)
	}{
		"refused": {breaks: func(_ *testing.T, _ *realserver.Server, p *realserver.Proxy) { p.Refuse() }},
		"hung":    {breaks: func(_ *testing.T, _ *realserver.Server, p *realserver.Proxy) { p.Hang() }},
		"slow":    {breaks: func(_ *testing.T, _ *realserver.Server, p *realserver.Proxy) { p.Latency(10 * time.Second) }},
		"reset":   {breaks: func(_ *testing.T, _ *realserver.Server, p *realserver.Proxy) { p.Reset() }},
		"cut":     {breaks: func(_ *testing.T, _ *realserver.Server, p *realserver.Proxy) { p.Cut(1) }},
		"stopped": {
			breaks: func(t *testing.T, s *realserver.Server, _ *realserver.Proxy) { s.Pause(t) },
			heals:  func(t *testing.T, s *realserver.Server, _ *realserver.Proxy) { s.Continue(t) },
		},
		"killed": {
			breaks: func(_ *testing.T, s *realserver.Server, _ *realserver.Proxy) { s.Kill() },
			heals:  func(t *testing.T, s *realserver.Server, _ *realserver.Proxy) { s.Restart(t) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			one, two := realserver.NewMemcached(t), realserver.NewMemcached(t)
			// Which keys are on which server depends on their ports. Some of what is asked for has to be on the one that breaks.
			proxy := realserver.NewProxy(t, one.Addr())
			s := open(t, memcachedstore.Config{Servers: []string{proxy.Addr(), two.Addr()}})
			for s.Node("key") != proxy.Addr() {
				proxy = realserver.NewProxy(t, one.Addr())
				s = open(t, memcachedstore.Config{Servers: []string{proxy.Addr(), two.Addr()}})
			}
			for what, call := range operations(s) {
				if err := call(t.Context()); err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Fatalf("%s = %v before anything broke", what, err)
				}
			}
			before := runtime.NumGoroutine()
			tt.breaks(t, one, proxy)
			failed, longest := 0, time.Duration(0)
			for what, call := range operations(s) {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				begin := time.Now()
				err := call(ctx)
				took := time.Since(begin)
				longest = max(longest, took)
				cancel()
				if took > deadline+slack {
					t.Errorf("%s took %v; want at most %v", what, took, deadline)
				}
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					failed++
				}
				if took >= deadline && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%s = %v after %v; want DeadlineExceeded", what, err, took)
				}
			}
			if failed == 0 {
				t.Error("nothing failed: the fault was none")
			}

			if tt.heals != nil {
				tt.heals(t, one, proxy)
			}
			proxy.Heal()
			begin := time.Now()
			for what, call := range operations(s) {
				if err := call(t.Context()); err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("%s = %v after recovery; want nil", what, err)
				}
			}
			t.Logf("%d of %d operations failed, after %v at most; all worked again after %v",
				failed, len(operations(s)), longest.Round(100*time.Microsecond), time.Since(begin).Round(100*time.Microsecond))
			for until := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before+4; {
				if time.Now().After(until) {
					t.Fatalf("%d goroutines; %d before", runtime.NumGoroutine(), before)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
}

// TestCancel: an operation ends when its context does, not when its time is over.
func TestCancel(t *testing.T) {
	one, _ := realserver.Memcached(t)
	proxy := realserver.NewProxy(t, one)
	s := open(t, memcachedstore.Config{Servers: []string{proxy.Addr()}, Timeout: time.Minute})
	if err := s.Set(t.Context(), "key", []byte("value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	proxy.Hang()
	for what, call := range operations(s) {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(20*time.Millisecond, cancel)
		begin := time.Now()
		if err := call(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v; want Canceled", what, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %v", what, took)
		}
		timer.Stop()
		cancel()
	}
	proxy.Heal()
	if got, err := s.Get(t.Context(), "key"); err != nil || string(got) != "value" {
		t.Errorf("Get = %q, %v; want the value", got, err)
	}
}

// TestTornValue: a value that lost a piece, or has one of the wrong bytes, is gone.
func TestTornValue(t *testing.T) {
	server := realserver.NewMemcached(t)
	s := open(t, memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p", ItemBytes: 1 << 10})
	value := bytes.Repeat([]byte("0123456789"), 1<<10)
	forged := func(size, piece uint64) []byte {
		b := append([]byte{1}, make([]byte, 16)...)
		return append(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, size), piece), 0, 0, 0, 0)
	}
	manifest := func(b []byte) func(string) { return func(string) { overwriteFlags(t, server.Addr(), `^p\|`, b) } }
	for name, harm := range map[string]func(key string){
		"piece lost":        func(key string) { evict(t, server.Addr(), `^p\+.*\.3$`) },
		"piece shorter":     func(string) { overwrite(t, server.Addr(), `^p\+.*\.3$`, value[:1<<10-1]) },
		"piece longer":      func(string) { overwrite(t, server.Addr(), `^p\+.*\.3$`, value[3<<10:][:1<<10+1]) },
		"piece changed":     func(string) { overwrite(t, server.Addr(), `^p\+.*\.3$`, make([]byte, 1<<10)) },
		"manifest garbage":  manifest([]byte("garbage")),
		"manifest of zeros": manifest(make([]byte, 37)),

		"value of any size":    manifest(forged(1<<62, 1<<10)),
		"value without pieces": manifest(forged(10<<10, 0)),
		"value of tiny pieces": manifest(forged(10<<10, 1)),
		"value of one piece":   manifest(forged(10<<10, 10<<10)),
		"another program's": func(key string) {
			do(t, server.Addr(), meta.Command{Op: meta.Set, Key: "p|" + key, Value: value[:100], Flags: 2})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Set(t.Context(), "key", value, time.Hour); err != nil {
				t.Fatal(err)
			}
			harm("key")
			if got, err := s.Get(t.Context(), "key"); !errors.Is(err, store.ErrNotFound) || got != nil {
				t.Errorf("Get = %d bytes, %v; want ErrNotFound", len(got), err)
			}
			if got, err := s.GetMulti(t.Context(), []string{"key"}); err != nil || got[0] != nil {
				t.Errorf("GetMulti = %d bytes, %v; want nil", len(got[0]), err)
			}
			if _, m, err := s.GetMarked(t.Context(), "key", "a"); !errors.Is(err, store.ErrNotFound) || m.Incarnation == 0 {
				t.Errorf("GetMarked = %+v, %v; want marks and ErrNotFound", m, err)
			}
			if n, err := s.Delete(t.Context(), "key"); err != nil || n != 1 {
				t.Errorf("Delete = %d, %v", n, err)
			}
			evict(t, server.Addr(), `^p\+`)
		})
	}
}

func overwrite(t testing.TB, addr, pattern string, value []byte) {
	t.Helper()
	for _, key := range keysOf(t, addr, pattern) {
		do(t, addr, meta.Command{Op: meta.Set, Key: key, Value: value})
	}
}

func overwriteFlags(t testing.TB, addr, pattern string, value []byte) {
	t.Helper()
	for _, key := range keysOf(t, addr, pattern) {
		do(t, addr, meta.Command{Op: meta.Set, Key: key, Value: value, Flags: 1})
	}
}
