package memstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/store"
)

func newStore(t *testing.T, maxBytes int64) *Store {
	t.Helper()
	s, err := New(Config{MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// resident is what stands in the table, whether room was made for it or not. Nobody has his turn meanwhile: a walk of a
// table that turns over sees both what goes and what comes, and more than was ever there.
func (s *Store) resident() (bytes int64) {
	s.room.making.Lock()
	defer s.room.making.Unlock()
	for e := range s.cache.Load().Values() {
		bytes += int64(len(e.v.(raw))+len(e.key)) + EntryOverhead
	}
	return bytes
}

// TestBoundUnderLoad: writers who are faster than the upkeep of the cache do not exceed the bound by more than a few
// per cent. Without turns, 64 of them bring it to six times the bound with values of 1 MiB.
func TestBoundUnderLoad(t *testing.T) {
	for _, tt := range []struct{ size, bound int }{
		{100, 4 << 20}, {10 << 10, 32 << 20}, {64 << 10, 32 << 20}, {1 << 20, 32 << 20},
	} {
		for _, writers := range []int{8, 64} {
			t.Run(fmt.Sprintf("%d bytes/%d writers", tt.size, writers), func(t *testing.T) {
				bound := int64(tt.bound)
				s := newStore(t, bound)
				value := make([]byte, tt.size)
				writes := max(4*tt.bound/(tt.size+EntryOverhead)/writers, 4)
				var wg sync.WaitGroup
				for w := range writers {
					wg.Go(func() {
						for i := range writes {
							if err := s.Set(context.Background(), fmt.Sprintf("%d/%d", w, i), value, time.Hour); err != nil {
								t.Errorf("Set = %v; want nil", err)
							}
						}
					})
				}
				done := make(chan struct{})
				go func() { defer close(done); wg.Wait() }()
				var peak int64
				for running := true; running; {
					select {
					case <-done:
						running = false
					default:
					}
					peak = max(peak, s.resident())
				}
				if peak > bound*110/100 {
					t.Errorf("%d MiB were resident; want at most 10%% above the bound of %d", peak>>20, bound>>20)
				}
				if _, bytes := s.Size(); bytes > bound || bytes < bound/2 {
					t.Errorf("Size() = %d bytes at the end; want at most %d, and well used", bytes, bound)
				}
				if begun, done := s.room.begun.Load(), s.room.done.Load(); begun != done {
					t.Errorf("%d bytes were begun and %d done; want the same when nobody writes", begun, done)
				}
				t.Logf("peak %.1f %% of the bound", float64(peak)*100/float64(bound))
			})
		}
	}
}

// TestGiants: an entry of more than a quarter of the store does not get in.
func TestGiants(t *testing.T) {
	s := newStore(t, 1<<20)
	const most = 1<<18 - EntryOverhead - len("key")
	if err := s.Set(context.Background(), "key", make([]byte, most), time.Hour); err != nil {
		t.Errorf("Set of a quarter = %v; want nil", err)
	}
	if err := s.Set(context.Background(), "key", make([]byte, most+1), time.Hour); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Set of more than a quarter = %v; want ErrTooLarge", err)
	}
	if b, err := s.Get(context.Background(), "key"); err != nil || len(b) != most {
		t.Errorf("Get = %d bytes, %v; want the %d that were there", len(b), err, most)
	}
	s.Keep("key", "live", int64(most), time.Hour)
	if _, ok := s.Load([]byte("key")); !ok {
		t.Errorf("Load after Keep of a quarter found nothing")
	}
	for _, bytes := range []int64{int64(most) + 1, 1 << 40, -1} {
		s.Keep("key", "live", 1, time.Hour)
		s.Keep("key", "giant", bytes, time.Hour)
		if v, ok := s.Load([]byte("key")); ok {
			t.Errorf("Load after Keep of %d bytes = %v; want nothing", bytes, v)
		}
	}
	if n, bytes := s.Size(); n != 0 || bytes != 0 {
		t.Errorf("Size() = %d, %d; want 0, 0", n, bytes)
	}
}

// TestSmallest: a store that is too small for nearly anything still works.
func TestSmallest(t *testing.T) {
	s := newStore(t, minBytes)
	if err := s.Set(context.Background(), "key", nil, time.Hour); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Set = %v; want ErrTooLarge", err)
	}
	s.Keep("key", 1, 0, time.Hour)
	if _, ok := s.Load([]byte("key")); ok {
		t.Errorf("Load found what is larger than the store")
	}
}

// TestMaxBytesMistakes: a bound under which nothing could be kept, such as 512 where 512 MiB were meant, is an error.
func TestMaxBytesMistakes(t *testing.T) {
	for _, n := range []int64{-1, 1, 512, minBytes - 1} {
		s, err := New(Config{MaxBytes: n})
		if want := fmt.Sprintf("MaxBytes: %d has no room", n); err == nil || s != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(MaxBytes: %d) = %v, %v; want %q", n, s, err, want)
		}
	}
}

