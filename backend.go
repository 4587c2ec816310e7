package reprise

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/internal/wire"
	"github.com/reprise-go/reprise/store"
)

// backend is the store as the engine sees it: what it can do, how long it may take, and whether it is worth asking.
type backend struct {
	engine *engine
	raw    store.Store

	local   store.Local     // live values; nil for a store outside the process
	seq     *store.Sequence // numbers of this process: the local store's, or, without numbers, only for fills here
	numbers store.Sequencer // numbers of a store outside
	multi   store.MultiGetter
	locker  store.Locker
	lister  store.Lister
	clearer store.Clearer
	notify  store.Notifier
	sizer   store.Sizer
	layered store.Layered

	names   *recentNames // nil for a local store
	waiters waiters
	wakeups wakeups
	guards  guards
	crowd   crowd

	raising sync.RWMutex // held to read marks and raise them as one
}

const writeFactor = 4 // nobody waits for a write, so it may take longer than a look-up

func (b *backend) open(e *engine, s store.Store) {
	b.engine, b.raw = e, s
	b.local, _ = s.(store.Local)
	b.multi, _ = s.(store.MultiGetter)
	b.locker, _ = s.(store.Locker)
	b.lister, _ = s.(store.Lister)
	b.clearer, _ = s.(store.Clearer)
	b.notify, _ = s.(store.Notifier)
	b.sizer, _ = s.(store.Sizer)
	b.layered, _ = s.(store.Layered)
	if sequenced, ok := s.(store.Sequenced); ok && b.local != nil {
		b.seq = sequenced.Sequence()
		return
	}
	b.local = nil // a local store without numbers is used by its bytes
	b.numbers, _ = s.(store.Sequencer)
	if b.numbers == nil {
		b.seq = store.NewSequence()
	}
	b.names = &recentNames{seed: maphash.MakeSeed()}
	b.guards.nodes, _ = s.(store.Partitioned)
	b.crowd.open()
	b.guards.all, b.guards.byNode = newGuard(), make(map[string]*guard)
}

// sequenced reports whether the store can number invalidations of tags, URLs and namespaces.
func (b *backend) sequenced() bool { return b.local != nil || b.numbers != nil }

// found is what a look-up found, and what a fill that follows it carries on.
type found struct {
	entry *entry
	soft  bool     // invalidated, but good enough while it is refreshed
	names []string // what the URL varies on, if that is known
	why   Reason   // why there is no entry
	err   error

	// number and incarnation are the store's at the look-up.
	number, incarnation uint64

	raised uint64 // the newest mark of the names that were asked for, in a store outside
}

// find looks for the answer to q: an entry, or why there is none. q.variant is the key of the variant when names are known.
func (b *backend) find(q *query) found {
	if b.local != nil {
		return b.findLocal(q)
	}
	var f found
	b.within(q.r.Context(), &q.asking, func(ctx context.Context) { f = b.findRemote(ctx, q) })
	return f
}

func (b *backend) findLocal(q *query) found {
	f := found{number: b.seq.Newest(), why: ReasonNotStored}
	v, _ := b.local.Load(q.key)
	switch v := v.(type) {
	case *entry:
		f.take(v, b.seq, q.now)
	case *learned:
		if q.now.UnixNano() >= v.Expires {
			return f
		}
		if usable, _ := v.current(b.seq); !usable {
			f.why = ReasonInvalidated
			return f
		}
		f.names, f.why = v.names, ReasonVariant
		q.variant = appendVariant(q.variant, q.key, v.names, q.r)
		v2, _ := b.local.Load(q.variant)
		if e, ok := v2.(*entry); ok {
			f.take(e, b.seq, q.now)
		} else {
			b.findLanguage(q.r.Context(), q, &f, nil)
		}
	}
	return f
}

// take makes e what was found, if it is usable and of any use at now: a store may keep it for longer than it was told.
func (f *found) take(e *entry, s *store.Sequence, now time.Time) {
	if now.UnixNano() >= e.Expires && e.remaining(now) <= 0 {
		return
	}
	usable, soft := e.current(s)
	f.judged(e, usable, soft)
}

