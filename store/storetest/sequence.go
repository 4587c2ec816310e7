package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/reprise-go/reprise/store"
)

var sequenceChecks = []check{
	{name: "sequence/raise", needs: "Sequencer", run: raise},
	{name: "sequence/marked", needs: "Sequencer", run: getMarked},
	{name: "sequence/many", needs: "Sequencer", run: manyNames},
	{name: "sequence/sparse", needs: "Sequencer", run: sparse},
	{name: "sequence/whole", needs: "Sequencer", run: wholeReadings},
	{name: "sequence/concurrent", needs: "Sequencer", run: concurrentRaise},
	{name: "sequence/sequenced", needs: "Sequenced", run: sequenced},
}

func (e *env) sequencer() store.Sequencer { return e.Store.(store.Sequencer) }

func (e *env) marks(names ...string) store.Marks {
	e.Helper()
	m, err := e.sequencer().Marks(e.ctx, names...)
	if err != nil {
		e.Fatalf("Marks(%s) = %v; want nil", briefKeys(names), err)
	}
	e.valid(m, names)
	return m
}

// valid checks what holds of every reading.
func (e *env) valid(m store.Marks, names []string) {
	e.Helper()
	if m.Incarnation == 0 {
		e.Errorf("the incarnation is 0")
	}
	if len(m.Slots) != len(names) {
		e.Fatalf("%d slots for %d names", len(m.Slots), len(names))
	}
}

func (e *env) raise(names ...string) uint64 {
	e.Helper()
	n, err := e.sequencer().Raise(e.ctx, names...)
	if err != nil {
		e.Fatalf("Raise(%s) = %v; want nil", briefKeys(names), err)
	}
	return n
}

// raise: numbers grow, and what was raised stays raised.
func raise(e *env) {
	before := e.marks("a", "b", "c")
	e.marks()
	n1 := e.raise("a")
	n2 := e.raise("b", "c", "b")
	n3 := e.raise("c")
	n4 := e.raise() // issues a number all the same
	if n1 <= before.Newest || n2 <= n1 || n3 <= n2 || n4 <= n3 {
		e.Errorf("numbers after %d: %d, %d, %d, %d; want each larger than the one before", before.Newest, n1, n2, n3, n4)
	}
	after := e.marks("c", "a", "b")
	if after.Incarnation != before.Incarnation {
		e.Errorf("incarnation %d became %d; want no change", before.Incarnation, after.Incarnation)
	}
	if after.Newest != n4 {
		e.Errorf("Newest = %d after Raise returned %d", after.Newest, n4)
	}
	for i, least := range []uint64{n3, n1, n2} {
		if got := after.Slots[i]; got < least || got > n4 {
			e.Errorf("slot %d of (c, a, b) = %d; want %d, or up to %d if names share a slot", i, got, least, n4)
		}
	}
	if c, ok := e.Store.(store.Clearer); ok {
		if _, err := c.Clear(e.ctx, ""); err != nil {
			e.Errorf("Clear = %v; want nil", err)
		}
		cleared := e.marks("c", "a", "b")
		for i := range cleared.Slots {
			if cleared.Incarnation == after.Incarnation && (cleared.Slots[i] < after.Slots[i] || cleared.Newest < after.Newest) {
				e.Errorf("marks were %v, after Clear %v; want none lowered, or another incarnation", after, cleared)
			}
		}
	}
}

// getMarked is Get and Marks, also where there is nothing.
func getMarked(e *env) {
	read := func(key, want string, found bool, names ...string) store.Marks {
		e.Helper()
		value, m, err := e.sequencer().GetMarked(e.ctx, key, names...)
		if found && (err != nil || string(value) != want) {
			e.Errorf("GetMarked(%q) = %s, %v; want %q", key, brief(value), err, want)
		}
		if !found && (value != nil || !errors.Is(err, store.ErrNotFound)) {
			e.Errorf("GetMarked(%q) = %s, %v; want nil, ErrNotFound", key, brief(value), err)
		}
		e.valid(m, names)
		return m
	}
	first := read("absent", "", false, "a", "b")
	e.set("key", "v", lifetime)
	e.set("empty", "", lifetime)
	n := e.raise("a")
	for _, m := range []store.Marks{read("absent", "", false, "b", "a"), read("key", "v", true, "b", "a"), read("empty", "", true, "b", "a")} {
		if m.Newest != n || m.Slots[1] < n || m.Incarnation != first.Incarnation {
			e.Errorf("GetMarked after Raise(a) = %d: %+v; want that number in Newest and in the slot of a", n, m)
		}
		if same := e.marks("b", "a"); same.Slots[0] != m.Slots[0] || same.Slots[1] != m.Slots[1] || same.Newest != m.Newest {
			e.Errorf("GetMarked gives %+v, Marks %+v; want the same", m, same)
		}
	}
	read("key", "v", true)
	read("absent", "", false)
}

