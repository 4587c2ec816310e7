package redisstore

import (
	"context"
	"errors"
	"runtime"
	"sync"

	"github.com/redis/rueidis"
)

// together makes one request of those that goroutines make at the same time. rueidis wakes the goroutine that writes with each
// command, and more often than not that writes one command at a time: a system call, which costs more than all the rest.
//
// Who comes first leads: it lets the goroutines run that are ready to, and sends what has come together until then.
// Nobody waits for a request that is under way.
type together struct {
	mu   sync.Mutex
	open *batch // one that can be joined, or nil
}

// batch is a request. Its leader sends it and closes done when there are replies.
type batch struct {
	commands []rueidis.Completed // guarded by together.mu until it is sent
	replies  []rueidis.RedisResult
	done     chan struct{}
}

// maxTogether bounds how many replies one waits for that comes before them.
const maxTogether = 16

// join adds a command to a batch. The first to do so leads it.
func (t *together) join(command rueidis.Completed) (b *batch, at int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b = t.open
	if b == nil {
		b = &batch{commands: make([]rueidis.Completed, 0, maxTogether), done: make(chan struct{})}
		t.open = b
	}
	b.commands = append(b.commands, command)
	if len(b.commands) == maxTogether {
		t.open = nil
	}
	return b, len(b.commands) - 1
}

// leave keeps others from joining b.
func (t *together) leave(b *batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == b {
		t.open = nil
	}
}

// get reads a value, together with others that are asked for at the same time.
func (l *lane) get(ctx context.Context, valueKey string) rueidis.RedisResult {
	command := l.B().Get().Key(valueKey).Build()
	if l.gate.held.Load() == 0 {
		return l.Do(ctx, command) // nobody is here to share with
	}
	b, at := l.together.join(command)
	if at == 0 {
		runtime.Gosched()
		l.together.leave(b)
		b.replies = l.DoMulti(ctx, b.commands...)
		close(b.done)
		return b.replies[0]
	}
	select {
	case <-b.done:
	case <-ctx.Done():
		return rueidis.NewErrorResult(ctx.Err())
	}
	err := b.replies[at].NonRedisError()
	if (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) && ctx.Err() == nil {
		// It was the leader's time that was over.
		return l.Do(ctx, l.B().Get().Key(valueKey).Build())
	}
	return b.replies[at]
}