func (b *backend) findRemote(ctx context.Context, q *query) found {
	ns := b.names.of(q)

	known, _ := b.engine.varies.get(q.key, q.now)
	if known != nil {
		// The URL's fields are known from before: one look-up instead of two.
		q.variant = appendVariant(q.variant, q.key, known.names, q.r)
		if f := b.get(ctx, string(q.variant), ns, wire.Response); f.entry != nil || f.err != nil {
			f.names = known.names
			return f
		}
	}
	f, index := b.getAny(ctx, q.baseKey(), ns)
	if index != nil {
		b.engine.varies.put(q.baseKey(), index, q.now.Add(learnedFor))
		q.variant = appendVariant(q.variant, q.key, index.names, q.r)
		f = b.get(ctx, string(q.variant), ns, wire.Response)
		f.names = index.names
		if f.why == ReasonNotStored {
			f.why = ReasonVariant
			b.findLanguage(ctx, q, &f, ns)
		}
	} else if known != nil && f.entry == nil {
		f.names = known.names
	}
	return f
}

// learnedFor is how long a process remembers what a URL varies on without seeing it again.
const learnedFor = 10 * time.Minute

// getAny is get for a key that holds a response or an index.
func (b *backend) getAny(ctx context.Context, key string, ns names) (found, *learned) {
	return b.original(key, func() (_ found, _ *learned, old bool) {
		rec, f := b.read(ctx, key, ns)
		if wire.KindOf(rec) != wire.Index {
			old = b.decode(ctx, rec, key, wire.Response, ns, &f)
			return f.found, nil, old
		}
		l := new(learned)
		if err := l.Decode(rec, wire.Index, key); err != nil {
			f.why, f.err = ReasonRecordBad, badRecord(key, err)
			return f.found, nil, true
		}
		if usable, _ := b.usable(ctx, &l.entry, f, ns); !usable {
			f.why = ReasonInvalidated
			return f.found, nil, true
		}
		l.readIndex()
		return f.found, l, false
	})
}

func (b *backend) get(ctx context.Context, key string, ns names, kind wire.Kind) found {
	f, _ := b.original(key, func() (_ found, _ *learned, old bool) {
		rec, f := b.read(ctx, key, ns)
		old = b.decode(ctx, rec, key, kind, ns, &f)
		return f.found, nil, old
	})
	return f
}

// original returns what look finds at key. Where that may be an old copy of what the store holds, the copy is dropped first.
func (b *backend) original(key string, look func() (f found, index *learned, old bool)) (found, *learned) {
	f, index, old := look()
	if !old || b.layered == nil || !b.layered.Forget(key) {
		return f, index
	}
	again, againIndex, _ := look()
	if again.why == ReasonStoreFailed {
		return f, index // a stale copy is better than none
	}
	return again, againIndex
}

// marked is a found with the marks that were read beside it.
type marked struct {
	found
	marks store.Marks
}

// read reads the bytes at key, and the marks of ns with them.
func (b *backend) read(ctx context.Context, key string, ns names) ([]byte, marked) {
	f := marked{found: found{why: ReasonNotStored}}
	var rec []byte
	err := b.doAt(ctx, key, "get", func(ctx context.Context) (err error) {
		if b.numbers == nil {
			f.number = b.seq.Newest()
			rec, err = b.raw.Get(ctx, key)
			return err
		}
		rec, f.marks, err = b.numbers.GetMarked(ctx, key, ns...)
		f.number, f.incarnation = f.marks.Newest, f.marks.Incarnation
		for i := 0; i < len(f.marks.Slots); i += 2 { // not the soft ones
			f.raised = max(f.raised, f.marks.Slots[i])
		}
		return err
	})
	switch {
	case err == nil:
		return rec, f
	case errors.Is(err, store.ErrNotFound):
	default:
		f.why, f.err = ReasonStoreFailed, err
		f.raised = math.MaxUint64 // marks that cannot be read count as newer, also than a fill that could be followed
	}
	return nil, f
}

