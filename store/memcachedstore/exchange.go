package memcachedstore

import (
	"context"
	"slices"

	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// exchange is the memory of one look-up, which the next one uses again.
type exchange struct {
	slots   []uint32
	keys    []string
	cmds    []meta.Command
	replies []meta.Reply
	digits  [16][20]byte // that numbers are read to
}

// exchange returns one that is empty but for slots.
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

// reset empties x and forgets what others own.
func (x *exchange) reset() {
	clear(x.keys)
	clear(x.cmds)
	clear(x.replies)
	x.keys, x.cmds, x.replies = x.keys[:0], x.cmds[:0], x.replies[:0]
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
func (x *exchange) numbers(counterKey string) {
	x.keys = appendSlotKeys(x.keys, counterKey, x.slots)
	for _, key := range x.keys {
		x.number(key)
	}
}

// do executes the commands and sets the reply of each.
func (x *exchange) do(ctx context.Context, server *meta.Server) error {
	x.replies = slices.Grow(x.replies, len(x.cmds))[:len(x.cmds)]
	return server.Do(ctx, x.cmds, x.replies)
}