// manyNames exceeds what one request of common servers can carry.
func manyNames(e *env) {
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("name %d ä\x00", i)) // names are no keys: any text
	}
	n1 := e.raise(names[:200]...)
	n2 := e.raise(names[100:]...)
	m := e.marks(names...)
	for i, got := range m.Slots {
		least := n1
		if i >= 100 {
			least = n2
		}
		if got < least || got > n2 {
			e.Errorf("slot of name %d = %d; want at least %d", i, got, least)
		}
	}
	if _, m, err := e.sequencer().GetMarked(e.ctx, "absent", names...); !errors.Is(err, store.ErrNotFound) || len(m.Slots) != 300 || m.Slots[299] < n2 {
		e.Errorf("GetMarked of 300 names = %d slots, %v; want all, raised", len(m.Slots), err)
	}
}

// sparse: one invalidation does not invalidate everything. What was stored under the number of an earlier reading, as
// every entry is, mostly stays usable.
func sparse(e *env) {
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("never raised %d", i))
	}
	before := e.marks(names...)
	for i := range 10 {
		e.raise(fmt.Sprintf("raised%d", i))
	}
	raised := 0
	for _, slot := range e.marks(names...).Slots {
		if slot > before.Newest {
			raised++
		}
	}
	if raised > 20 {
		e.Errorf("%d of 200 names that were never raised have a mark of later than a reading before; want hardly any", raised)
	}
}

// wholeReadings: a reading that has the number of a Raise has all its slots, also while that Raise is under way. A reader
// who knew the number alone would store what is older than the invalidation as if it were newer.
func wholeReadings(e *env) {
	const raises = 50
	names := []string{"a", "b", "c"}
	issued := make([]uint64, 0, raises)
	var readings [4][]store.Marks
	var count [len(readings)]atomic.Int64
	var over atomic.Bool
	var wg sync.WaitGroup
	for r := range readings {
		wg.Go(func() {
			for !over.Load() {
				var m store.Marks
				var err error
				if r%2 == 0 {
					m, err = e.sequencer().Marks(e.ctx, names...)
				} else {
					_, m, err = e.sequencer().GetMarked(e.ctx, "absent", names...)
				}
				if err != nil && !errors.Is(err, store.ErrNotFound) || len(m.Slots) != len(names) {
					e.Errorf("Marks or GetMarked = %+v, %v; want %d slots", m, err, len(names))
					over.Store(true)
					return
				}
				readings[r] = append(readings[r], m)
				count[r].Add(1)
				runtime.Gosched() // where there is one processor, the others come to read as well
			}
		})
	}
	for range raises {
		n, err := e.sequencer().Raise(e.ctx, names...)
		if err != nil {
			e.Errorf("Raise = %v; want nil", err)
			break
		}
		issued = append(issued, n)
		for r := range count { // a fast store is read between two Raises, too, by each reader
			for before := count[r].Load(); count[r].Load() == before && !over.Load(); {
				runtime.Gosched()
			}
		}
	}
	over.Store(true)
	wg.Wait()
	for _, m := range slices.Concat(readings[:]...) {
		known := uint64(0) // the newest number that the reading has
		for _, n := range issued {
			if n <= m.Newest {
				known = n
			}
		}
		if slices.Min(m.Slots) < known {
			e.Fatalf("a reading has number %d, and the slots %v; want none below the number", known, m.Slots)
		}
	}
}

// concurrentRaise: each number is issued once, and who has it sees its mark.
func concurrentRaise(e *env) {
	var mu sync.Mutex
	seen := make(map[uint64]bool)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			var last uint64
			for i := range 25 {
				own := fmt.Sprintf("name%d", w)
				n, err := e.sequencer().Raise(e.ctx, own, "shared")
				if err != nil {
					e.Errorf("Raise = %v; want nil", err)
					return
				}
				m, err := e.sequencer().Marks(e.ctx, own, "shared")
				if err != nil || len(m.Slots) != 2 {
					e.Errorf("Marks = %+v, %v; want 2 slots", m, err)
					return
				}
				if n <= last || m.Newest < n || m.Slots[0] < n || m.Slots[1] < n {
					e.Errorf("Raise %d = %d after %d, then Marks = %+v; want a larger number, and no mark below it", i, n, last, m)
				}
				last = n
				mu.Lock()
				if seen[n] {
					e.Errorf("the number %d was issued twice", n)
				}
				seen[n] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// sequenced: the numbers of this process are one object, and the same as the Sequencer's if there is one.
func sequenced(e *env) {
	q := e.Store.(store.Sequenced).Sequence()
	if q == nil || q != e.Store.(store.Sequenced).Sequence() {
		e.Fatalf("Sequence = %v, or another each time; want one", q)
	}
	if !implements[store.Local](e.Store) {
		e.Errorf("a store that is Sequenced is not Local")
	}
	n := q.Raise("name")
	if q.Newest() != n || q.Mark('n', "ame") < n {
		e.Errorf("after Raise = %d: Newest %d, Mark %d", n, q.Newest(), q.Mark('n', "ame"))
	}
	if !implements[store.Sequencer](e.Store) {
		return
	}
	if m := e.marks("name"); m.Newest != n || m.Slots[0] < n {
		e.Errorf("Marks = %+v after Sequence().Raise = %d; want the same numbers", m, n)
	}
	if n := e.raise("name"); q.Newest() != n || q.Mark('n', "ame") < n {
		e.Errorf("Sequence() has %d, %d after Raise = %d; want the same numbers", q.Newest(), q.Mark('n', "ame"), n)
	}
}