// decode makes rec f's entry, if there is one that is sound and usable. It reports whether there is one that is not both usable
// and fresh.
func (b *backend) decode(ctx context.Context, rec []byte, key string, kind wire.Kind, ns names, f *marked) (old bool) {
	if rec == nil {
		return false
	}
	if e := f.read(rec, key, kind); e != nil {
		usable, soft := b.usable(ctx, e, *f, ns)
		f.judged(e, usable, soft)
	}
	return f.old()
}

// old reports whether what was found is not both usable and fresh.
func (f *found) old() bool {
	return f.entry == nil || f.soft || time.Now().UnixNano() >= f.entry.Expires
}

// read decodes rec. It returns nil, and f says why, for what is not sound or of no use any more: a store may keep a record for longer
// than it was told.
func (f *marked) read(rec []byte, key string, kind wire.Kind) *entry {
	e := new(entry)
	if err := e.Decode(rec, kind, key); err != nil {
		f.why, f.err = ReasonRecordBad, badRecord(key, err)
		return nil
	}
	if e.remaining(time.Now()) <= 0 {
		return nil
	}
	return e
}

// judged makes e what was found, if it is usable.
func (f *found) judged(e *entry, usable, soft bool) {
	if !usable {
		f.why = ReasonInvalidated
		return
	}
	f.entry, f.soft, f.why = e, soft, ""
}

func badRecord(key string, err error) error {
	return fmt.Errorf("reprise: what is stored at %s: %w", key, err)
}

// usable compares e with the marks that were read beside it and, where something was invalidated since e was filled, with those
// of its tags.
func (b *backend) usable(ctx context.Context, e *entry, f marked, ns names) (usable, soft bool) {
	usable, soft, tags := b.beside(e, &f, ns)
	if len(tags) == 0 {
		return usable, soft
	}
	var m store.Marks
	err := b.do(ctx, "marks", func(ctx context.Context) (err error) {
		m, err = b.numbers.Marks(ctx, tags...)
		return err
	})
	if err != nil || m.Incarnation != e.Incarnation {
		return false, false
	}
	usable, tagSoft := tags.verdict(m, e.Sequence)
	return usable, soft || tagSoft
}

// beside compares e with the marks that were read beside it. Where that is not enough, tags are those of e.
func (b *backend) beside(e *entry, f *marked, ns names) (usable, soft bool, tags names) {
	if b.numbers == nil {
		return true, false, nil
	}
	m := f.marks
	if m.Incarnation == 0 || m.Incarnation != e.Incarnation || m.Newest < e.Sequence {
		return false, false, nil
	}
	if usable, soft = ns.verdict(m, e.Sequence); usable && m.Newest != e.Sequence {
		e.Tags(func(t string) bool { return tags.add(nameTag, t) })
	}
	return usable, soft, tags
}

// valid reports whether a fill that began at number may still be stored: nothing of what names e was invalidated since.
func (b *backend) valid(ctx context.Context, e *entry) bool { return b.refuses(ctx, e) == "" }

// refuses says why a fill that began at e's number may no longer be stored, "" if it may.
func (b *backend) refuses(ctx context.Context, e *entry) Reason {
	if b.numbers == nil {
		if eachNameOf(e, func(kind byte, name string) bool { return b.seq.Mark(kind, name) <= e.Sequence }) {
			return ""
		}
		return ReasonLateFill
	}
	var ns names
	eachNameOf(e, ns.add)
	var m store.Marks
	err := b.do(ctx, "marks", func(ctx context.Context) (err error) {
		m, err = b.numbers.Marks(ctx, ns...)
		return err
	})
	if err != nil || m.Incarnation == 0 {
		return ReasonStoreFailed
	}
	if usable, _ := ns.verdict(m, e.Sequence); !usable || m.Incarnation != e.Incarnation {
		return ReasonLateFill
	}
	return ""
}

// blind reports whether the look-up could not read the store's numbers. A fill that follows has none, and is not stored.
func (b *backend) blind(found *found) bool { return b.numbers != nil && found.incarnation == 0 }

