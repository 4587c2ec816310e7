package reprise

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/internal/rfc9111"
	"github.com/reprise-go/reprise/internal/wire"
)

// A variant in the language that a client prefers to all others answers it, whatever else its Accept-Language says (RFC 9111 §4.1): on
// Standard routes. So that it is found in one look-up, a variant with Content-Language has a second key, with that language
// in the place of the field's value; the record there names the variant.

const acceptLanguage = "Accept-Language"

// languageMark stands before a language, where a variant's key has the value of a field.
const languageMark = "~l:"

// appendLanguage makes the second key of a variant in that language.
func appendLanguage(b, base []byte, names []string, r *http.Request, language string) []byte {
	kb := KeyBuilder{buf: append(b[:0], base...)}
	for _, name := range names {
		kb.part(partVariant)
		if name != acceptLanguage {
			kb.field(name, r.Header[name], r.Host)
			continue
		}
		kb.buf = append(kb.buf, acceptLanguage+"="+languageMark...)
		kb.buf = appendEscaped(kb.buf, strings.ToLower(language))
	}
	return finishKey(kb.buf)
}

// languageKey returns the second key of the variant that q would be content with; false if there is no such key.
func (q *query) languageKey(names []string) (string, bool) {
	if !q.rt.standard || !slices.Contains(names, acceptLanguage) {
		return "", false
	}
	language := header.FirstLanguage(q.r.Header[acceptLanguage])
	if language == "" {
		return "", false
	}
	return string(appendLanguage(nil, q.key, names, q.r, language)), true
}

// contentWith reports whether e is a variant of what q asks for, in the language that it prefers.
func (q *query) contentWith(e *entry) bool {
	base, _, _ := e.Names()
	return base == q.baseKey() && rfc9111.PrefersLanguage(q.r.Header[acceptLanguage], e.Field("Content-Language"))
}

// findLanguage looks for the variant in the language that q prefers, where that of its own fields is not there.
func (b *backend) findLanguage(ctx context.Context, q *query, f *found, ns names) {
	key, ok := q.languageKey(f.names)
	if !ok || f.entry != nil || f.err != nil {
		return
	}
	var other found
	if b.local != nil {
		v, _ := b.local.Load([]byte(key))
		l, _ := v.(*learned)
		if l == nil || len(l.variants) == 0 {
			return
		}
		v, _ = b.local.Load([]byte(l.variants[0]))
		if e, ok := v.(*entry); ok {
			other.take(e, b.seq, q.now)
		}
	} else {
		_, l := b.getAny(ctx, key, ns)
		if l == nil || len(l.variants) == 0 {
			return
		}
		other = b.get(ctx, l.variants[0], ns, wire.Response)
	}
	if e := other.entry; e != nil && q.contentWith(e) {
		f.entry, f.soft, f.why = e, other.soft, ""
	}
}

// languageKey returns the second key of the variant in e; false if it has none.
func (f *fill) languageKey(e *entry) (string, bool) {
	language := e.Field("Content-Language")
	if !f.rt.standard || !header.Token(language) || !slices.Contains(f.selecting, acceptLanguage) {
		return "", false
	}
	return string(appendLanguage(nil, []byte(f.base), f.selecting, f.req, language)), true
}

// keepLanguage keeps the second key of the variant in e.
func (f *fill) keepLanguage(ctx context.Context, e *entry, ttl time.Duration) error {
	key, ok := f.languageKey(e)
	if !ok {
		return nil
	}
	l := &learned{variants: []string{e.Key()}}
	l.Kind = wire.Index
	l.Sequence, l.Incarnation = f.number, f.incarnation
	now := time.Now()
	l.Born, l.Expires = now.UnixNano(), after(now, ttl)
	l.writeIndex(key, f.url, f.path)
	_, err := f.engine.store.keep(ctx, &l.entry, l, l.bytes(), ttl)
	return err
}
