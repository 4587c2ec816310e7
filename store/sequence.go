package store

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// sequenceSlots is the number of slots of a Sequence: 2 MiB, allocated by the first Raise.
const sequenceSlots = 1 << 18

// Sequence is the in-process form of a [Sequencer]: what a [Local] store needs to be [Sequenced]. Use
// [NewSequence]. It is safe for concurrent use; reading takes no lock.
type Sequence struct {
	newest atomic.Uint64
	slots  atomic.Pointer[[sequenceSlots]atomic.Uint64]
	seed   maphash.Seed
	mu     sync.Mutex // held by Raise
}

// NewSequence returns a Sequence that has issued no number.
func NewSequence() *Sequence { return &Sequence{seed: maphash.MakeSeed()} }

// Newest returns the number that was issued last; 0 before the first.
func (s *Sequence) Newest() uint64 { return s.newest.Load() }

// Raise issues the next number, raises the slots of names to it and returns it.
func (s *Sequence) Raise(names ...string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	slots := s.slots.Load()
	if slots == nil {
		slots = new([sequenceSlots]atomic.Uint64)
		s.slots.Store(slots)
	}
	n := s.newest.Load() + 1
	for _, name := range names {
		if name != "" {
			slots[s.slot(name[0], name[1:])].Store(n)
		}
	}
	// The number is published after the slots: whoever reads it and then the slots sees the slots raised.
	s.newest.Store(n)
	return n
}

// Mark returns the number that the slot of kind+name was last raised to; 0 if never. It is Marks for a name whose
// first byte stands apart, so that no string is joined.
func (s *Sequence) Mark(kind byte, name string) uint64 {
	slots := s.slots.Load()
	if slots == nil {
		return 0
	}
	return slots[s.slot(kind, name)].Load()
}

func (s *Sequence) slot(kind byte, name string) uint64 {
	return (maphash.String(s.seed, name) ^ uint64(kind)*0x9E3779B97F4A7C15) % sequenceSlots
}
