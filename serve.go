package reprise

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/internal/rfc9111"
	"github.com/reprise-go/reprise/internal/wire"
)

// serveStored answers q by e: its fields, Age, what this cache has to say, and the body or as much of it as the client
// wants. outcome is Hit, Stale, Collapsed, Validated or Miss.
func (q *query) serveStored(w http.ResponseWriter, e *entry, outcome Outcome) {
	h := w.Header()
	if s := scopeOf(q.r.Context()); s != nil {
		s.madeOf(e, q.found.soft && e == q.found.entry)
	}
	notModified := q.precise && e.Status == http.StatusOK && q.notModified(e)
	age, ttl := q.told(e)
	clientCC := false
	// Who encodes on the way out, as a gzip middleware may, has another length.
	encoded := len(h) > 0 && h["Content-Encoding"] != nil
	for c := e.Fields(); c.Next(); {
		if notModified && describesBody(c.Name) || encoded && c.Name == "Content-Length" {
			for range c.Values {
				c.Value()
			}
			continue
		}
		switch c.Name {
		case "Cache-Control":
			clientCC = true
		case "Vary", "Set-Cookie", "Cache-Status":
			// An outer middleware may have lines of its own; these fields are lists.
			if outer := h[c.Name]; len(outer) > 0 {
				h[c.Name] = append(slices.Clip(outer), q.values(&c)...)
				continue
			}
		}
		h[c.Name] = q.values(&c)
	}

	if e.Flags&wire.Untyped != 0 {
		h["Content-Type"] = nil // so that net/http does not guess one
	}

	rt := q.rt
	text := &rt.cache.engine.text
	if outcome == Hit || outcome == Stale {
		h["Age"] = q.one(text.age.of(max(0, int64(age/time.Second)), "", ""))
	}
	if name := rt.cache.statusHeader; name != "" && q.unkept == "" {
		if outcome == Miss || outcome == Validated {
			h[name] = q.one(rt.missValue)
		} else {
			h[name] = q.one(rt.hitValue)
		}
	}
	if !rt.noStatus {
		q.addStatus(h, q.cacheStatus(outcome, ttl))
	}
	switch {
	case q.unkept != "": // for which the handler's own word holds
	case rt.clientCC != "":
		h["Cache-Control"] = q.one(rt.clientCC)
	case rt.clientTTL && !clientCC && ttl != Forever:
		h["Cache-Control"] = q.one(text.maxAge.of(max(0, seconds64(ttl)), "max-age=", ""))
	}

	switch {
	case notModified:
		w.WriteHeader(http.StatusNotModified)
	case q.head:
		w.WriteHeader(int(e.Status))
	case q.precise && e.Status == http.StatusOK && q.ranged(e):
		q.serveRange(w, h, e.Body)
	case q.spanned && e.Flags&wire.Partial != 0:
		q.servePart(w, h, e)
	default:
		w.WriteHeader(int(e.Status))
		if len(e.Body) > 0 {
			_, _ = w.Write(e.Body) // a client that left is no concern of the cache
		}
	}
}

// age returns the age of e and what is left of its lifetime; negative once it is stale, Forever if it has no end.
func (q *query) age(e *entry) (age, ttl time.Duration) {
	now := q.now.UnixNano()
	age = time.Duration(now - e.Born)
	if e.Expires == int64(Forever) {
		return age, Forever
	}
	return age, time.Duration(e.Expires - now)
}

// told is age as clients and observers are told it: of what was softly invalidated nothing is left.
func (q *query) told(e *entry) (age, ttl time.Duration) {
	age, ttl = q.age(e)
	if q.found.soft && e == q.found.entry {
		ttl = min(ttl, -time.Second)
	}
	return age, ttl
}

func seconds64(d time.Duration) int64 { return int64(d / time.Second) }

// one returns v as the lines of a field. The slices are cut from a chunk that is never used again, so that a hit
// allocates next to nothing and yet shares no slice with the stored response: an outer middleware may change it.
func (q *query) one(v string) []string { return q.chunk.one(v) }

// chunk is what one-line fields are cut from.
type chunk []string

const chunkSize = 512

func (c *chunk) one(v string) []string {
	n := len(*c)
	if n == cap(*c) {
		*c, n = make([]string, 0, chunkSize), 0
	}
	*c = append(*c, v)
	return (*c)[n : n+1 : n+1]
}

func (q *query) values(c *wire.Cursor) []string {
	if c.Values == 1 {
		return q.one(c.Value())
	}
	lines := make([]string, c.Values)
	for i := range lines {
		lines[i] = c.Value()
	}
	return lines
}

func (q *query) addStatus(h http.Header, member string) { addStatus(h, member, q.one) }

// addStatus adds this cache's member to Cache-Status, after those of caches nearer to the origin (RFC 9211 §2).
func addStatus(h http.Header, member string, line func(string) []string) {
	if lines, ok := h["Cache-Status"]; ok {
		h["Cache-Status"] = append(slices.Clip(lines), member)
		return
	}
	h["Cache-Status"] = line(member)
}

