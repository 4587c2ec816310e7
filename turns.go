package reprise

import (
	"context"
	"sync"
)

// turns let one after the other work at a key. The zero value is usable.
type turns struct {
	mu sync.Mutex
	at map[string]*turn
}

type turn struct {
	taken chan struct{} // has room for one
	users int           // who has it or waits for it; guarded by turns.mu
}

// take returns when it is the caller's turn at key, and what ends that; or the error of ctx, which ended first.
func (t *turns) take(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	u := t.at[key]
	if u == nil {
		if t.at == nil {
			t.at = make(map[string]*turn)
		}
		u = &turn{taken: make(chan struct{}, 1)}
		t.at[key] = u
	}
	u.users++
	t.mu.Unlock()

	select {
	case u.taken <- struct{}{}:
		return func() {
			<-u.taken
			t.leave(key, u)
		}, nil
	case <-ctx.Done():
		t.leave(key, u)
		return nil, ctx.Err()
	}
}

func (t *turns) leave(key string, u *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u.users--; u.users == 0 {
		delete(t.at, key)
	}
}
