package filestore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store/filestore"
)

func BenchmarkStore(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		s, err := filestore.Open(b.TempDir(), filestore.Config{})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		value := make([]byte, size)
		keys := make([]string, 500)
		for i := range keys {
			keys[i] = fmt.Sprintf("reprise:shop|GET|https://shop.test|/products/%d", i)
			if err := s.Set(b.Context(), keys[i], value, time.Hour); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("Set/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := s.Set(b.Context(), keys[i%len(keys)], value, time.Hour); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("Get/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := s.Get(b.Context(), keys[i%len(keys)]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("GetMarked/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, _, err := s.GetMarked(b.Context(), keys[i%len(keys)], "a", "b", "c"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
