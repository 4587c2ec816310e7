package reprise_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// TestFuncGraph: functions made of functions, in two caches on one store, under invalidations. No call returns what is made of data
// that were invalidated before it began.
func TestFuncGraph(t *testing.T) {
	const leaves, depth, width = 6, 4, 3
	eachStore(t, func(t *testing.T, s store.Store) {
		if s == nil {
			s = newOutside(t).Store // a memstore: both caches keep live values there
		}
		random := rand.New(rand.NewPCG(1, 2))
		var data, acked [leaves]atomic.Int64
		type versions [leaves]int64 // of the leaves that a value is made of; 0 for others
		pause := func() time.Duration { return time.Duration(rand.N(5)) * time.Millisecond }

		// Each function is made of two of the level below.
		var below [depth][width][2]int
		for level := range below {
			for i := range below[level] {
				below[level][i] = [2]int{random.IntN(width), random.IntN(width)}
			}
		}
		type loading = func(context.Context, int) (versions, error)
		var tops []loading
		var caches []*reprise.Cache
		for range 2 {
			c := open(t, reprise.Config{Store: s})
			caches = append(caches, c)
			lower := reprise.Memoize(c, "leaf", func(ctx context.Context, i int) (v versions, err error) {
				v[i] = data[i].Load()
				time.Sleep(pause())
				reprise.AddTags(ctx, fmt.Sprint("leaf ", i))
				time.Sleep(pause())
				return v, nil
			})
			for level := range depth {
				next := lower
				made := reprise.Memoize(c, fmt.Sprint("level ", level), func(ctx context.Context, i int) (v versions, err error) {
					for _, j := range below[level][i%width] {
						if level == 0 {
							j = (j*2 + i) % leaves
						}
						part, err := next(ctx, j)
						if err != nil {
							return v, err
						}
						for k := range v {
							switch {
							case v[k] == 0:
								v[k] = part[k]
							case part[k] != 0:
								v[k] = min(v[k], part[k])
							}
						}
						time.Sleep(pause())
					}
					return v, nil
				})
				lower = made
			}
			tops = append(tops, lower)
		}
		for i := range data {
			data[i].Store(1)
		}
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for w := range 2 {
			wg.Go(func() {
				for n := range 150 {
					time.Sleep(time.Duration(rand.N(60)) * time.Millisecond)
					i := (n*5+w)%(leaves/2)*2 + w // one writer a leaf
					v := data[i].Add(1)
					if err := caches[rand.N(2)].InvalidateTags(t.Context(), fmt.Sprint("leaf ", i)); err != nil {
						t.Error(err)
					}
					acked[i].Store(v)
				}
			})
		}
		var reads atomic.Int64
		var readers sync.WaitGroup
		for r := range 6 {
			readers.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					time.Sleep(pause())
					var least versions
					for i := range least {
						least[i] = acked[i].Load()
					}
					got, err := tops[r%2](t.Context(), rand.N(width))
					if err != nil {
						t.Error(err)
						return
					}
					reads.Add(1)
					for i, v := range got {
						if v != 0 && v < least[i] {
							t.Errorf("leaf %d: version %d in a call that began after %d was invalidated", i, v, least[i])
						}
					}
				}
			})
		}
		wg.Wait()
		close(stop)
		readers.Wait()
		if stats := caches[0].Stats(); stats.Hits == 0 || stats.Misses == 0 || reads.Load() < 100 {
			t.Errorf("%d reads, Stats = %+v; want hits and misses", reads.Load(), stats)
		}
	})
}