// raisedSince reports whether an invalidation after number names what q asks for, by anything but a tag.
func (b *backend) raisedSince(q *query, found *found, number uint64) bool {
	if b.numbers != nil {
		return found.raised > number
	}
	if b.seq.Newest() <= number {
		return false
	}
	url, path := q.names()
	return !eachName(string(q.key), url, path, func(kind byte, name string) bool { return b.seq.Mark(kind, name) <= number })
}

// raise marks names as invalidated.
func (b *backend) raise(ctx context.Context, ns []string) error {
	b.raising.RLock()
	defer b.raising.RUnlock()
	if b.numbers == nil {
		b.seq.Raise(ns...)
		return nil
	}
	_, err := b.raiseRemote(ctx, ns)
	return err
}

// raiseRemote is raise in a store outside the process. It returns the number.
func (b *backend) raiseRemote(ctx context.Context, ns []string) (n uint64, err error) {
	err = b.do(ctx, "raise", func(ctx context.Context) (err error) {
		n, err = b.numbers.Raise(ctx, ns...)
		return err
	})
	return n, err
}

// keep stores e at its key. It returns why it did not.
func (b *backend) keep(ctx context.Context, e *entry, live any, bytes int64, ttl time.Duration) (Reason, error) {
	if why := b.refuses(ctx, e); why != "" {
		return why, nil
	}
	return b.write(ctx, e, live, bytes, ttl)
}

// write is keep for what cannot come too late.
func (b *backend) write(ctx context.Context, e *entry, live any, bytes int64, ttl time.Duration) (Reason, error) {
	if b.local != nil {
		atomic.StoreUint64(e.checked(), ^uint64(0)) // marks are read again by the first look-up
		b.local.Keep(e.Key(), live, bytes, ttl)
		return "", nil
	}
	err := b.doAt(ctx, e.Key(), "set", func(ctx context.Context) error {
		return b.raw.Set(ctx, e.Key(), e.Append(nil), ttl)
	})
	switch {
	case err == nil:
		return "", nil
	case errors.Is(err, store.ErrTooLarge):
		return ReasonTooLarge, err
	}
	return ReasonStoreFailed, err
}

// writeContext is that of a write that nobody waits for.
func (b *backend) writeContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(b.engine.ctx), writeFactor*b.engine.config.Limits.StoreTimeout)
}

// remove deletes records whose marks no longer matter.
func (b *backend) remove(ctx context.Context, keys []string) error {
	if b.local != nil {
		_, err := b.raw.Delete(ctx, keys...)
		return err
	}
	return b.do(ctx, "delete", func(ctx context.Context) error {
		_, err := b.raw.Delete(ctx, keys...)
		return err
	})
}

// removeBase deletes the record at a base key and the variants that it lists, and counts the first.
func (b *backend) removeBase(ctx context.Context, key string) (n int, err error) {
	var variants []string
	if b.local != nil {
		v, _ := b.local.Load([]byte(key))
		if l, ok := v.(*learned); ok {
			variants = l.variants
		}
		if n, err = b.raw.Delete(ctx, key); err != nil {
			return 0, &StoreError{Op: "delete", Err: err}
		}
	} else {
		if rec, _ := b.read(ctx, key, nil); rec != nil {
			var l learned
			if l.Decode(rec, wire.Index, key) == nil {
				l.readIndex()
				variants = l.variants
			}
		}
		err = b.doAt(ctx, key, "delete", func(ctx context.Context) (err error) {
			n, err = b.raw.Delete(ctx, key)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if len(variants) == 0 {
		return n, nil
	}
	return n, b.remove(ctx, variants)
}

// clear removes what begins with prefix.
func (b *backend) clear(ctx context.Context, prefix string) error {
	if b.local != nil {
		if _, err := b.clearer.Clear(ctx, prefix); err != nil {
			return &StoreError{Op: "clear", Err: err}
		}
		return nil
	}
	err := b.do(ctx, "clear", func(ctx context.Context) error {
		_, err := b.clearer.Clear(ctx, prefix)
		return err
	})
	if errors.Is(err, errors.ErrUnsupported) {
		return nil // what is unusable need not be removed
	}
	return err
}
