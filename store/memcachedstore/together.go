package memcachedstore

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// server is one of a store's servers. Look-ups that goroutines make of it at the same time are one exchange, which reads life and
// counter once: nearly all that a look-up costs are the system calls and the two numbers.
//
// Who comes first leads: it lets the goroutines run that are ready to, and sends what has come together until then.
// Nobody waits for an exchange that is under way.
type server struct {
	*meta.Server
	looking atomic.Int64 // look-ups under way
	batches sync.Pool    // of *batch

	mu   sync.Mutex
	open *batch // one that can be joined, or nil
}

// lookup is what a goroutine asks a server for.
type lookup struct {
	known *known // not nil: whether its life and counter are current
	key   string // not "": the item at this key
}

// found is the answer to a lookup. life and counter are 0 and false where there is no such number.
type found struct {
	life, counter uint64
	lives, counts bool
	item          meta.Reply
}

// maxTogether bounds how many items one waits for that come before its own.
const maxTogether = 16

// batch is an exchange of one member or more.
type batch struct {
	known   *known // of every member
	members int
	cmds    []meta.Command // life and counter if there is known, then the items
	replies []meta.Reply
	digits  [2][20]byte // where life and counter are read to
	err     error
	done    chan struct{} // closed when there are replies; nil until a second member comes

	holders atomic.Int32 // members that have not left
}

// look answers l. Life and counter are read after it was called. Its error matches that of ctx when that has ended.
func (s *server) look(ctx context.Context, l lookup) (found, error) {
	if err := ctx.Err(); err != nil {
		return found{}, err
	}
	alone := s.looking.Add(1) == 1
	defer s.looking.Add(-1)
	if alone {
		return s.lookAlone(ctx, l)
	}
	b, at, leads := s.join(l)
	defer s.leave(b)
	if leads {
		runtime.Gosched()
		s.shut(b)
		b.send(ctx, s.Server)
	} else {
		select {
		case <-b.done:
		case <-ctx.Done():
			return found{}, fmt.Errorf("%s: %w", s.Addr(), ctx.Err())
		}
	}
	if b.err == nil {
		return b.found(at), nil
	}
	if err := ctx.Err(); err != nil {
		return found{}, fmt.Errorf("%s: %w", s.Addr(), err)
	}
	if b.members == 1 {
		return found{}, b.err
	}
	// The leader's time was over, or another's item is one that ends an exchange.
	return s.lookAlone(ctx, l)
}

func (s *server) lookAlone(ctx context.Context, l lookup) (found, error) {
	b := s.newBatch(l.known)
	defer s.leave(b)
	at := b.add(l)
	if b.send(ctx, s.Server); b.err != nil {
		return found{}, b.err
	}
	return b.found(at), nil
}

// join adds l to the batch that can be joined. If there is none, or it goes by another counter, l leads the next one.
func (s *server) join(l lookup) (b *batch, at int, leads bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b = s.open; b == nil || b.known != l.known {
		b = s.newBatch(l.known)
		s.open = b
		return b, b.add(l), true
	}
	if b.done == nil {
		b.done = make(chan struct{})
	}
	at = b.add(l)
	if b.members == maxTogether {
		s.open = nil
	}
	return b, at, false
}

// shut keeps others from joining b.
func (s *server) shut(b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == b {
		s.open = nil
	}
}

func (s *server) newBatch(k *known) *batch {
	b, ok := s.batches.Get().(*batch)
	if !ok {
		b = new(batch)
	}
	if k != nil {
		b.known = k
		b.cmds = append(b.cmds,
			meta.Command{Op: meta.Get, Key: k.lifeKey, Into: b.digits[0][:]},
			meta.Command{Op: meta.Get, Key: k.counterKey, Into: b.digits[1][:]})
	}
	return b
}

// leave ends a member's use of b. Who leaves last makes it another's.
func (s *server) leave(b *batch) {
	if b.holders.Add(-1) > 0 {
		return
	}
	clear(b.cmds)
	clear(b.replies)
	b.known, b.members, b.cmds, b.replies, b.err, b.done = nil, 0, b.cmds[:0], b.replies[:0], nil, nil
	s.batches.Put(b)
}

// add makes l a member and returns where the reply about its item will be; -1 if it asks for none.
func (b *batch) add(l lookup) (at int) {
	b.members++
	b.holders.Add(1)
	if l.key == "" {
		return -1
	}
	b.cmds = append(b.cmds, meta.Command{Op: meta.Get, Key: l.key})
	return len(b.cmds) - 1
}

// send sets replies or err for all members.
func (b *batch) send(ctx context.Context, server *meta.Server) {
	b.replies = append(b.replies, make([]meta.Reply, len(b.cmds))...)
	b.err = server.Do(ctx, b.cmds, b.replies)
	if b.done != nil {
		close(b.done)
	}
}

func (b *batch) found(at int) found {
	var f found
	if b.known != nil {
		f.life, f.lives = lifeOf(b.replies[0])
		f.counter, f.counts = number(b.replies[1])
	}
	if at >= 0 {
		f.item = b.replies[at]
	}
	return f
}
