package reprise

import (
	"context"
	"sync"
	"time"
)

// pendingWrites are the answers that a store outside the process is about to take, by the key of the entry. Their clients have
// them already and may ask for more; who would run the handler for what is about to be found waits for that instead. A fill
// that is being written can be followed only by those who ask as its own client did: before the handler had said
// what the answer varies on, and for the same range.
type pendingWrites struct {
	mu     sync.Mutex
	of     map[string]*pendingWrite
	lately memory[time.Time] // when the last write at a key ended
}

// lately is how long the end of a write is remembered: longer than a look-up takes.
const lately = 10 * time.Second

type pendingWrite struct {
	writers int
	done    chan struct{} // closed when the last of them is done
}

// begin takes note of a write, which ends with end.
func (p *pendingWrites) begin(key string) (end func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.of[key]
	if w == nil {
		if p.of == nil {
			p.of = make(map[string]*pendingWrite)
		}
		w = &pendingWrite{done: make(chan struct{})}
		p.of[key] = w
	}
	w.writers++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if w.writers--; w.writers == 0 {
			now := time.Now()
			p.lately.put(key, now, now.Add(lately))
			delete(p.of, key)
			close(w.done)
		}
	}
}

// wait returns when what was being written at key has been, or ctx has ended. It reports whether there is something to look for that
// a look-up which began at looked may not have seen: a write may have ended before this call and after the look-up.
func (p *pendingWrites) wait(ctx context.Context, key string, looked time.Time) bool {
	p.mu.Lock()
	w := p.of[key]
	p.mu.Unlock()
	if w == nil {
		ended, ok := p.lately.get([]byte(key), looked)
		return ok && !ended.Before(looked)
	}
	select {
	case <-w.done:
		return true
	case <-ctx.Done():
		return false
	}
}
