package redisstore

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/store"
)

// What is known is what was learned, however much that is, and while others learn.
func TestKnown(t *testing.T) {
	number := func(slot uint32) uint64 { return uint64(slot) + 1 } // no two are equal
	k := new(known)
	if m, ok := k.marks(nil); ok {
		t.Errorf("marks of nothing = %+v before anything was learned", m)
	}
	const slots = 20_000
	learned := make([]uint32, slots)
	for i := range learned {
		learned[i] = rand.Uint32N(markSlots)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for at := range slots / 4 {
				slot := learned[g*slots/4+at]
				if !k.learn([]uint32{slot}, store.Marks{Incarnation: 7, Newest: markSlots, Slots: []uint64{number(slot)}}) {
					t.Errorf("slot %d contradicts what is known", slot)
				}
				if m, ok := k.marks([]uint32{slot}); !ok || m.Slots[0] != number(slot) {
					t.Errorf("marks = %+v, %v after slot %d was learned", m, ok, slot)
				}
			}
		})
	}
	wg.Wait()
	held := make(map[uint32]bool, slots)
	for _, slot := range learned {
		held[slot] = true
	}
	for slot := range uint32(markSlots) {
		m, ok := k.marks([]uint32{learned[0], slot})
		if ok != held[slot] || ok && (m.Slots[1] != number(slot) || m.Incarnation != 7 || m.Newest != markSlots) {
			t.Fatalf("marks of slot %d = %+v, %v; learned: %v", slot, m, ok, held[slot])
		}
	}
	for _, other := range []store.Marks{{Incarnation: 8, Newest: markSlots}, {Incarnation: 7, Newest: 1}} {
		if k.learn(nil, other) {
			t.Errorf("%+v is no contradiction", other)
		}
	}
}

// All slots fit in, and take no more room than announced.
func TestKnownBound(t *testing.T) {
	k := new(known)
	for slot := range uint32(markSlots) {
		k.learn([]uint32{slot}, store.Marks{Incarnation: 1, Newest: 1, Slots: []uint64{uint64(slot)}})
	}
	for slot := range uint32(markSlots) {
		if m, ok := k.marks([]uint32{slot}); !ok || m.Slots[0] != uint64(slot) {
			t.Fatalf("marks of slot %d = %+v, %v", slot, m, ok)
		}
	}
	if n := len(k.reading.Load().places); n != markSlots {
		t.Errorf("%d places for %d slots", n, markSlots)
	}
}

// Servers that execute commands in several threads are not relied upon.
func TestOrdered(t *testing.T) {
	for info, want := range map[string]bool{
		"# Server\r\nredis_version:7.0.15\r\nexecutable:/usr/bin/redis-server\r\n":                     true,
		"# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n":            true,
		"# Server\r\nredis_version:7.4.0\r\ndragonfly_version:df-v1.27.1\r\nredis_mode:standalone\r\n": false,
		"# Server\r\nredis_version:6.3.4\r\nexecutable:/usr/local/bin/keydb-server\r\n":                false,
	} {
		if got := ordered(info); got != want {
			t.Errorf("ordered(%q) = %v; want %v", info, got, want)
		}
	}
}
