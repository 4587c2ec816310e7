package storetest

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/reprise-go/reprise/store"
)

var peerChecks = []check{
	{name: "peer/values", peer: true, run: peerValues},
	{name: "peer/sequence", needs: "Sequencer", peer: true, run: peerSequence},
	{name: "peer/lock", needs: "Locker", peer: true, run: peerLock},
	{name: "peer/list", needs: "Lister", peer: true, run: peerList},
	{name: "peer/after_close", needs: "Closer", peer: true, run: peerAfterClose},
}

// peer is e for a second store on the same data.
func (e *env) peer() *env {
	p := *e
	p.Store = e.reopen()
	return &p
}

// peerValues: two stores on the same data see each other's writes, at once.
func peerValues(e *env) {
	e.set("before", "v", lifetime)
	p := e.peer()
	p.has("before", "v")
	e.set("a", "one", lifetime)
	p.has("a", "one")
	p.set("a", "two", lifetime)
	e.has("a", "two")
	p.deletes(1, "a")
	e.hasNot("a")
	e.deletes(0, "a")
	e.deletes(1, "before")
	p.hasNot("before")

	var wg sync.WaitGroup
	for w, s := range []*env{e, p, e, p} {
		wg.Go(func() {
			for n := range 50 {
				if err := s.Set(s.ctx, "key", selfTelling("key", w, n), lifetime); err != nil {
					s.Errorf("Set = %v; want nil", err)
				}
				if value, err := s.Get(s.ctx, "key"); err == nil && !whole("key", value) {
					s.Errorf("Get = %s: torn", brief(value))
				} else if err != nil && !errors.Is(err, store.ErrNotFound) {
					s.Errorf("Get = %v; want nil", err)
				}
			}
		})
	}
	wg.Wait()
}

// peerSequence: the numbers of two stores on the same data are one sequence.
func peerSequence(e *env) {
	n1 := e.raise("a")
	p := e.peer()
	if e.marks("a").Incarnation != p.marks("a").Incarnation {
		e.Errorf("two stores on the same data have two incarnations")
	}
	n2 := p.raise("b")
	n3 := e.raise("a")
	if n2 <= n1 || n3 <= n2 {
		e.Errorf("numbers %d, %d, %d; want each larger than the one before", n1, n2, n3)
	}
	for _, s := range []*env{e, p} {
		if m := s.marks("a", "b"); m.Newest != n3 || m.Slots[0] < n3 || m.Slots[1] < n2 {
			e.Errorf("Marks = %+v; want %d, and at least %d, %d", m, n3, n3, n2)
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := make(map[uint64]bool)
	for _, s := range []*env{e, p, e, p} {
		wg.Go(func() {
			for range 25 {
				n, err := s.sequencer().Raise(s.ctx, "shared")
				if err != nil {
					s.Errorf("Raise = %v; want nil", err)
					return
				}
				mu.Lock()
				if seen[n] {
					s.Errorf("the number %d was issued twice", n)
				}
				seen[n] = true
				mu.Unlock()
				for _, other := range []*env{e, p} {
					if m, err := other.sequencer().Marks(s.ctx, "shared"); err != nil || m.Slots[0] < n {
						s.Errorf("Marks after Raise = %d: %+v, %v; want at least that", n, m, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// peerLock: two stores on the same data exclude each other.
func peerLock(e *env) {
	p := e.peer()
	f1 := e.lock("a", lifetime)
	p.held("a")
	p.unlock("a", f1+1)
	p.held("a")
	e.unlock("a", f1)
	f2 := p.lock("a", lifetime)
	e.held("a")
	if f2 <= f1 {
		e.Errorf("fence %d after %d; want a larger one", f2, f1)
	}
	e.setsLocked(false, "key", "former", "a", f1)
	p.hasNot("key")
	p.setsLocked(true, "key", "present", "a", f2)
	e.has("key", "present")
}

func peerList(e *env) {
	p := e.peer()
	for i := range 20 {
		e.set(fmt.Sprintf("key%d", i), "v", lifetime)
		p.set(fmt.Sprintf("other%d", i), "v", lifetime)
	}
	if got := p.list("key"); len(got) != 20 {
		e.Errorf("Keys(key) = %d keys; want the 20 of the other store", len(got))
	}
	if got := e.list(""); len(got) != 40 {
		e.Errorf("Keys() = %d keys; want 40", len(got))
	}
	if implements[store.Clearer](e.Store) {
		p.clears(20, "key")
		e.hasNot("key0")
		e.has("other0", "v")
	}
}

// peerAfterClose: what a store left is there for the next.
func peerAfterClose(e *env) {
	e.set("key", "v", lifetime)
	e.set("empty", "", store.Forever)
	var n uint64
	var m store.Marks
	if e.sequencing() {
		n = e.raise("name")
		m = e.marks("name")
	}
	if err := e.Store.(io.Closer).Close(); err != nil {
		e.Fatalf("Close = %v; want nil", err)
	}
	p := e.peer()
	p.has("key", "v")
	p.has("empty", "")
	if !e.sequencing() {
		return
	}
	if after := p.marks("name"); after.Incarnation == m.Incarnation && (after.Newest < n || after.Slots[0] < n) {
		e.Errorf("Marks were %+v, after Close %+v; want none lowered, or another incarnation", m, after)
	}
}
