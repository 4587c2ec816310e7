package reprise

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/internal/rfc9111"
	"github.com/reprise-go/reprise/internal/wire"
)

// Parts (RFC 9111 §3.3, §3.4), on Standard routes alone. A request for one range of what is not stored is shown to the
// handler with its range, and a 206 is kept as a part. Parts that touch, and share a strong validator, become one, and in the end the
// whole. A request for the whole of which the beginning is stored asks for the rest.

// partMark sets the fills of a range apart from those of the whole.
const partMark = "|~R:"

// planRange takes note of the one range that the request asks for.
func (q *query) planRange() {
	h := q.r.Header
	if !q.rt.standard || q.r.Method != http.MethodGet || h["Range"] == nil || h["If-None-Match"] != nil || h["If-Modified-Since"] != nil {
		return
	}
	q.span, q.spanned = header.ParseRange(h["Range"])
}

// wantsPart reports whether the handler is shown the range that the request asks for: nothing whole is stored, and the last such
// answer was not the whole.
func (q *query) wantsPart() bool {
	if e := q.found.entry; !q.spanned || e != nil && e.Flags&wire.Partial == 0 {
		return false
	}
	_, ignored := q.rt.cache.engine.wholes.get(q.key, q.now)
	return !ignored
}

// ignoresRange takes note that the handler, which was shown a range, gave the whole. It is not stored: what a handler makes of a range that is
// in no key must reach nobody else (I1). The next request asks for the whole.
func (f *fill) ignoresRange() {
	f.engine.wholes.put(f.base, struct{}{}, time.Now().Add(learnedFor))
}

// part returns what part of its representation e is.
func (e *entry) part() (rfc9111.Part, bool) {
	return rfc9111.PartOf([]string{e.Field("Content-Range")}, int64(len(e.Body)))
}

// lacks reports whether e is a part that does not hold what q asks for.
func (q *query) lacks(e *entry) bool {
	if e.Flags&wire.Partial == 0 {
		return false
	}
	if !q.spanned || !e.validators().IfRange(q.r.Header) {
		return true
	}
	p, ok := e.part()
	if ok {
		_, _, _, ok = p.Cut(q.span)
	}
	return !ok
}

// servePart answers by what of a part the client wants, which is not lacking.
func (q *query) servePart(w http.ResponseWriter, h http.Header, e *entry) {
	p, _ := e.part()
	from, to, cr, _ := p.Cut(q.span)
	h["Content-Range"] = q.one(cr.String())
	h["Content-Length"] = q.one(q.rt.cache.engine.text.length.of(to-from, "", ""))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(e.Body[from:to]) // a client that left is no concern of the cache
}

// appendSpan adds to the key of a fill what range the handler is asked for, and on what condition.
func (q *query) appendSpan(key string) string {
	b := append([]byte(key), partMark...)
	b = append(b, q.span.String()...)
	for _, l := range q.r.Header["If-Range"] {
		b = appendEscaped(append(b, '|'), l)
	}
	return string(b)
}

// canComplete reports whether what is stored is the beginning of what the fill is for.
func (f *fill) canComplete() bool {
	if f.old == nil || f.old.Flags&wire.Partial == 0 || f.part || f.req.Method != http.MethodGet {
		return false
	}
	p, ok := f.old.part()
	if ok {
		_, ok = p.Missing()
	}
	return ok
}

// askRest makes h ask for what is missing of what is stored. Without a strong validator the rest can be asked for, but not
// be joined: the handler is then asked once more, for the whole.
func (f *fill) askRest(h http.Header) {
	p, _ := f.old.part()
	missing, _ := p.Missing()
	h["Range"] = []string{missing.String()}
	delete(h, "If-Range")
	if v := f.old.validators().Strong(); v != "" {
		h["If-Range"] = []string{v}
	}
}

// rest takes the answer to a request for the rest. It reports whether that is dealt with: a 206 that continues what is stored has become
// the whole, and one that does not is not for the client.
func (rec *recorder) rest(status int) bool {
	f := rec.f
	switch status {
	case http.StatusPartialContent:
	case http.StatusRequestedRangeNotSatisfiable:
		rec.mode = astray
		return true
	default:
		return false
	}
	p, _ := f.old.part()
	cr, ok := header.ParseContentRange(rec.head["Content-Range"])
	joined, overlap, _, touches := p.Join(rfc9111.Part{ContentRange: cr, Size: cr.Last - cr.First + 1})
	if !ok || !touches || overlap > 0 || !joined.Whole() || !f.old.validators().Same(rec.head) {
		rec.mode = astray
		return true
	}
	f.completes = false
	for name, lines := range f.old.Header() { // §3.4: the new response's fields, beside those that it lacks
		if rec.head[name] == nil || !rfc9111.Replaceable(name) {
			rec.head[name] = lines
		}
	}
	delete(rec.head, "Content-Range")
	rec.status, rec.length = http.StatusOK, joined.Length
	rec.head["Content-Length"] = rec.line(strconv.FormatInt(joined.Length, 10))
	f.classify(rec)
	_, _ = rec.Write(f.old.Body) // what goes wrong with it goes wrong with what follows
	return true
}

// isPart reports whether the fields of a 206 say which part its body is.
func (rec *recorder) isPart() bool {
	_, ok := rfc9111.PartOf(rec.head["Content-Range"], rec.n)
	return ok
}

// joined makes of a 206 what is kept of it: a part, joined to the one that is stored where they touch, and the whole once that is
// there. h are its fields.
func (f *fill) joined(h http.Header, body []byte) ([]byte, int) {
	p, ok := rfc9111.PartOf(h["Content-Range"], int64(len(body)))
	if old := f.old; ok && old != nil && old.Flags&wire.Partial != 0 && old.validators().Same(h) {
		stored, _ := old.part()
		if j, overlap, swapped, ok := stored.Join(p); ok && j.Size <= f.rt.maxBody {
			first, then := old.Body, body
			if swapped {
				first, then = then, first
			}
			body, p = slices.Concat(first, then[overlap:]), j
			for name, lines := range old.Header() { // §3.4
				if h[name] == nil || !rfc9111.Replaceable(name) {
					h[name] = lines
				}
			}
			h["Content-Range"] = []string{p.String()}
		}
	}
	if ok && p.Whole() {
		delete(h, "Content-Range")
		return body, http.StatusOK
	}
	return body, http.StatusPartialContent
}
