// Package flight collapses work on one key: of all who want it done, one does it and the others follow. What they
// follow, and how they leave, is up to the value that stands for the work.
package flight

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const (
	shards = 64
	epochs = 1 << 12 // many more: homes that share one look again for nothing
)

// Group holds the work that is under way. Work has a home, a key that is known before its own key is, by
// which it is spread over locks. Make one with [New]; it is safe for concurrent use.
type Group[T any] struct {
	seed   maphash.Seed
	shards [shards]shard[T]
	ended  [epochs]atomic.Uint64 // how often work has ended, by home
}

type shard[T any] struct {
	mu   sync.Mutex
	work map[string]*T
	_    [64]byte // locks of neighbours do not share a cache line
}

// New returns a Group without work.
func New[T any]() *Group[T] { return &Group[T]{seed: maphash.MakeSeed()} }

// Epoch is a moment in the life of the work at a home.
type Epoch uint64

func (g *Group[T]) at(home string) (*shard[T], *atomic.Uint64) {
	h := maphash.String(g.seed, home)
	return &g.shards[h%shards], &g.ended[h%epochs]
}

// Epoch is read before the look-up whose failure leads to Join.
func (g *Group[T]) Epoch(home []byte) Epoch {
	return Epoch(g.ended[maphash.Bytes(g.seed, home)%epochs].Load())
}

// Join returns the work under way at key, if follow accepts it. Otherwise it makes what begin returns the work at key, and
// led is true; work that was not accepted is displaced. Where work has ended since epoch it does neither and returns nil: its result
// may be found by another look-up.
//
// follow and begin are called with the home locked and must not block. Whoever follow accepts is known to the work
// before it can end.
func (g *Group[T]) Join(home, key string, epoch Epoch, follow func(*T) bool, begin func() *T) (work *T, led bool) {
	s, ended := g.at(home)
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.work[key]; w != nil && follow(w) {
		return w, false
	}
	if Epoch(ended.Load()) != epoch {
		return nil, false
	}
	if s.work == nil {
		s.work = make(map[string]*T)
	}
	w := begin()
	s.work[key] = w
	return w, true
}

// End ends work at key: nobody joins it any more. Work that was displaced leaves its successor alone, but what it has
// stored can be found from now on, too. To end work again does nothing that matters.
func (g *Group[T]) End(home, key string, work *T) {
	s, ended := g.at(home)
	s.mu.Lock()
	defer s.mu.Unlock()
	ended.Add(1)
	if s.work[key] == work {
		delete(s.work, key)
	}
}
