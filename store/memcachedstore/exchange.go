package memcachedstore

import (
	"context"
	"slices"

	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// exchange is a look-up that asks for slots, and its memory, which the next one uses again.
type exchange struct {
	slots []uint32
	keys  []string     // of the slots
	found []meta.Reply // about the slots

	cmds    []meta.Command
	replies []meta.Reply
	digits  [16][20]byte // that numbers are read to
}

// exchange returns one that is empty.
func (s *Store) exchange() *exchange {
	x, ok := s.exchanges.Get().(*exchange)
	if !ok {
		return new(exchange)
	}
	return x
}

// release gives x back. Nothing of it may be used any more, but for the values that were read to memory of their own.
func (s *Store) release(x *exchange) {
	x.reset()
	const most = 64 // commands; many tags need more, which is rare
	if cap(x.cmds) <= most {
		s.exchanges.Put(x)
	}
}

// reset forgets everything but the slots.
func (x *exchange) reset() {
	clear(x.keys)
	clear(x.cmds)
	clear(x.replies)
	x.keys, x.found, x.cmds, x.replies = x.keys[:0], nil, x.cmds[:0], x.replies[:0]
}

// look answers l and reads the slots, after the counter.
func (x *exchange) look(ctx context.Context, server *server, l lookup) (found, error) {
	x.reset()
	x.number(l.known.lifeKey)
	x.number(l.known.counterKey)
	x.numbers(l.known)
	if l.key != "" {
		x.cmds = append(x.cmds, meta.Command{Op: meta.Get, Key: l.key})
	}
	if err := x.do(ctx, server); err != nil {
		return found{}, err
	}
	var f found
	f.life, f.lives = lifeOf(x.replies[0])
	f.counter, f.counts = number(x.replies[1])
	x.found = x.replies[2:][:len(x.slots)]
	if l.key != "" {
		f.item = x.replies[len(x.replies)-1]
	}
	return f, nil
}

// lookAgain reads the slots alone.
func (x *exchange) lookAgain(ctx context.Context, server *server, k *known) error {
	x.reset()
	x.numbers(k)
	err := x.do(ctx, server)
	x.found = x.replies
	return err
}

// number adds a command for the number at key.
func (x *exchange) number(key string) {
	c := meta.Command{Op: meta.Get, Key: key}
	if n := len(x.cmds); n < len(x.digits) {
		c.Into = x.digits[n][:]
	}
	x.cmds = append(x.cmds, c)
}

// numbers adds a command for each of the slots.
func (x *exchange) numbers(k *known) {
	x.keys = appendSlotKeys(x.keys, k.counterKey, x.slots)
	for _, key := range x.keys {
		x.number(key)
	}
}

// do executes the commands and sets the reply of each.
func (x *exchange) do(ctx context.Context, server *server) error {
	x.replies = slices.Grow(x.replies, len(x.cmds))[:len(x.cmds)]
	return server.Do(ctx, x.cmds, x.replies)
}
