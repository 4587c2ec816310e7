package store_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/store"
)

func TestSequence(t *testing.T) {
	s := store.NewSequence()
	if n, m := s.Newest(), s.Mark('t', "a"); n != 0 || m != 0 {
		t.Errorf("a new sequence has %d, mark %d; want 0, 0", n, m)
	}
	if n := s.Raise(); n != 1 {
		t.Errorf("Raise() = %d; want 1", n)
	}
	if n := s.Raise("ta", "", "tb", "t"); n != 2 {
		t.Errorf("Raise(ta, , tb, t) = %d; want 2", n)
	}
	if n := s.Raise("tb"); n != 3 {
		t.Errorf("Raise(tb) = %d; want 3", n)
	}
	for _, tt := range []struct {
		kind byte
		name string
		want uint64
	}{{'t', "a", 2}, {'t', "b", 3}, {'t', "", 2}} {
		if got := s.Mark(tt.kind, tt.name); got < tt.want {
			t.Errorf("Mark(%c, %q) = %d; want at least %d", tt.kind, tt.name, got, tt.want)
		}
	}
	if n := s.Newest(); n != 3 {
		t.Errorf("Newest() = %d; want 3", n)
	}
}

// TestSequenceKinds: a kind and a name are one name, and names spread over the slots.
func TestSequenceKinds(t *testing.T) {
	s := store.NewSequence()
	for i := range 100 {
		s.Raise(fmt.Sprintf("t%d", i))
	}
	raised := 0
	for i := range 1000 {
		for _, kind := range []byte("ukn") {
			if s.Mark(kind, fmt.Sprint(i)) != 0 {
				raised++
			}
		}
	}
	if raised > 30 {
		t.Errorf("%d of 3,000 other names have a mark after 100 were raised; want hardly any", raised)
	}
}

// TestSequenceConcurrent: a number is issued once, and its mark is there when it is.
func TestSequenceConcurrent(t *testing.T) {
	const workers, rounds = 8, 500
	s := store.NewSequence()
	var seen sync.Map
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range rounds {
				n := s.Raise("shared", fmt.Sprintf("w%d", w))
				if _, twice := seen.LoadOrStore(n, w); twice {
					t.Errorf("the number %d was issued twice", n)
				}
				newest := s.Newest()
				if m := s.Mark('s', "hared"); newest < n || m < n {
					t.Errorf("after Raise = %d: Newest() = %d, Mark = %d; want at least that", n, newest, m)
				}
			}
		})
	}
	wg.Wait()
	if n := s.Newest(); n != workers*rounds {
		t.Errorf("Newest() = %d; want %d", n, workers*rounds)
	}
}

func TestMarkAllocatesNothing(t *testing.T) {
	s := store.NewSequence()
	s.Raise("name")
	if n := testing.AllocsPerRun(1000, func() { s.Mark('n', "ame"); s.Newest() }); n != 0 {
		t.Errorf("Mark and Newest allocate %v times; want 0", n)
	}
}
