package memcachedstore_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// TestLeaseLoss: a lease whose item is gone is nobody's, and its holder writes no more.
func TestLeaseLoss(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, server *realserver.Server){
		"evicted": func(t *testing.T, s *realserver.Server) { evict(t, s.Addr(), `^p=`) },
		"restart": func(t *testing.T, s *realserver.Server) { s.Restart(t) },
		"garbage": func(t *testing.T, s *realserver.Server) {
			do(t, s.Addr(), meta.Command{Op: meta.Set, Key: "p=name", Value: []byte("x"), TTL: 3600})
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := realserver.NewMemcached(t)
			ctx := t.Context()
			s := open(t, memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p"})
			f1, ok, err := s.Lock(ctx, "name", time.Hour)
			if !ok || err != nil {
				t.Fatalf("Lock = %v, %v", ok, err)
			}
			lose(t, server)
			if ok, err := s.SetLocked(ctx, "key", []byte("v"), time.Hour, "name", f1); ok || err != nil {
				t.Errorf("SetLocked under a lost lease = %v, %v; want false", ok, err)
			}
			if ok, err := s.Renew(ctx, "name", f1, time.Hour); ok || err != nil {
				t.Errorf("Renew of a lost lease = %v, %v; want false", ok, err)
			}
			if err := s.Unlock(ctx, "name", f1); err != nil {
				t.Errorf("Unlock of a lost lease = %v", err)
			}
			f2, ok, err := s.Lock(ctx, "name", time.Hour)
			if !ok || err != nil || f2 <= f1 {
				t.Errorf("Lock = %d, %v, %v; want a fence above %d", f2, ok, err, f1)
			}
		})
	}
}

// TestSetLockedGivesTimeBack: a write under a lease that has ended does not keep others from the next.
func TestSetLockedGivesTimeBack(t *testing.T) {
	one, _ := realserver.Memcached(t)
	ctx := t.Context()
	s := open(t, memcachedstore.Config{Servers: []string{one}})
	fence, _, err := s.Lock(ctx, "name", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Unlock(ctx, "name", fence); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.SetLocked(ctx, "key", []byte("v"), time.Hour, "name", fence); !ok || err != nil {
		t.Fatalf("SetLocked after Unlock = %v, %v; want true: no other lease was granted", ok, err)
	}
	if _, ok, err := s.Lock(ctx, "name", time.Hour); !ok || err != nil {
		t.Errorf("Lock after that = %v, %v; want true", ok, err)
	}
}

// TestSetLockedHalfway stops a holder before it writes. Nobody else is granted the lease then, though its time is over; and should
// somebody be after all, the write that comes too late does not replace what the later holder wrote.
func TestSetLockedHalfway(t *testing.T) {
	server := realserver.NewMemcached(t)
	ctx := t.Context()
	cfg := memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p", Timeout: 10 * time.Second}
	later := open(t, cfg)
	h := newHalting(func(_ int64, b []byte) int { return bytes.Index(b, []byte("ms p|key ")) })
	cfg.Dial = h.dial
	holder := open(t, cfg)
	fence, _, err := holder.Lock(ctx, "name", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Unlock(ctx, "name", fence); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	h.armed.Store(true)
	written := make(chan bool)
	go func() {
		ok, _ := holder.SetLocked(ctx, "key", []byte("late"), time.Hour, "name", fence) // on a slow machine its time is over
		written <- ok
	}()
	<-h.stopped
	if _, ok, err := later.Lock(ctx, "name", time.Hour); (ok || err != nil) && time.Since(began) < 2*time.Second {
		t.Errorf("Lock while the holder writes = %v, %v; want false", ok, err)
	}
	evict(t, server.Addr(), `^p=`)
	next, ok, err := later.Lock(ctx, "name", time.Hour)
	if !ok || err != nil {
		t.Fatalf("Lock = %v, %v; want true: the lease is gone", ok, err)
	}
	if ok, err := later.SetLocked(ctx, "key", []byte("later"), time.Hour, "name", next); !ok || err != nil {
		t.Fatalf("SetLocked by the later holder = %v, %v; want true", ok, err)
	}
	close(h.proceed)
	if <-written {
		t.Error("the holder was told that it wrote")
	}
	if got, err := later.Get(ctx, "key"); err != nil || string(got) != "later" {
		t.Errorf("Get = %q, %v; want what the later holder wrote", got, err)
	}
}

func TestLeaseLimits(t *testing.T) {
	one, _ := realserver.Memcached(t)
	s := open(t, memcachedstore.Config{Servers: []string{one}})
	for _, ttl := range []time.Duration{0, -1, store.Forever, 29 * 24 * time.Hour} {
		if _, ok, err := s.Lock(t.Context(), "name", ttl); ok || err == nil {
			t.Errorf("Lock for %v = %v, %v; want an error", ttl, ok, err)
		}
	}
	if _, ok, err := s.Lock(t.Context(), "a name, not a key: \x00", 28*24*time.Hour); !ok || err != nil {
		t.Errorf("Lock for 28 days = %v, %v; want true", ok, err)
	}
}
