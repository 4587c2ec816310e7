package memcachedstore

import (
	"slices"
	"testing"
	"time"
)

func newTestStore(t *testing.T) *Store {
	t.Helper()
	s, err := New(Config{Servers: []string{"127.0.0.1:1"}}) // it does not connect
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestKnown(t *testing.T) {
	const life = 7
	s := newTestStore(t)
	slots, numbers, got := []uint32{1, 2}, []uint64{3, 0}, make([]uint64, 2)
	learned := s.knownAt(life, 5)
	learned.learn(slots, numbers)
	if learned.recall(slots, got) {
		t.Error("slots are recalled at a counter that was seen once")
	}
	if s.knownAt(life, 5) != learned || !learned.recall(slots, got) || !slices.Equal(got, numbers) {
		t.Errorf("slots %v at a counter that was seen twice; want %v", got, numbers)
	}
	if learned.recall([]uint32{1, 3}, got) || learned.recall(nil, nil) {
		t.Error("slots are recalled that nobody learned")
	}
	if s.knownAt(life, 4) != nil || s.known.Load() != learned {
		t.Error("an older counter of the same life has a place for what it learns")
	}
	s.knownAt(life, 4).learn(slots, numbers)

	for _, next := range []*known{s.knownAt(life, 6), s.knownAt(life+1, 1), s.knownAt(life, 6)} {
		if next == nil || next.recall(slots, got) || len(next.numbers) > 0 {
			t.Errorf("another life or counter begins with %+v; want nothing", next)
		}
	}
}

func TestKnownIsBounded(t *testing.T) {
	k := newTestStore(t).knownAt(1, 1)
	for slot := range uint32(mostKnown + 1000) {
		k.learn([]uint32{slot}, []uint64{uint64(slot)})
		if n, ok := k.numbers[slot]; !ok || n != uint64(slot) {
			t.Fatalf("slot %d is %d, %v after it was learned", slot, n, ok)
		}
	}
	if len(k.numbers) != mostKnown {
		t.Errorf("%d slots are known; want %d", len(k.numbers), mostKnown)
	}
}

// TestKnownEnds: slots that nobody asks for look to the server as if they were not in use.
func TestKnownEnds(t *testing.T) {
	s := newTestStore(t)
	slots, numbers := []uint32{1}, []uint64{1}
	old := s.knownAt(1, 1)
	old.learn(slots, numbers)
	s.knownAt(1, 1)
	old.since = old.since.Add(-knownFor + time.Hour)
	if !old.recall(slots, numbers) {
		t.Error("slots are not recalled before their time is over")
	}
	old.since = old.since.Add(-2 * time.Hour)
	if old.recall(slots, numbers) {
		t.Errorf("slots are recalled after %v", knownFor)
	}
	next := s.knownAt(1, 1)
	if next == old || len(next.numbers) > 0 {
		t.Error("what is known too long is known on")
	}
	if next.learn(slots, numbers); !next.recall(slots, numbers) {
		t.Error("a counter that was seen twice has to be seen twice again")
	}
}
