package memstore_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/reprise-go/reprise/store/memstore"
)

// plainOtter is otter as it comes: by string, with the same bound and weights.
func plainOtter(tb testing.TB, maxBytes uint64, bytes int) *otter.Cache[string, any] {
	tb.Helper()
	c, err := otter.New(&otter.Options[string, any]{
		MaximumWeight:    maxBytes,
		Weigher:          func(key string, _ any) uint32 { return uint32(len(key) + bytes + memstore.EntryOverhead) },
		ExpiryCalculator: otter.ExpiryWriting[string, any](time.Hour),
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.StopAllGoroutines() })
	return c
}

// TestHitRatio: keys that follow Zipf's law are found as often as in otter as it comes.
func TestHitRatio(t *testing.T) {
	const bytes, requests = 1000, 100_000
	s := open(t, 2<<20) // about a sixth of what is asked for
	c := plainOtter(t, 2<<20, bytes)
	ks := keys(10_000)
	random := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(random, 1.01, 1, uint64(len(ks)-1))
	var hits, want int
	for range requests {
		key := ks[zipf.Uint64()]
		if _, ok := s.Load([]byte(key)); ok {
			hits++
		} else {
			s.Keep(key, 1, bytes, time.Hour)
		}
		if _, ok := c.GetIfPresent(key); ok {
			want++
		} else {
			c.Set(key, 1)
		}
	}
	ratio, wantRatio := float64(hits)/requests, float64(want)/requests
	t.Logf("hit ratio %.3f, otter's own %.3f", ratio, wantRatio)
	if ratio < wantRatio-0.03 || ratio < 0.5 {
		t.Errorf("hit ratio %.3f; want about the %.3f of otter", ratio, wantRatio)
	}
}

// BenchmarkLoad sets a look-up beside otter's own by string.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1, 10_000, 1_000_000} {
		ks := keys(n)
		s, c := open(b, 1<<30), plainOtter(b, 1<<30, 0)
		asked := make([][]byte, n)
		for i, key := range ks {
			s.Keep(key, &ks[i], 0, time.Hour)
			c.Set(key, &ks[i])
			asked[i] = []byte(key)
		}
		b.Run(fmt.Sprintf("memstore/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 7919) % n {
				if _, ok := s.Load(asked[i]); !ok {
					b.Fatal("not found")
				}
			}
		})
		b.Run(fmt.Sprintf("otter/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 7919) % n {
				if _, ok := c.GetIfPresent(ks[i]); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}

// BenchmarkKeepFull writes to a store that is full: the same, however many entries it holds.
func BenchmarkKeepFull(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ks := keys(2 * n)
			s := open(b, int64(n)*(memstore.EntryOverhead+50))
			for _, key := range ks {
				s.Keep(key, &ks[0], 0, time.Hour)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i = (i + 1) % len(ks) {
				s.Keep(ks[i], &ks[0], 0, time.Hour)
			}
		})
	}
}
