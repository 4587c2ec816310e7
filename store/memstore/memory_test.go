package memstore_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store/memstore"
)

// open returns a store that is closed with the test.
func open(tb testing.TB, maxBytes int64) *memstore.Store {
	tb.Helper()
	s, err := memstore.New(memstore.Config{MaxBytes: maxBytes})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("Close() = %v; want nil", err)
		}
	})
	return s
}

func keys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("reprise:shop|GET|https://shop.test|/products/%d", i)
	}
	return keys
}

func liveHeap() (bytes, objects uint64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, m.HeapObjects
}

// TestOverhead holds EntryOverhead to what an entry really costs beyond its key and value.
func TestOverhead(t *testing.T) {
	const n = 1_000_000
	if testing.Short() || raceEnabled {
		t.Skip("takes long and 200 MB")
	}
	ks, v := keys(n), new(int)
	bytes0, objects0 := liveHeap()
	s := open(t, 240<<20) // above half of which the frequency sketch is there as well
	for _, k := range ks {
		s.Keep(k, v, 0, time.Hour)
	}
	bytes1, objects1 := liveHeap()
	if entries, _ := s.Size(); entries != n {
		t.Fatalf("Size() = %d entries; want %d", entries, n)
	}
	bytes := float64(bytes1-bytes0) / n
	objects := float64(objects1-objects0) / n
	t.Logf("%d entries: %.1f bytes and %.3f objects each", n, bytes, objects)
	if bytes > 140 || objects > 1.02 {
		t.Errorf("an entry costs %.1f bytes, %.3f objects; want at most 140, 1.02", bytes, objects)
	}
	runtime.KeepAlive(ks)
}

func TestLoadAllocatesNothing(t *testing.T) {
	s := open(t, 0)
	key := []byte("reprise:shop|GET|https://shop.test|/")
	s.Keep(string(key), new(int), 100, time.Hour)
	absent := []byte("reprise:shop|GET|https://shop.test|/absent")
	if err := s.Set(context.Background(), "bytes", []byte("b"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		key  []byte
		want bool
	}{{"live", key, true}, {"absent", absent, false}, {"bytes", []byte("bytes"), false}} {
		n := testing.AllocsPerRun(10_000, func() {
			if _, ok := s.Load(tt.key); ok != tt.want {
				t.Fatalf("Load(%s) found %v; want %v", tt.name, ok, tt.want)
			}
		})
		if n != 0 {
			t.Errorf("Load(%s) allocates %v times; want 0", tt.name, n)
		}
	}
}
