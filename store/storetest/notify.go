package storetest

import (
	"context"
	"errors"
	"sync"

	"github.com/reprise-go/reprise/store"
)

var notifyChecks = []check{
	{name: "notify", needs: "Notifier", run: notify},
}

// notify: watching begins with lost, tells every change, and ends with its context.
func notify(e *env) {
	writer := e.Store
	if e.cfg.Reopen != nil {
		writer = e.reopen() // a store need not tell what it did itself
	}
	e.set("removed", "v", lifetime)
	ctx, cancel := context.WithCancel(e.ctx)
	defer cancel()
	var mu sync.Mutex
	lost, changed := 0, make(map[string]int)
	ended := make(chan error, 1)
	go func() {
		ended <- e.Store.(store.Notifier).Notify(ctx,
			func(key string) { mu.Lock(); defer mu.Unlock(); changed[key]++ },
			func() { mu.Lock(); defer mu.Unlock(); lost++ })
	}()
	told := func(key string) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return changed[key] > 0 }
	}
	e.soon(0, "lost is called when watching begins", func() bool { mu.Lock(); defer mu.Unlock(); return lost > 0 })
	for _, key := range []string{"new", "new*", "a/b"} {
		if err := writer.Set(e.ctx, key, []byte("v"), lifetime); err != nil {
			e.Fatalf("Set = %v; want nil", err)
		}
		e.soon(0, "the change of "+key+" is told", told(key))
	}
	mu.Lock()
	clear(changed)
	mu.Unlock()
	if err := writer.Set(e.ctx, "new", []byte("v2"), lifetime); err != nil {
		e.Fatalf("Set = %v; want nil", err)
	}
	e.soon(0, "the second change is told", told("new"))
	if n, err := writer.Delete(e.ctx, "removed"); err != nil || n != 1 {
		e.Fatalf("Delete = %d, %v; want 1, nil", n, err)
	}
	e.soon(0, "the removal is told", told("removed"))
	cancel()
	e.soon(0, "Notify ends with its context", func() bool { return len(ended) == 1 })
	if err := <-ended; !errors.Is(err, context.Canceled) {
		e.Errorf("Notify = %v; want context.Canceled", err)
	}
}
