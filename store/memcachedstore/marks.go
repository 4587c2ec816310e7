package memcachedstore

import (
	"context"
	"errors"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// Marks implements [store.Sequencer].
func (s *Store) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	m, _, err := s.marks(ctx, names, "")
	return m, s.wrap("marks", err)
}

// GetMarked implements [store.Sequencer]. Where the value is on another server than the sequence, both are asked at the
// same time.
func (s *Store) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	key = s.dataKey(key)
	var item meta.Reply
	var m store.Marks
	var err error
	if server := s.on(key); server == s.sequencer {
		m, item, err = s.marks(ctx, names, key)
	} else {
		m, item, err = s.getApart(ctx, server, key, names)
	}
	if err != nil {
		return nil, m, s.wrap("get marked", err)
	}
	value, err := s.value(ctx, item)
	return value, m, s.wrap("get marked", err)
}

// getApart reads the item at key from its server while it reads the slots of names from the sequencer.
func (s *Store) getApart(ctx context.Context, server *server, key string, names []string) (store.Marks, meta.Reply, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var f found
	read := make(chan error, 1) // its sender ends with the exchange, which ends with ctx
	go func() {
		var err error
		f, err = server.look(ctx, lookup{key: key})
		read <- err
	}()
	m, _, err := s.marks(ctx, names, "")
	if err != nil {
		cancel()
	}
	if getErr := <-read; err == nil {
		err = getErr
	}
	return m, f.item, err
}

// marks reads the slots of names and, in the same round trip, the item at key, if that is not "".
//
// While the counter stays the same, slots that this process knows are not asked for. If that turns out to have been wrong
// they are, in a second round trip.
func (s *Store) marks(ctx context.Context, names []string, key string) (store.Marks, meta.Reply, error) {
	x := s.exchange()
	defer s.release(x)
	x.slots = appendSlots(x.slots[:0], names)
	m := store.Marks{Slots: make([]uint64, len(names))}
	var item meta.Reply
	for range rounds {
		k := s.known.Load()
		l := lookup{known: k, key: key}
		var f found
		var err error
		recalled := k.recall(x.slots, m.Slots)
		if recalled {
			f, err = s.sequencer.look(ctx, l)
		} else {
			f, err = x.look(ctx, s.sequencer, l)
		}
		if err != nil {
			return store.Marks{}, item, err
		}
		if key != "" {
			item, key = f.item, ""
		}
		switch {
		case !f.lives, f.life == k.life && !f.counts:
			if err := s.renew(ctx); err != nil {
				return store.Marks{}, item, err
			}
			continue
		case f.life != k.life:
			s.knownAt(f.life, 0)
			continue
		}
		m.Incarnation, m.Newest = f.life, f.counter
		if recalled {
			if f.counter == k.counter {
				return m, item, nil
			}
			if err := x.lookAgain(ctx, s.sequencer, k); err != nil {
				return store.Marks{}, item, err
			}
		}
		err = s.settle(ctx, f.life, x.keys, x.found, m.Slots)
		if errors.Is(err, errLost) {
			continue
		}
		if err != nil {
			return store.Marks{}, item, err
		}
		s.knownAt(f.life, f.counter).learn(x.slots, m.Slots)
		return m, item, nil
	}
	return store.Marks{}, item, errBusy
}

// settle sets numbers to those that were found of the slots at keys. Where there was none it makes one.
func (s *Store) settle(ctx context.Context, life uint64, keys []string, found []meta.Reply, numbers []uint64) error {
	var unsettled []string
	for i, key := range keys {
		var ok bool
		if numbers[i], ok = number(found[i]); !ok {
			unsettled = append(unsettled, key)
		}
	}
	if len(unsettled) == 0 {
		return nil
	}
	settled, _, err := s.advance(ctx, life, unsettled, false)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if n, ok := settled[key]; ok {
			numbers[i] = n
		}
	}
	return nil
}
