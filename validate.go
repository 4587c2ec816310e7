package reprise

import (
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/reprise-go/reprise/internal/rfc9111"
	"github.com/reprise-go/reprise/internal/wire"
)

// Validation (RFC 9111 §4.3). The handler of a fill that follows a stored answer, which is no longer good enough, is asked
// whether that is still the current one: with the validators that the handler itself gave it, in place of what the client
// asked. If it says so, by 304, the stored answer is freshened and commits as the answer of any other fill does: with the number of the
// look-up, to those who follow, and refused after an invalidation. Any other answer is one of its own.

// What is Lasting is kept for as long as its lifetime was, within these bounds.
const (
	lastingLeast = 10 * time.Minute
	lastingMost  = 24 * time.Hour
)

// validatable reports whether the origin can be asked about an answer with these fields.
func (f *fill) validatable(status int, h http.Header) bool {
	if status != http.StatusOK || f.req.Method != http.MethodGet && f.req.Method != http.MethodHead {
		return false
	}
	v := validatorsOf(h)
	if f.recorder.ownTag {
		v.ETag = ""
	}
	return v.Usable()
}

// originValidators are those validators of e that came from the origin. A tag that the cache has made means nothing to it.
func (e *entry) originValidators() rfc9111.Validators {
	v := e.validators()
	if e.Flags&wire.OriginTag == 0 {
		v.ETag = ""
	}
	return v
}

// canAsk reports whether the handler can be asked about what is stored.
func (f *fill) canAsk() bool {
	return f.old != nil && f.old.Status == http.StatusOK && f.req.Method == http.MethodGet && f.old.originValidators().Usable()
}

// asking returns r with what f asks of the handler beside what the client does.
func (f *fill) asking(r *http.Request) *http.Request {
	if !f.asks && !f.completes && !f.part {
		return r
	}
	c := *r
	c.Header = r.Header.Clone()
	switch {
	case f.asks:
		f.old.originValidators().Conditional(c.Header)
	case f.completes:
		f.askRest(c.Header)
	default:
		c.Header["Range"] = []string{f.q.span.String()} // one spelling, for all who follow
	}
	return &c
}

// confirms reports whether the 304 that was recorded is about what is stored (§4.3.4).
func (f *fill) confirms(rec *recorder) bool {
	return f.old.originValidators().Selects(rec.own())
}

// askAgain makes rec a new one, after an answer that is about something else than what is stored: no client must get it. It returns the request
// without the conditions.
func (f *fill) askAgain(rec *recorder) *http.Request {
	clear(rec.head)
	rec.header = make(http.Header)
	maps.Copy(rec.header, rec.outer.Clone())
	rec.status, rec.n, rec.length, rec.noBody, rec.mode = 0, 0, -1, false, holding
	f.asks, f.completes = false, false
	if f.q != nil {
		return f.shown()
	}
	return f.req.WithContext(f.ctx)
}

// finishConfirmed freshens the stored answer, keeps it, and serves it to the first client by what that has asked.
func (rec *recorder) finishConfirmed() {
	f := rec.f
	if f.land() { // too late
		rec.mode = dropped
		return
	}
	e := f.freshen(rec)
	if rec.w == nil {
		rec.mode = dropped
		return
	}
	rec.mode = direct
	q := f.q
	f.answered = true
	q.now, q.why = time.Now(), f.why
	q.unkept = f.verdict()
	q.serveStored(rec.w, e, Validated)
	reason := q.why
	if q.unkept != "" {
		reason = q.unkept
	}
	q.observe(Validated, reason, e, nil)
}

// freshen makes the entry of a stored answer that a 304 has confirmed: with its body, and the fields that the 304 replaces
// (§3.2). It is kept if it still may be.
func (f *fill) freshen(rec *recorder) *entry {
	said := f.scope.close()
	own := rec.own()
	h := f.old.Header()
	rfc9111.Freshen(h, own)
	if own["Date"] == nil {
		delete(h, "Date") // RFC 9110 §6.6.1: that of its arrival takes its place
	}
	if age := own["Age"]; age != nil {
		h["Age"] = age // that of the 304; it is not kept
	}
	if len(f.rt.vary) > 0 {
		mergeVary(h, f.rt.vary)
	}
	f.old.Tags(func(tag string) bool { // what names it still does
		said.tags = append(slices.Clip(said.tags), tag)
		return true
	})
	rec.ownTag = f.old.Flags&wire.OriginTag == 0 && own["Etag"] == nil
	rec.become(f.old, h)

	var j judgement
	rec.resp = rfc9111.Parse(rec.status, h, f.rt.targeted)
	f.weigh(&j, h, rec.n, said)
	f.decide(j)
	f.learnSearch(rec.status, h)
	if j.shareable {
		f.conclude(rec, f.old.Body, said)
	} else {
		f.goAlone()
	}
	f.mu.Lock()
	e := f.entry
	f.mu.Unlock()
	if e == nil { // nobody else gets it
		e = f.entryOf(rec, f.old.Body)
	}
	return e
}

// become makes rec the record of a stored answer with other fields.
func (rec *recorder) become(e *entry, h http.Header) {
	clear(rec.head)
	maps.Copy(rec.head, h)
	rec.outer = nil // own fields only
	rec.status, rec.noBody, rec.frozen = int(e.Status), false, true
	rec.n, rec.length = int64(len(e.Body)), -1
}

// away reports whether an answer with that status means that the origin was not reached: from a gateway, which is what a handler
// of a Standard route is taken for. Then a stale answer needs no permission (§4.2.4).
func (rt *Route) away(status int) bool {
	return rt.standard && (status == http.StatusBadGateway || status == http.StatusGatewayTimeout)
}
