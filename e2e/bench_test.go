//go:build unix

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store/memcachedstore"
)

// BenchmarkHit compares the processor time that a hit through the middleware takes in this process with that of the
// client's own get under a deadline. The two take turns in small batches, so that what the machine does meanwhile meets both;
// ratio is the median over the batches. One operation is one of each.
//
// Both take turns over as many keys, so that the client's connections share the load as they do in a server. Keys and
// values are as long for the one as for the other: a record is little longer than its body.
func BenchmarkHit(b *testing.B) {
	for _, kind := range []string{"redis", "memcached"} {
		for _, kib := range []int{1, 64} {
			for _, goroutines := range []int{1, 64} {
				b.Run(fmt.Sprintf("%s/%dKiB/%d", kind, kib, goroutines), func(b *testing.B) {
					p := newPlace(b, kind)
					p.addrs = p.addrs[:1]
					compare(b, goroutines, clientGet(b, p, kib<<10), cachedGet(b, p, kib<<10))
				})
			}
		}
	}
}

const benchKeys = 128

const getTimeout = 5 * time.Second // as long for both, and long enough for a busy machine

// clientGet is a get of the store's client.
func clientGet(b *testing.B, p place, size int) func(n int) error {
	b.Helper()
	ctx, value := b.Context(), make([]byte, size)
	keys := make([]string, benchKeys)
	for n := range keys {
		keys[n] = "client|GET|http://example.com" + product(n)
	}
	var get func(ctx context.Context, n int) error
	switch p.kind {
	case "redis":
		c, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: p.addrs, DisableCache: true, DisableRetry: true})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(c.Close)
		for _, key := range keys {
			if err := c.Do(ctx, c.B().Set().Key(key).Value(rueidis.BinaryString(value)).Build()).Error(); err != nil {
				b.Fatal(err)
			}
		}
		get = func(ctx context.Context, n int) error {
			_, err := c.Do(ctx, c.B().Get().Key(keys[n]).Build()).AsBytes()
			return err
		}
	case "memcached":
		// The client is the store's own; its Get adds the name of the key.
		s, err := memcachedstore.New(memcachedstore.Config{Servers: p.addrs, Prefix: p.prefix})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		for _, key := range keys {
			if err := s.Set(ctx, key, value, time.Hour); err != nil {
				b.Fatal(err)
			}
		}
		get = func(ctx context.Context, n int) error {
			_, err := s.Get(ctx, keys[n])
			return err
		}
	}
	return func(n int) error {
		ctx, cancel := context.WithTimeout(ctx, getTimeout)
		defer cancel()
		return get(ctx, n)
	}
}

func product(n int) string { return fmt.Sprintf("/products/%d", 100+n) }

// cachedGet is a hit through the middleware, its key and its writer included.
func cachedGet(b *testing.B, p place, size int) func(n int) error {
	b.Helper()
	c := openCache(b, p)
	h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = w.Write(bytes.Repeat([]byte{'v'}, size))
	}, reprise.TTL(time.Hour))
	var requests [benchKeys]sync.Pool
	for n := range requests {
		hit(b, h, product(n))
		requests[n].New = func() any { return httptest.NewRequest(http.MethodGet, product(n), nil) }
	}
	return func(n int) error {
		r := requests[n].Get().(*http.Request)
		defer requests[n].Put(r)
		w := discard{header: make(http.Header, 8)}
		h.ServeHTTP(&w, r)
		if x := w.header["X-Cache"]; len(x) != 1 || x[0] != "HIT" || w.n != size {
			return fmt.Errorf("%v, %d bytes", w.header, w.n)
		}
		return nil
	}
}

// discard is a ResponseWriter that costs as little as one can.
type discard struct {
	header http.Header
	n      int
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Write(p []byte) (int, error) {
	d.n += len(p)
	return len(p), nil
}

// compare runs both in turns.
func compare(b *testing.B, goroutines int, client, cached func(n int) error) {
	b.Helper()
	batch := 16 * max(goroutines, 8)
	run := func(f func(int) error, n int) time.Duration {
		began := processorTime(b)
		var all sync.WaitGroup
		for g := range goroutines {
			all.Go(func() {
				for i := range (n + g) / goroutines {
					if err := f((97*g + i) % benchKeys); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		return processorTime(b) - began
	}
	for range 2 {
		run(client, batch) // connects
		run(cached, batch)
	}
	var ratios []float64
	var sums [2]time.Duration
	n := 0
	b.ResetTimer()
	for ; n < b.N; n += batch {
		x := run(client, batch)
		y := run(cached, batch)
		sums[0] += x
		sums[1] += y
		ratios = append(ratios, float64(y)/float64(max(x, 1)))
	}
	slices.Sort(ratios)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(sums[0])/float64(n), "client-cpu-ns")
	b.ReportMetric(float64(sums[1])/float64(n), "hit-cpu-ns")
	b.ReportMetric(ratios[len(ratios)/2], "ratio")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
