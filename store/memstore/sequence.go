package memstore

import (
	"context"

	"github.com/reprise-go/reprise/store"
)

// Sequence returns the numbers that fence invalidations in this process. Marks, Raise and GetMarked are the same
// numbers for callers that know the store only as a [store.Sequencer].
func (s *Store) Sequence() *store.Sequence { return s.sequence }

// Marks reads the slots of names.
func (s *Store) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	if _, err := s.open(ctx, "marks"); err != nil {
		return store.Marks{}, err
	}
	return s.marks(names), nil
}

func (s *Store) marks(names []string) store.Marks {
	// The number is read before the slots: it may be older than they are, not newer.
	m := store.Marks{Incarnation: s.incarnation, Newest: s.sequence.Newest()}
	if len(names) > 0 {
		m.Slots = make([]uint64, len(names))
	}
	for i, name := range names {
		if name != "" {
			m.Slots[i] = s.sequence.Mark(name[0], name[1:])
		}
	}
	return m
}

// Raise issues the next number and raises the slots of names to it.
func (s *Store) Raise(ctx context.Context, names ...string) (uint64, error) {
	if _, err := s.open(ctx, "raise"); err != nil {
		return 0, err
	}
	return s.sequence.Raise(names...), nil
}

// GetMarked is Get and Marks. The marks are read last, so that an invalidation that returned before the value was
// read is among them.
func (s *Store) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	c, err := s.open(ctx, "get")
	if err != nil {
		return nil, store.Marks{}, err
	}
	b := s.get(c, key)
	m := s.marks(names)
	if b == nil {
		return nil, m, store.ErrNotFound
	}
	return b, m, nil
}