// TestCollisions: keys of one hash displace each other, and none is taken for another.
func TestCollisions(t *testing.T) {
	s := newStore(t, 0)
	s.mask = 0 // every key has the same hash
	ctx := context.Background()
	set := func(key string) {
		t.Helper()
		if err := s.Set(ctx, key, []byte(key), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	set("a")
	if b, err := s.Get(ctx, "b"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get(b) = %q, %v; want ErrNotFound", b, err)
	}
	if n, err := s.Delete(ctx, "b"); n != 0 || err != nil {
		t.Errorf("Delete(b) = %d, %v; want 0", n, err)
	}
	s.Keep("giant", 1, 1<<50, time.Hour) // refused, and no reason to remove a
	if b, err := s.Get(ctx, "a"); err != nil || string(b) != "a" {
		t.Errorf("Get(a) = %q, %v; want a", b, err)
	}
	s.Keep("b", "live", 4, time.Hour)
	if _, err := s.Get(ctx, "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get(a) = %v; want ErrNotFound: b displaced it", err)
	}
	if v, ok := s.Load([]byte("a")); ok {
		t.Errorf("Load(a) = %v; want nothing", v)
	}
	if v, ok := s.Load([]byte("b")); !ok || v != "live" {
		t.Errorf("Load(b) = %v, %v; want live", v, ok)
	}
	set("c")
	if _, ok := s.Load([]byte("b")); ok {
		t.Errorf("Load(b) found something after c displaced it")
	}
	if values, err := s.GetMulti(ctx, []string{"a", "c"}); err != nil || values[0] != nil || string(values[1]) != "c" {
		t.Errorf("GetMulti(a, c) = %q, %v; want nil, c", values, err)
	}
	if b, m, err := s.GetMarked(ctx, "a", "name"); b != nil || !errors.Is(err, store.ErrNotFound) || len(m.Slots) != 1 {
		t.Errorf("GetMarked(a) = %q, %v, %v; want ErrNotFound", b, m, err)
	}
}

// TestExpiredLeave: what has expired goes without being asked for.
func TestExpiredLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 0)
		for i := range 1000 {
			s.Keep(fmt.Sprintf("live%d", i), i, 100, time.Minute)
			if err := s.Set(context.Background(), fmt.Sprintf("bytes%d", i), make([]byte, 100), time.Minute); err != nil {
				t.Fatal(err)
			}
		}
		s.Keep("stays", 1, 100, store.Forever)
		time.Sleep(time.Minute + 3*time.Second)
		if n := s.cache.Load().EstimatedSize(); n != 1 {
			t.Errorf("%d entries are left after all but 1 expired", n)
		}
	})
}

// TestLeasesForgotten: the table of leases stays small, and a lease that was forgotten does not let an old holder write.
func TestLeasesForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t, 0)
		ctx := context.Background()
		first, _, err := s.Lock(ctx, "first", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		second, ok, err := s.Lock(ctx, "first", time.Second)
		if err != nil || !ok {
			t.Fatalf("Lock = %v, %v; want true", ok, err)
		}
		for i := range 5 * minLeases {
			if _, _, err := s.Lock(ctx, fmt.Sprintf("name%d", i), time.Second); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
		if n := len(s.leases.byName); n > minLeases+1 {
			t.Errorf("%d leases are remembered of which about 1,000 are held; want at most %d", n, minLeases+1)
		}
		for _, fence := range []uint64{first, second} {
			if ok, err := s.SetLocked(ctx, "key", []byte("v"), time.Hour, "first", fence); ok || err != nil {
				t.Errorf("SetLocked with the forgotten fence %d = %v, %v; want false", fence, ok, err)
			}
		}
		if fence, ok, err := s.Lock(ctx, "first", time.Second); !ok || err != nil || fence <= second {
			t.Errorf("Lock = %d, %v, %v; want a fence above %d", fence, ok, err, second)
		}
	})
}

// TestCloseEndsGoroutines: a bubble reports a goroutine that is left.
func TestCloseEndsGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{MaxBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 1000 {
					s.Keep(fmt.Sprintf("%d/%d", w, i), i, int64(rand.IntN(20<<10)), time.Minute)
					s.Load([]byte("0/0"))
				}
			})
		}
		wg.Wait()
		for range 2 {
			if err := s.Close(); err != nil {
				t.Errorf("Close() = %v; want nil", err)
			}
		}
	})
}

// TestNoSpareCapacity: who appends to a value does not write into the store.
func TestNoSpareCapacity(t *testing.T) {
	s := newStore(t, 0)
	ctx := context.Background()
	buffer := []byte("value and what follows")
	if err := s.Set(ctx, "key", buffer[:5], time.Hour); err != nil {
		t.Fatal(err)
	}
	b, err := s.Get(ctx, "key")
	if err != nil {
		t.Fatal(err)
	}
	_ = append(b, "!!!"...)
	if !strings.HasSuffix(string(buffer), " and what follows") {
		t.Errorf("append to a value changed the bytes behind it to %q", buffer)
	}
}
