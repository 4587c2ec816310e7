package memcachedstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store/memcachedstore"
)

func BenchmarkStore(b *testing.B) {
	one, _ := realserver.Memcached(b)
	s, err := memcachedstore.New(memcachedstore.Config{Servers: []string{one}, Prefix: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	ctx := b.Context()
	names := []string{"base", "host", "path", "namespace"}
	for _, size := range []int{1 << 10, 64 << 10} {
		key := fmt.Sprintf("key%d", size)
		if err := s.Set(ctx, key, make([]byte, size), time.Hour); err != nil {
			b.Fatal(err)
		}
		for name, call := range map[string]func(context.Context) error{
			"Get":       func(ctx context.Context) error { _, err := s.Get(ctx, key); return err },
			"GetMarked": func(ctx context.Context) error { _, _, err := s.GetMarked(ctx, key, names...); return err },
		} {
			b.Run(fmt.Sprintf("%s/%dKiB", name, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(32)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
						if err := call(ctx); err != nil {
							b.Error(err)
						}
						cancel()
					}
				})
			})
		}
	}
}
