package memcachedstore

import (
	"sync"
	"sync/atomic"
	"time"
)

// known is what this process knows of the sequence at one value of the counter: point (6) of its proof. Another value,
// or another life, begins another one, which is empty. It is safe for concurrent use.
type known struct {
	life, counter       uint64
	lifeKey, counterKey string
	since               time.Time

	// again says that a second look-up has found the same counter. Before that the next one is as likely to find
	// another, and then to need a second round trip: a process that invalidations outnumber asks for everything at once.
	again atomic.Bool

	mu      sync.RWMutex
	numbers map[uint32]uint64 // by slot
}

// mostKnown bounds the slots that are remembered: some 3 MiB.
const mostKnown = 1 << 16

// knownFor bounds how long slots are not asked for. A server that evicts what nobody has asked for has to see that they
// are in use; it takes note of that once a minute at most.
const knownFor = time.Minute

func (s *Store) newKnown(life, counter uint64) *known {
	return &known{
		life: life, counter: counter, lifeKey: s.lifeKey, counterKey: s.counterKey(life), since: time.Now(), numbers: make(map[uint32]uint64),
	}
}

// knownAt returns what is known at that counter of that life, which has just been read or issued. It is nil if this
// process has gone on to a later one.
func (s *Store) knownAt(life, counter uint64) *known {
	for {
		k := s.known.Load()
		same := k.life == life && k.counter == counter
		switch {
		case same && time.Since(k.since) < knownFor:
			if !k.again.Load() {
				k.again.Store(true)
			}
			return k
		case k.life == life && k.counter > counter:
			return nil
		}
		next := s.newKnown(life, counter)
		next.again.Store(same)
		if s.known.CompareAndSwap(k, next) {
			return next
		}
	}
}

// recall sets numbers to those of slots and reports whether all of them are known. They hold for who then finds life and
// counter as they are here.
func (k *known) recall(slots []uint32, numbers []uint64) bool {
	if len(slots) == 0 || !k.again.Load() || time.Since(k.since) >= knownFor {
		return false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	for i, slot := range slots {
		n, ok := k.numbers[slot]
		if !ok {
			return false
		}
		numbers[i] = n
	}
	return true
}

// learn remembers the numbers of slots, which were read after the counter was. It does nothing to nil.
func (k *known) learn(slots []uint32, numbers []uint64) {
	if k == nil || len(slots) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, slot := range slots {
		if len(k.numbers) >= mostKnown {
			for other := range k.numbers { // any
				delete(k.numbers, other)
				break
			}
		}
		k.numbers[slot] = numbers[i]
	}
}
