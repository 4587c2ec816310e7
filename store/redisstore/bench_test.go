//go:build unix

package redisstore_test

import (
	"context"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store/redisstore"
)

// BenchmarkHit reads one key under a deadline: with the client alone, with the store, and with the store and the marks
// of four names, as a look-up does. cpu-ns/op is the processor time of this process. Each case has connections of its
// own: rueidis treats one differently once two calls have met on it.
func BenchmarkHit(b *testing.B) {
	addr := realserver.Redis(b)
	for _, kib := range []int{1, 64} {
		for _, goroutines := range []int{1, 64} {
			prefix := newPrefix(b)
			readers := []struct {
				name string
				open func(b *testing.B) func(context.Context) error
			}{
				{"rueidis", func(b *testing.B) func(context.Context) error {
					c := client(b, rueidis.ClientOption{InitAddress: []string{addr}, DisableCache: true, DisableRetry: true})
					return func(ctx context.Context) error {
						_, err := c.Do(ctx, c.B().Get().Key(prefix+"{:key}").Build()).AsBytes()
						return err
					}
				}},
				{"Get", func(b *testing.B) func(context.Context) error {
					s := open(b, redisstore.Config{URL: "redis://" + addr, Prefix: prefix})
					return func(ctx context.Context) error { _, err := s.Get(ctx, "key"); return err }
				}},
				{"GetMarked", func(b *testing.B) func(context.Context) error {
					s := open(b, redisstore.Config{URL: "redis://" + addr, Prefix: prefix})
					return func(ctx context.Context) error {
						_, _, err := s.GetMarked(ctx, "key", "key", "url", "namespace", "tag")
						return err
					}
				}},
			}
			fill := open(b, redisstore.Config{URL: "redis://" + addr, Prefix: prefix})
			if err := fill.Set(b.Context(), "key", make([]byte, kib<<10), time.Hour); err != nil {
				b.Fatal(err)
			}
			for _, r := range readers {
				b.Run(strconv.Itoa(kib)+"KiB/"+strconv.Itoa(goroutines)+"/"+r.name, func(b *testing.B) {
					read := r.open(b)
					for range 20 {
						readMany(b, 1, read) // connects
					}
					b.ReportAllocs()
					b.ResetTimer()
					begin := cpu(b)
					if goroutines == 1 {
						readMany(b, b.N, read)
					} else {
						var wg sync.WaitGroup
						for g := range goroutines {
							wg.Go(func() { readMany(b, (b.N+g)/goroutines, read) })
						}
						wg.Wait()
					}
					b.ReportMetric(float64(cpu(b)-begin)/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
}

func readMany(b *testing.B, n int, read func(context.Context) error) {
	for range n {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if err := read(ctx); err != nil {
			b.Error(err)
		}
		cancel()
	}
}

// cpu returns the processor time that this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
