package reprise

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turns turns
		begin := time.Now()
		working := make(map[string]int)
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 30 {
			key := string(rune('a' + i%3))
			all.Go(func() {
				done, err := turns.take(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				defer done()
				change := func(by int) {
					mu.Lock()
					defer mu.Unlock()
					if working[key] += by; working[key] > 1 {
						t.Errorf("%d work at %s", working[key], key)
					}
				}
				change(1)
				time.Sleep(time.Second)
				change(-1)
			})
		}
		all.Wait()
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("10 turns of a second at each of 3 keys took %v", took)
		}

		done, err := turns.take(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := turns.take(ctx, "key"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a turn that is not over: %v; want the end of the context", err)
		}
		done()
		if len(turns.at) > 0 {
			t.Errorf("%d keys are left that nobody works at", len(turns.at))
		}
	})
}
