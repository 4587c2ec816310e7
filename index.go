package reprise

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/reprise-go/reprise/internal/wire"
)

// keepIndex makes the record at the base key name the fields that the URL's answers vary on, and the variant that f has stored
// among its variants. Beyond the limit the oldest variant goes.
func (e *engine) keepIndex(ctx context.Context, f *fill, ttl time.Duration) error {
	// Within a process no variant is lost from the list. Between processes one may be, and then lives out its time.
	done, err := e.indexes.take(ctx, f.base)
	if err != nil {
		return err
	}
	defer done()
	b := &e.store
	now := time.Now()
	old := b.index(ctx, f)
	l := &learned{names: f.selecting}
	expires := after(now, ttl)
	if old != nil {
		if slices.Equal(old.names, f.selecting) {
			l.variants = old.variants
			if slices.Contains(l.variants, f.variant) && old.Expires >= expires {
				return nil
			}
		}
		expires = max(expires, old.Expires)
	}
	if !slices.Contains(l.variants, f.variant) {
		l.variants = append(slices.Clone(l.variants), f.variant)
	}
	var surplus []string
	if n := len(l.variants) - e.config.Limits.Variants; n > 0 {
		surplus, l.variants = l.variants[:n], l.variants[n:]
	}
	l.Kind = wire.Index
	l.Sequence, l.Incarnation = f.number, f.incarnation
	l.Born, l.Expires = now.UnixNano(), expires
	l.writeIndex(f.base, f.url, f.path)
	life := Forever
	if expires != int64(Forever) {
		life = time.Duration(expires - now.UnixNano())
	}
	if _, err := b.keep(ctx, &l.entry, l, l.bytes(), life); err != nil {
		return err
	}
	if len(surplus) > 0 {
		return b.remove(ctx, surplus)
	}
	return nil
}

// index returns the usable index at the base key of f, or nil.
func (b *backend) index(ctx context.Context, f *fill) *learned {
	if b.local != nil {
		v, _ := b.local.Load([]byte(f.base))
		if l, ok := v.(*learned); ok {
			if usable, _ := l.current(b.seq); usable {
				return l
			}
		}
		return nil
	}
	var ns names
	eachName(f.base, f.url, f.path, ns.add)
	_, l := b.getAny(ctx, f.base, ns)
	return l
}

// writeIndex makes the record of l: the names in its head, the variants in its body.
func (l *learned) writeIndex(base, url, path string) {
	h := wire.Head{Key: base, URL: url, Path: path}
	for _, name := range l.names {
		h.Vary = append(h.Vary, wire.Pair{Name: name})
	}
	l.SetHead(h)
	var b []byte
	for _, v := range l.variants {
		b = append(binary.AppendUvarint(b, uint64(len(v))), v...)
	}
	l.Body = b
}

// readIndex is the inverse of writeIndex. A list that does not read is an empty one: it only serves to remove variants.
func (l *learned) readIndex() {
	l.Vary(func(p wire.Pair) bool {
		l.names = append(l.names, p.Name)
		return true
	})
	for b := l.Body; len(b) > 0; {
		n, k := binary.Uvarint(b)
		if k <= 0 || n > uint64(len(b)-k) { //nolint:gosec // not negative
			l.variants = nil
			return
		}
		l.variants = append(l.variants, string(b[k:k+int(n)])) //nolint:gosec // not more than there is
		b = b[k+int(n):]                                       //nolint:gosec // the same
	}
}
