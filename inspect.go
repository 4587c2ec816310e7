package reprise

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/internal/wire"
	"github.com/reprise-go/reprise/store"
)

// Entry describes a stored answer. It is a copy: changing it changes nothing.
type Entry struct {
	Key    string // the full key
	Base   string // the key without the variant; what Delete takes
	Kind   string // "response", "value" or "variants": the list of a URL's variants
	Status int    // of a response
	Header http.Header
	Bytes  int // of the body
	Tags   []string
	Vary   []string // the fields that a list of variants is about

	Stored  time.Time // when its age was 0
	Expires time.Time // when it ceases to be fresh; the zero time is never
	Stale   bool      // softly invalidated, or expired
}

// Entry returns what is stored at a full key: of a URL with variants, the list of them. The error matches store.ErrNotFound for what is
// not there, or no longer usable.
func (c *Cache) Entry(ctx context.Context, key string) (Entry, error) {
	e, soft, err := c.store.inspect(ctx, key)
	if err != nil {
		return Entry{}, err
	}
	return e.describe(soft, time.Now()), nil
}

// Entries yields the usable entries of this handle's namespace whose full key begins with prefix, in no order; "" is all of
// them. The error matches errors.ErrUnsupported where the store cannot list.
func (c *Cache) Entries(ctx context.Context, prefix string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if c.store.lister == nil {
			yield(Entry{}, fmt.Errorf("reprise: Entries: the store cannot list: %w", errors.ErrUnsupported))
			return
		}
		root := string(appendEscaped(nil, c.namespace))
		for _, end := range []string{"|", ":"} {
			from := root + end
			switch {
			case len(prefix) > len(from) && prefix[:len(from)] == from:
				from = prefix
			case len(prefix) <= len(from) && from[:len(prefix)] == prefix:
			default:
				continue
			}
			for key, err := range c.store.lister.Keys(ctx, from) {
				if err != nil {
					yield(Entry{}, &StoreError{Op: "list", Err: err})
					return
				}
				e, err := c.Entry(ctx, key)
				if errors.Is(err, store.ErrNotFound) {
					continue
				}
				if !yield(e, err) || err != nil {
					return
				}
			}
		}
	}
}

// inspect returns the record at key if it is usable.
func (b *backend) inspect(ctx context.Context, key string) (e *entry, soft bool, err error) {
	notFound := fmt.Errorf("reprise: %s: %w", key, store.ErrNotFound)
	if b.local != nil {
		v, _ := b.local.Load([]byte(key))
		switch v := v.(type) {
		case *entry:
			e = v
		case *learned:
			e = &v.entry
		case inspectable:
			e = v.inspect()
		}
		if e == nil || e.remaining(time.Now()) <= 0 {
			return nil, false, notFound
		}
		usable, soft := e.current(b.seq)
		if !usable {
			return nil, false, notFound
		}
		return e, soft, nil
	}
	f, _ := b.original(key, func() (_ found, _ *learned, old bool) {
		f, old := b.inspectRemote(ctx, key)
		return f, nil, old
	})
	switch {
	case f.err != nil:
		return nil, false, f.err
	case f.entry == nil:
		return nil, false, notFound
	}
	return f.entry, f.soft, nil
}

func (b *backend) inspectRemote(ctx context.Context, key string) (f found, old bool) {
	rec, m := b.read(ctx, key, nil)
	if rec == nil {
		return m.found, false
	}
	e := new(entry)
	for _, kind := range []wire.Kind{wire.Response, wire.Index, wire.Value} {
		if e.Decode(rec, kind, key) != nil {
			continue
		}
		var ns names
		base, url, path := e.Names()
		eachName(base, url, path, ns.add)
		_, m = b.read(ctx, key, ns) // marks of names that only the record knows
		usable, soft := b.usable(ctx, e, m, ns)
		f.judged(e, usable, soft)
		break
	}
	return f, f.old()
}

// inspectable is a live value that has an entry.
type inspectable interface{ inspect() *entry }

func (e *entry) describe(soft bool, now time.Time) Entry {
	d := Entry{
		Key:    e.Key(),
		Kind:   map[wire.Kind]string{wire.Response: "response", wire.Value: "value", wire.Index: "variants"}[e.Kind],
		Status: int(e.Status),
		Bytes:  len(e.Body),
		Stored: time.Unix(0, e.Born),
		Stale:  soft || now.UnixNano() >= e.Expires,
	}
	d.Base, _, _ = e.Names()
	if e.Expires != int64(Forever) {
		d.Expires = time.Unix(0, e.Expires)
	}
	if e.Kind == wire.Response {
		d.Header = e.Header()
	}
	e.Tags(func(t string) bool { d.Tags = append(d.Tags, t); return true })
	e.Vary(func(p wire.Pair) bool { d.Vary = append(d.Vary, p.Name); return true })
	return d
}
