package memcachedstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// TestTogether: look-ups that share an exchange get what they asked for, also when others among them are given up, fail, or go by
// another counter.
func TestTogether(t *testing.T) {
	one, two := realserver.Memcached(t)
	for name, servers := range map[string][]string{"one server": {one}, "two servers": {one, two}} {
		t.Run(name, func(t *testing.T) {
			const keys, goroutines, each = 50, 64, 200
			var c counting
			cfg := memcachedstore.Config{Servers: servers, Prefix: prefix(t)}
			peer := open(t, cfg)
			cfg.Dial, cfg.ItemBytes, cfg.MaxValueBytes = c.dial, 2<<10, 4<<10
			s := open(t, cfg)
			key := func(i int) string { return fmt.Sprint("key", i) }
			value := func(i int) string { return fmt.Sprintf("value %*d", i*100, i) } // some of them in pieces
			for i := range keys {
				if err := s.Set(t.Context(), key(i), []byte(value(i)), time.Hour); err != nil && i < 40 {
					t.Fatal(err)
				}
			}
			// What this process takes for garbled ends the exchange it is in.
			if err := peer.Set(t.Context(), "huge", make([]byte, 100<<10), time.Hour); err != nil {
				t.Fatal(err)
			}
			warm(t, s, "name")
			c.take()
			var givenUp, looks atomic.Int64
			look := func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				looks.Add(1)
				impatient := rand.IntN(4) == 0
				if impatient {
					time.AfterFunc(rand.N(300*time.Microsecond), cancel)
				}
				i := rand.IntN(keys)
				got, m, err := s.GetMarked(ctx, key(i), "name")
				switch {
				case impatient && errors.Is(err, context.Canceled):
					givenUp.Add(1)
				case len(value(i)) > 4<<10:
					if !errors.Is(err, store.ErrNotFound) {
						t.Errorf("GetMarked of a key that holds nothing = %q, %v", got, err)
					}
				case err != nil || string(got) != value(i):
					t.Errorf("GetMarked(%s) = %q, %v", key(i), got, err)
				case m.Incarnation == 0 || len(m.Slots) != 1:
					t.Errorf("GetMarked(%s) has marks %+v", key(i), m)
				}
			}
			var all sync.WaitGroup
			for g := range goroutines {
				all.Go(func() {
					for range each {
						switch {
						case g == 0 && rand.IntN(20) == 0:
							raise(t, peer, "unrelated")
						case g == 1 && rand.IntN(20) == 0:
							var refused *meta.Error
							if v, _, err := s.GetMarked(t.Context(), "huge", "name"); err == nil || errors.As(err, &refused) {
								t.Errorf("a value that is too long: %d bytes, %v", len(v), err)
							}
						default:
							look()
						}
					}
				})
			}
			all.Wait()
			exchanges := 0
			for _, n := range c.take() {
				exchanges += n
			}
			t.Logf("%d exchanges for %d look-ups, %d of them given up", exchanges, looks.Load(), givenUp.Load())
			if n := givenUp.Load(); n == 0 || n > looks.Load()/2 {
				t.Errorf("%d of %d look-ups were given up", n, looks.Load())
			}
		})
	}
}
