package subject

import (
	"context"
	"iter"
	"strings"

	"github.com/reprise-go/reprise/store"
)

// Shared is a store that behaves like a server's: bytes alone, numbered invalidations, keys that can be listed.
type Shared struct {
	Bytes
	seq *store.Sequence
}

// NewShared returns an empty Shared.
func NewShared() *Shared { return &Shared{seq: store.NewSequence()} }

// Marks implements store.Sequencer.
func (s *Shared) Marks(_ context.Context, names ...string) (store.Marks, error) {
	m := store.Marks{Incarnation: 1, Newest: s.seq.Newest()} // read first, so that it may be older than the slots
	for _, n := range names {
		m.Slots = append(m.Slots, s.seq.Mark(n[0], n[1:]))
	}
	return m, nil
}

// Raise implements store.Sequencer.
func (s *Shared) Raise(_ context.Context, names ...string) (uint64, error) {
	return s.seq.Raise(names...), nil
}

// GetMarked implements store.Sequencer.
func (s *Shared) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	m, _ := s.Marks(ctx, names...)
	b, err := s.Get(ctx, key)
	return b, m, err
}

// Keys implements store.Lister.
func (s *Shared) Keys(_ context.Context, prefix string) iter.Seq2[string, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.m {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	return func(yield func(string, error) bool) {
		for _, k := range keys {
			if !yield(k, nil) {
				return
			}
		}
	}
}

// Clear implements store.Clearer.
func (s *Shared) Clear(ctx context.Context, prefix string) (int, error) {
	n := 0
	for k := range s.Keys(ctx, prefix) {
		m, _ := s.Delete(ctx, k)
		n += m
	}
	return n, nil
}
