package memcachedstore

import (
	"context"
	"errors"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// Marks implements [store.Sequencer].
func (s *Store) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	m, err := s.marks(ctx, names, nil, nil)
	return m, s.wrap("marks", err)
}

// GetMarked implements [store.Sequencer]. Where the value is on another server than the sequence, both are asked at the
// same time.
func (s *Store) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	get := meta.Command{Op: meta.Get, Key: s.dataKey(key)}
	var got meta.Reply
	var m store.Marks
	var err error
	if server := s.on(get.Key); server == s.sequencer {
		m, err = s.marks(ctx, names, &get, &got)
	} else {
		m, got, err = s.getApart(ctx, server, get, names)
	}
	if err != nil {
		return nil, m, s.wrap("get marked", err)
	}
	value, err := s.value(ctx, got)
	return value, m, s.wrap("get marked", err)
}

// getApart executes get on its server while it reads the slots of names on the sequencer.
func (s *Store) getApart(ctx context.Context, server *meta.Server, get meta.Command, names []string) (store.Marks, meta.Reply, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var replies [1]meta.Reply
	read := make(chan error, 1) // its sender ends with the exchange, which ends with ctx
	go func() { read <- server.Do(ctx, []meta.Command{get}, replies[:]) }()
	m, err := s.marks(ctx, names, nil, nil)
	if err != nil {
		cancel()
	}
	if getErr := <-read; err == nil {
		err = getErr
	}
	return m, replies[0], err
}

// marks reads the slots of names. With get it executes that as well, in the same round trip.
//
// While the counter stays the same, slots that this process knows are not asked for. If that turns out to have been wrong
// they are, in a second round trip.
func (s *Store) marks(ctx context.Context, names []string, get *meta.Command, got *meta.Reply) (store.Marks, error) {
	x := s.exchange()
	defer s.release(x)
	x.slots = appendSlots(x.slots[:0], names)
	m := store.Marks{Slots: make([]uint64, len(names))}
	for range rounds {
		k := s.known.Load()
		recalled := k.recall(x.slots, m.Slots)
		x.reset()
		x.number(s.lifeKey)
		x.number(k.counterKey)
		if !recalled {
			x.numbers(k.counterKey)
		}
		if get != nil {
			x.cmds = append(x.cmds, *get)
		}
		if err := x.do(ctx, s.sequencer); err != nil {
			return store.Marks{}, err
		}
		if get != nil {
			*got, get = x.replies[len(x.replies)-1], nil
		}

		current, ok := lifeOf(x.replies[0])
		newest, counts := number(x.replies[1])
		switch {
		case !ok, current == k.life && !counts:
			if err := s.renew(ctx); err != nil {
				return store.Marks{}, err
			}
			continue
		case current != k.life:
			s.knownAt(current, 0)
			continue
		}
		m.Incarnation, m.Newest = current, newest
		found := x.replies[2:]
		if recalled {
			if newest == k.counter {
				return m, nil
			}
			x.reset()
			x.numbers(k.counterKey)
			if err := x.do(ctx, s.sequencer); err != nil {
				return store.Marks{}, err
			}
			found = x.replies
		}
		err := s.settle(ctx, current, x.keys, found, m.Slots)
		if errors.Is(err, errLost) {
			continue
		}
		if err != nil {
			return store.Marks{}, err
		}
		s.knownAt(current, newest).learn(x.slots, m.Slots)
		return m, nil
	}
	return store.Marks{}, errBusy
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