// cacheStatus returns this cache's member of Cache-Status for an answer from the store.
func (q *query) cacheStatus(outcome Outcome, ttl time.Duration) string {
	name, text := q.rt.cacheName, &q.rt.cache.engine.text
	switch outcome {
	case Hit, Stale:
		if ttl == Forever {
			return text.forever(name)
		}
		if ttl < 0 {
			ttl = min(ttl, -time.Second) // what has just become stale does not look fresh
		}
		return text.hit.of(seconds64(ttl), name, "; hit; ttl=")
	case Collapsed:
		return forwarded{why: ReasonNotStored, collapsed: true}.member(name)
	case Validated:
		return forwarded{why: q.why, status: http.StatusNotModified, stored: q.unkept == "", detail: q.unkept}.member(name)
	default:
		return forwarded{why: q.why, stored: true}.member(name)
	}
}

// statusName returns the name of the cache as a token or string of RFC 9651 §3.3.
func statusName(name string) string {
	token := name[0] == '*' || 'a' <= name[0]|0x20 && name[0]|0x20 <= 'z'
	for i := range len(name) {
		token = token && (name[i] == ':' || name[i] == '/' || isToken(name[i:i+1]))
	}
	if token {
		return name
	}
	b := []byte{'"'}
	for i := range len(name) {
		switch c := name[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c >= 0x7f:
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		default:
			b = append(b, c)
		}
	}
	return string(append(b, '"'))
}

// forwarded is what Cache-Status says of an answer that did not come from the store (RFC 9211 §2.2).
type forwarded struct {
	why       Reason
	detail    Reason
	stored    bool
	collapsed bool
	status    int // of the origin, where the client gets another
}

func (f forwarded) member(name string) string {
	var b strings.Builder
	b.Grow(96)
	b.WriteString(name)
	b.WriteString("; fwd=")
	b.WriteString(fwd(f.why))
	if f.status != 0 {
		b.WriteString("; fwd-status=")
		b.WriteString(strconv.Itoa(f.status))
	}
	if f.collapsed {
		b.WriteString("; collapsed")
	}
	if f.stored {
		b.WriteString("; stored")
	}
	detail := f.detail
	if detail == "" && string(f.why) != fwd(f.why) {
		detail = f.why
	}
	if detail != "" && string(detail) != fwd(f.why) {
		b.WriteString("; detail=")
		b.WriteString(string(detail))
	}
	return b.String()
}

// fwd maps a reason to one of the registered values (RFC 9211 §2.2).
func fwd(why Reason) string {
	switch why {
	case ReasonNotStored, ReasonVariant, ReasonExpired, ReasonMethod, ReasonPartial:
		return string(why)
	case ReasonRequestCC:
		return "request"
	case ReasonInvalidated, ReasonRecordBad, ReasonHead, "":
		return "uri-miss"
	case ReasonStoreFailed:
		return "miss" // whether anything is stored is not known
	}
	return "bypass"
}

// describesBody reports whether a field is about the body, which a 304 has not (RFC 9110 §15.4.5).
func describesBody(name string) bool {
	switch name {
	case "Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Range":
		return true
	}
	return false
}

func (e *entry) validators() rfc9111.Validators {
	return rfc9111.Validators{ETag: e.Field("Etag"), LastModified: e.Field("Last-Modified"), Date: e.Field("Date")}
}

func (q *query) notModified(e *entry) bool {
	h := q.r.Header
	if h["If-None-Match"] == nil && h["If-Modified-Since"] == nil {
		return false
	}
	return e.validators().NotModified(h)
}

// ranged reports whether the client gets a part of e (RFC 9110 §14.2): it asks for one, not for too many, and If-Range
// does not say otherwise.
func (q *query) ranged(e *entry) bool {
	h := q.r.Header
	if h["Range"] == nil || !q.fewRanges() {
		return false
	}
	return e.validators().IfRange(h)
}

func (q *query) fewRanges() bool {
	n := 0
	for range header.List(q.r.Header["Range"]) {
		n++
	}
	return n <= q.rt.cache.config.Limits.Ranges
}

// serveRange leaves the arithmetic of ranges to net/http.
func (q *query) serveRange(w http.ResponseWriter, h http.Header, body []byte) {
	delete(h, "Content-Length")
	r := &http.Request{Method: http.MethodGet, Header: http.Header{"Range": q.r.Header["Range"]}}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// texts are the strings of hits that change from second to second. They are made once and shared, so that a hit
// allocates none.
type texts struct {
	age, hit, maxAge, length numbers
	endless                  atomic.Pointer[string]
	second                   atomic.Pointer[numbered] // the Date of a second
}

// date returns the Date of a moment.
func (t *texts) date(now time.Time) string {
	p := t.second.Load()
	if p == nil || p.n != now.Unix() {
		p = &numbered{n: now.Unix(), text: now.UTC().Format(http.TimeFormat)}
		t.second.Store(p)
	}
	return p.text
}

// numbers is a table of strings that end in a number. Numbers that share a slot displace each other.
type numbers [1 << 12]atomic.Pointer[numbered]

type numbered struct {
	n    int64
	text string
}

// of returns a+b+n. Within one table a and b never change.
func (t *numbers) of(n int64, a, b string) string {
	p := t[uint64(n)%uint64(len(t))].Load() //nolint:gosec // a slot, not a number
	if p == nil || p.n != n {
		p = &numbered{n: n, text: a + b + strconv.FormatInt(n, 10)}
		t[uint64(n)%uint64(len(t))].Store(p) //nolint:gosec // a slot, not a number
	}
	return p.text
}

func (t *texts) forever(name string) string {
	if p := t.endless.Load(); p != nil {
		return *p
	}
	s := name + "; hit"
	t.endless.Store(&s)
	return s
}
