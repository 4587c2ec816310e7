//go:build linux

package history_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/redisstore"
)

// BenchmarkInvalidateTag invalidates a tag that one entry has, and one that a million has: the cost is the same.
func BenchmarkInvalidateTag(b *testing.B) {
	const most = 1_000_000
	for _, s := range []struct {
		name string
		open func(testing.TB) store.Store
	}{{"memory", openMemory}, {"redis", openRedis}} {
		for _, entries := range []int{1, most} {
			b.Run(fmt.Sprintf("%s/%d", s.name, entries), func(b *testing.B) {
				c := reprise.Must(reprise.New(reprise.Config{
					Store: s.open(b), Limits: reprise.Limits{StoreTimeout: time.Minute}, // a million writes make a queue
				}))
				defer c.Close()
				setAll(b, c, entries)
				for b.Loop() {
					if err := c.InvalidateTags(b.Context(), "all"); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				if n := count(b, c, entries); n != 0 {
					b.Errorf("%d entries are still there", n)
				}
			})
		}
	}
}

func openMemory(tb testing.TB) store.Store {
	tb.Helper()
	s, err := memstore.New(memstore.Config{MaxBytes: 4 << 30})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

func openRedis(tb testing.TB) store.Store {
	tb.Helper()
	s, err := redisstore.New(redisstore.Config{URL: "redis://" + realserver.NewRedis(tb).Addr()})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// setAll stores values with the tag "all".
func setAll(tb testing.TB, c *reprise.Cache, entries int) {
	tb.Helper()
	each(entries, func(i int) {
		if err := reprise.Set(tb.Context(), c, strconv.Itoa(i), i, reprise.TTL(time.Hour), reprise.Tags("all")); err != nil {
			tb.Error(err)
		}
	})
	if n := count(tb, c, entries); n < min(entries, sample) {
		tb.Fatalf("%d of %d entries are there", n, min(entries, sample))
	}
}

// sample is how many entries are looked at.
const sample = 1000

func count(tb testing.TB, c *reprise.Cache, entries int) (n int) {
	tb.Helper()
	for i := range min(entries, sample) {
		_, ok, err := reprise.Get[int](tb.Context(), c, strconv.Itoa(i*(entries/min(entries, sample))))
		if err != nil {
			tb.Fatal(err)
		}
		if ok {
			n++
		}
	}
	return n
}

// each calls f with 0 to n-1, many at once.
func each(n int, f func(int)) {
	const workers = 64
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := w; i < n; i += workers {
				f(i)
			}
		})
	}
	all.Wait()
}
