package reprise

import (
	"context"
	"math"
	"slices"

	"github.com/reprise-go/reprise/internal/wire"
	"github.com/reprise-go/reprise/store"
)

// manyKeys is how many keys are read from a store in one round trip.
const manyKeys = 128

// findMany looks up wants in two round trips: their records, and then the marks of all of them. Where something was invalidated since,
// there is a third one, for the tags of all. Marks that are read later than a record are as good: they tell more
// invalidations, not fewer.
func (f *Func[K, V]) findMany(ctx context.Context, wants []*want[K, V]) {
	b := &f.engine.store
	old := f.findOnce(ctx, wants)
	if b.layered != nil { // as original has it
		old = slices.DeleteFunc(old, func(w *want[K, V]) bool { return !b.layered.Forget(w.at) })
		copies := make([]found, len(old))
		for i, w := range old {
			copies[i] = w.look.found
		}
		if len(old) > 0 {
			f.findOnce(ctx, old)
		}
		for i, w := range old {
			if w.look.why == ReasonStoreFailed {
				w.look.found = copies[i]
			}
		}
	}
	for _, w := range wants {
		w.look = decodeValue[V](w.look.found, f.codec, &f.ahead)
	}
}

// findOnce is findMany but for decoding. It returns those of wants that something was found for which is not both usable and fresh.
func (f *Func[K, V]) findOnce(ctx context.Context, wants []*want[K, V]) (old []*want[K, V]) {
	b := &f.engine.store
	keys := make([]string, len(wants))
	for i, w := range wants {
		keys[i] = w.at
	}
	var above names // of the namespaces, which all have
	eachName(keys[0], "", "", func(kind byte, name string) bool { return kind != nameNamespace || above.add(kind, name) })
	all := make(names, 0, 2*len(wants)+len(above))
	for _, key := range keys {
		all.add(nameKey, key)
	}
	all = append(all, above...)

	var recs [][]byte
	var m store.Marks
	number := uint64(0)
	if b.numbers == nil {
		number = b.seq.Newest()
	}
	err := b.do(ctx, "get", func(ctx context.Context) (err error) {
		recs, err = b.multi.GetMulti(ctx, keys)
		return err
	})
	blind := false
	if b.numbers != nil {
		// Without marks there is no number for the loads either.
		merr := b.do(ctx, "marks", func(ctx context.Context) (err error) {
			m, err = b.numbers.Marks(ctx, all...)
			return err
		})
		if blind = merr != nil || len(m.Slots) != len(all); blind {
			m = store.Marks{}
		}
		if err == nil {
			err = merr
		}
		number = m.Newest
	}
	tagged := taggedEntries{slots: make(map[string]int)}
	var held []*want[K, V]
	for i, w := range wants {
		l := marked{found: found{why: ReasonNotStored, number: number, incarnation: m.Incarnation}}
		ns := append(all[2*i:2*i+2:2*i+2], above...)
		switch {
		case blind:
			l.raised = math.MaxUint64 // as read has it
		case b.numbers != nil:
			l.marks = store.Marks{
				Incarnation: m.Incarnation, Newest: m.Newest,
				Slots: append(m.Slots[2*i:2*i+2:2*i+2], m.Slots[2*len(wants):]...),
			}
			for j := 0; j < len(l.marks.Slots); j += 2 { // not the soft ones
				l.raised = max(l.raised, l.marks.Slots[j])
			}
		}
		if err != nil {
			l.why, l.err = ReasonStoreFailed, err
			w.look.found = l.found
			continue
		}
		var e *entry
		if i < len(recs) && recs[i] != nil {
			e = l.read(recs[i], keys[i], wire.Value)
		}
		w.look.found = l.found
		if i < len(recs) && recs[i] != nil {
			held = append(held, w)
		}
		if e == nil {
			continue
		}
		usable, soft, tags := b.beside(e, &l, ns)
		w.look.judged(e, usable, soft)
		if len(tags) > 0 {
			tagged.add(&w.look.found, tags)
		}
	}
	tagged.judge(ctx, b)
	return slices.DeleteFunc(held, func(w *want[K, V]) bool { return !w.look.old() })
}

// taggedEntries are entries whose tags are still to be compared with their marks, which are read for all of them at once.
type taggedEntries struct {
	names names
	slots map[string]int // where a name is among names
	of    []taggedEntry
}

type taggedEntry struct {
	look *found
	tags names
}

func (t *taggedEntries) add(look *found, tags names) {
	t.of = append(t.of, taggedEntry{look, tags})
	for _, name := range tags {
		if _, ok := t.slots[name]; !ok {
			t.slots[name] = len(t.names)
			t.names = append(t.names, name)
		}
	}
}

// judge takes away what was found where a tag of it was invalidated, or nobody can tell.
func (t *taggedEntries) judge(ctx context.Context, b *backend) {
	if len(t.of) == 0 {
		return
	}
	var m store.Marks
	err := b.do(ctx, "marks", func(ctx context.Context) (err error) {
		m, err = b.numbers.Marks(ctx, t.names...)
		return err
	})
	readable := err == nil && len(m.Slots) == len(t.names)
	for _, te := range t.of {
		e, soft, usable := te.look.entry, te.look.soft, false
		if readable && m.Incarnation == e.Incarnation {
			own := store.Marks{Slots: make([]uint64, len(te.tags))}
			for i, name := range te.tags {
				own.Slots[i] = m.Slots[t.slots[name]]
			}
			var tagSoft bool
			usable, tagSoft = te.tags.verdict(own, e.Sequence)
			soft = soft || tagSoft
		}
		te.look.entry = nil
		te.look.judged(e, usable, soft)
	}
}
