package redisstore

import (
	"sync"
	"sync/atomic"

	"github.com/reprise-go/reprise/store"
)

// known is what a lane has read of the marks since the server last announced a change of them. Whatever it holds is of
// one moment, and of now as long as it is the lane's: a change makes the lane begin another (see tracking.go). To learn
// something that has been outdated in the meantime therefore does no harm.
//
// It is read without a lock by every look-up, and written by few. It is a table of its own since it is short-lived: what
// it takes grows with the slots that were asked for, up to 4 MiB when it knows them all.
type known struct {
	learning sync.Mutex
	reading  atomic.Pointer[reading] // nil before anything was read
}

// reading is an open-addressed table with a power of two of places. One that is full is replaced, never moved.
type reading struct {
	incarnation, newest uint64

	places []place
	taken  int // guarded by known.learning
}

// place is written once, the slot last.
type place struct {
	slot   atomic.Uint32 // 1 + the slot; 0: free
	number atomic.Uint64
}

const fewestPlaces = 64

// marks returns the marks of slots if they are all known.
func (k *known) marks(slots []uint32) (store.Marks, bool) {
	r := k.reading.Load()
	if r == nil {
		return store.Marks{}, false
	}
	m := store.Marks{Incarnation: r.incarnation, Newest: r.newest, Slots: make([]uint64, len(slots))}
	for i, slot := range slots {
		p := r.place(slot)
		if p.slot.Load() == 0 {
			return store.Marks{}, false
		}
		m.Slots[i] = p.number.Load()
	}
	return m, true
}

// learn adds what was read of slots. It returns false if that contradicts what is known.
func (k *known) learn(slots []uint32, m store.Marks) bool {
	k.learning.Lock()
	defer k.learning.Unlock()
	r := k.reading.Load()
	switch {
	case r == nil:
		r = &reading{incarnation: m.Incarnation, newest: m.Newest, places: make([]place, fewestPlaces)}
	case r.incarnation != m.Incarnation || r.newest != m.Newest:
		return false
	}
	for i, slot := range slots {
		r = r.add(slot, m.Slots[i])
	}
	k.reading.Store(r)
	return true
}

// place returns where slot is, or a free place: there is always one, or slot has a place of its own.
func (r *reading) place(slot uint32) *place {
	mask := uint32(len(r.places) - 1) //nolint:gosec // at most markSlots
	for at := slot & mask; ; at = (at + 1) & mask {
		p := &r.places[at]
		if held := p.slot.Load(); held == 0 || held == slot+1 {
			return p
		}
	}
}

// add returns r, or what replaces it, with slot in it.
func (r *reading) add(slot uint32, number uint64) *reading {
	p := r.place(slot)
	if p.slot.Load() != 0 {
		return r
	}
	// With as many places as there are slots, each has a place of its own.
	if 2*r.taken >= len(r.places) && len(r.places) < markSlots {
		larger := &reading{incarnation: r.incarnation, newest: r.newest, places: make([]place, 2*len(r.places))}
		for i := range r.places {
			if held := r.places[i].slot.Load(); held != 0 {
				larger.add(held-1, r.places[i].number.Load())
			}
		}
		return larger.add(slot, number)
	}
	p.number.Store(number)
	p.slot.Store(slot + 1)
	r.taken++
	return r
}
