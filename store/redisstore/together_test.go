package redisstore_test

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
	"github.com/reprise-go/reprise/store/redisstore"
)

// Calls that share a request get what they asked for, also when others among them are given up.
func TestTogether(t *testing.T) {
	server := realserver.NewRedis(t)
	s := open(t, redisstore.Config{URL: "redis://" + server.Addr()})
	const keys, goroutines, each = 50, 64, 300
	for i := range keys {
		if err := s.Set(t.Context(), fmt.Sprint("key", i), fmt.Append(nil, "value", i), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	warm(t, server.Addr(), s, "key0", "name")
	var givenUp atomic.Int64
	ask := func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		impatient := rand.IntN(4) == 0
		if impatient {
			time.AfterFunc(rand.N(300*time.Microsecond), cancel)
		}
		i := rand.IntN(keys + 1)
		value, _, err := s.GetMarked(ctx, fmt.Sprint("key", i), "name")
		switch {
		case impatient && errors.Is(err, context.Canceled):
			givenUp.Add(1)
		case i == keys:
			if !errors.Is(err, store.ErrNotFound) {
				t.Errorf("GetMarked of a key that holds nothing = %q, %v", value, err)
			}
		case err != nil || string(value) != fmt.Sprint("value", i):
			t.Errorf("GetMarked(key%d) = %q, %v", i, value, err)
		}
	}
	counts := commands(t, server.Addr(), func() {
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for range each {
					ask()
				}
			})
		}
		wg.Wait()
	})
	if n := givenUp.Load(); n == 0 || n > goroutines*each/2 {
		t.Errorf("%d of %d calls were given up", n, goroutines*each)
	}
	// A connection is no worse for that.
	if n := counts["hello"]; n > 0 {
		t.Errorf("%d connections were opened", n)
	}
}
