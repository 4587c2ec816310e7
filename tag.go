package reprise

import (
	"hash/maphash"
	"strings"
	"sync/atomic"

	"github.com/reprise-go/reprise/internal/wire"
	"github.com/reprise-go/reprise/store"
)

// An invalidation takes the next number of the store's sequence and raises the marks of what it names to it. An entry is
// named by its namespace and each level above it, its base key, its URL, its path on any host, and its tags. It carries the
// number that was read at the look-up which led to its fill, and is usable only while none of its marks is newer. So
// a fill that began before an invalidation never brings the old answer back, whatever the clocks say.
//
// A name's first byte is its kind; soft invalidations have kinds of their own.
const (
	nameNamespace = 'n'
	nameKey       = 'k'
	nameURL       = 'u' // host|path
	namePath      = 'p'
	nameTag       = 't'
	soften        = 'a' - 'A' // between a kind and its soft one
)

// entry is an answer as this process holds it. It is immutable but for checked.
type entry struct{ wire.Record }

// checked is, in a store of this process, the newest number at which the entry's marks were read and found older, twice,
// plus 1 if a soft one was newer. Numbers of such a store have but one life, so that no entry has an incarnation.
func (e *entry) checked() *uint64 { return &e.Incarnation }

// learned is what a URL's answers vary on: the live form of an index record.
type learned struct {
	entry
	names    []string // canonical, sorted
	variants []string // keys, oldest first
}

const entryBytes = 120 // of an entry, beside its head and body

func (e *entry) bytes() int64 { return int64(len(e.Body)) + int64(e.HeadBytes()) + entryBytes }

func (l *learned) bytes() int64 {
	n := l.entry.bytes() + 48
	for _, s := range l.names {
		n += int64(len(s)) + 16
	}
	for _, s := range l.variants {
		n += int64(len(s)) + 16
	}
	return n
}

// eachName calls yield with the kind and text of each name of an entry but its tags.
func eachName(base, url, path string, yield func(kind byte, name string) bool) bool {
	if !yield(nameKey, base) {
		return false
	}
	if path != "" {
		if !yield(nameURL, url) || !yield(namePath, path) {
			return false
		}
	}
	// The namespace is what stands before the first '|', its levels end at each ':'.
	for i := range len(base) {
		switch base[i] {
		case ':', '|':
			if !yield(nameNamespace, base[:i]) {
				return false
			}
			if base[i] == '|' {
				return true
			}
		}
	}
	return true
}

// current reports whether e is usable in a store whose numbers are s, and whether it was softly invalidated. While
// nothing was invalidated since it was last asked, that is one atomic load.
func (e *entry) current(s *store.Sequence) (usable, soft bool) {
	newest := s.Newest()
	if c := atomic.LoadUint64(e.checked()); c>>1 == newest {
		return true, c&1 != 0
	}
	usable = eachNameOf(e, func(kind byte, name string) bool {
		if s.Mark(kind, name) > e.Sequence {
			return false
		}
		if s.Mark(kind-soften, name) > e.Sequence {
			soft = true
		}
		return true
	})
	if !usable {
		return false, false
	}
	// newest was read first: what is invalidated meanwhile is seen by the next look-up.
	c := newest << 1
	if soft {
		c |= 1
	}
	atomic.StoreUint64(e.checked(), c)
	return true, soft
}

// eachNameOf calls yield with all names of e, tags included.
func eachNameOf(e *entry, yield func(kind byte, name string) bool) bool {
	base, url, path := e.Names()
	if !eachName(base, url, path, yield) {
		return false
	}
	ok := true
	e.Tags(func(tag string) bool {
		ok = yield(nameTag, tag)
		return ok
	})
	return ok
}

// names are names as a Sequencer takes them, each followed by its soft form.
type names []string

// recentNames are the names, without tags, of answers that were asked for lately. Where host and path stand in the base key they
// follow from it, and to find them takes a quarter of the time that it takes to make them. Keys that share a slot displace
// each other.
type recentNames struct {
	seed  maphash.Seed
	slots [1 << 12]atomic.Pointer[namedKey]
}

type namedKey struct {
	base     string
	url, end int // where host and path stand in it
	names    names
}

// of returns the names of the answer to q.
func (t *recentNames) of(q *query) names {
	url, end, ok := q.urlInKey()
	if !ok {
		return namesOf(q)
	}
	slot := &t.slots[maphash.Bytes(t.seed, q.key)%uint64(len(t.slots))]
	if k := slot.Load(); k != nil && k.url == url && k.end == end && k.base == string(q.key) {
		q.base = k.base
		return k.names
	}
	ns := namesOf(q)
	slot.Store(&namedKey{q.baseKey(), url, end, ns})
	return ns
}

// namesOf returns the names of the answer to q, without its tags, in one text.
func namesOf(q *query) names {
	base := q.baseKey()
	url, path := q.names()
	n, size := 0, 0
	eachName(base, url, path, func(_ byte, name string) bool {
		n += 2
		size += 2 * (1 + len(name))
		return true
	})
	ns := make(names, 0, n)
	var text strings.Builder
	text.Grow(size)
	eachName(base, url, path, func(kind byte, name string) bool {
		for _, kind := range [...]byte{kind, kind - soften} {
			at := text.Len()
			text.WriteByte(kind)
			text.WriteString(name)
			ns = append(ns, text.String()[at:])
		}
		return true
	})
	return ns
}

func (n *names) add(kind byte, name string) bool {
	*n = append(*n, string(kind)+name, string(kind-soften)+name)
	return true
}

// verdict compares marks that were read for names with number.
func (n names) verdict(m store.Marks, number uint64) (usable, soft bool) {
	if len(m.Slots) != len(n) {
		return false, false // marks that cannot be read count as newer
	}
	for i, slot := range m.Slots {
		switch {
		case slot <= number:
		case i%2 == 0:
			return false, false
		default:
			soft = true
		}
	}
	return true, soft
}
