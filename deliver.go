package reprise

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/internal/rfc9111"
)

// finish is called when the handler has returned.
func (rec *recorder) finish() {
	if rec.mode == taken {
		return
	}
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	switch rec.mode {
	case holding:
		rec.finishWhole()
	case confirmed:
		rec.finishConfirmed()
	case sharing:
		rec.f.finishBody(rec)
	case direct:
		maps.Copy(rec.w.Header(), rec.tail())
		if rec.f.writes { // once more, for what the handler did after its answer had left
			rec.f.invalidateWritten(rec, nil)
		}
	}
}

// release lets go of what was held back, because the handler flushed or wrote a lot. From here on the answer is on its
// way, and cannot get an entity tag any more. next is what comes after the held bytes.
func (rec *recorder) release(next []byte) {
	f := rec.f
	rec.sniff(next)
	if !rec.noBody && needsType(rec.head) {
		rec.head["Content-Type"] = nil // flushed before the body, it goes without: net/http shall not guess later
	}
	if f.writes {
		f.invalidateWritten(rec, nil)
	}
	if !f.claim() {
		rec.drop()
		return
	}
	stale := f.spare(rec.status)
	shared := f.shareable && f.joinable()
	switch {
	case rec.w == nil:
	case stale != nil:
		defer rec.instead(rec.w, stale)
		rec.w = nil
	case rec.precondition():
		rec.w = nil
	}
	switch {
	case shared:
		rec.mode = sharing
		f.publish(rec)
		if rec.w != nil {
			rec.pump = f.startPump(rec)
		}
	case rec.w == nil:
		rec.drop()
	default:
		rec.mode = direct
		rec.sendHead(nil)
		if b := rec.heldBytes(); len(b) > 0 && !f.head {
			_, _ = rec.w.Write(b)
		}
		rec.putHeld()
	}
}

// joinable reports whether others may follow, or the store may get the answer.
func (f *fill) joinable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.phase == pending && (f.key != "" || f.refused() == "")
}

func (rec *recorder) drop() {
	rec.mode = dropped
	rec.putHeld()
}

// finishWhole delivers an answer that was held back to its end.
func (rec *recorder) finishWhole() {
	f := rec.f
	defer rec.putHeld()
	rec.sniff(nil)
	body := rec.heldBytes()
	var posted *fill
	if f.writes {
		if posted = f.posted(rec, body); !f.invalidateWritten(rec, posted) {
			posted = nil
		}
	}
	if f.land() { // too late
		rec.mode = dropped
		return
	}
	stale := f.spare(rec.status)
	f.complete(rec, body)
	switch {
	case posted != nil:
		posted.complete(&posted.recorder, body)
	case f.head && f.stripped:
		f.updateByHead(rec)
	}
	if rec.w == nil {
		rec.mode = dropped
		return
	}
	rec.mode = direct
	full := (f.stripped || f.part) && rec.status == http.StatusOK && rec.exact()
	switch {
	case stale != nil:
		rec.instead(rec.w, stale)
	case full && rec.precondition():
	case full && !f.head && ranged(rec.head, f.q):
		h := rec.w.Header()
		rec.apply(h, rec.head)
		f.decorate(h)
		f.q.serveRange(rec.w, h, body)
	default:
		rec.sendHead(body)
		if len(body) > 0 && !f.head {
			_, _ = rec.w.Write(body)
		}
		maps.Copy(rec.w.Header(), rec.tail())
	}
}

// exact reports whether the handler wrote what it had declared.
func (rec *recorder) exact() bool {
	return rec.noBody || rec.f.head || rec.length < 0 || rec.length == rec.n
}

// drain waits until the first client has got what is shared, and passes on what a foreign ResponseWriter panicked with.
func (rec *recorder) drain() {
	p := rec.pump
	if p == nil {
		return
	}
	<-p.done
	switch {
	case p.failure != nil:
		panic(p.failure)
	case errors.Is(p.err, errLagging):
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
	maps.Copy(rec.w.Header(), rec.tail())
}

// instead serves stale in the place of an error.
func (rec *recorder) instead(w http.ResponseWriter, stale *entry) {
	rec.f.answered = true
	rec.f.q.serveStale(w, stale, ReasonInsteadOfError)
}

// precondition answers a conditional request by 304 where the handler, which was not shown the condition, answered in full.
func (rec *recorder) precondition() bool {
	f := rec.f
	if !f.stripped || rec.status != http.StatusOK || !notModified(rec.head, f.q) {
		return false
	}
	h := rec.w.Header()
	rec.apply(h, rec.head.Clone())
	for name := range h {
		if describesBody(name) {
			delete(h, name)
		}
	}
	f.decorate(h)
	rec.w.WriteHeader(http.StatusNotModified)
	return true
}

// sendHead writes the status and fields to the client; whole is the body where it is known.
func (rec *recorder) sendHead(whole []byte) {
	rec.setHead(whole)
	rec.w.WriteHeader(rec.status)
}

func (rec *recorder) setHead(whole []byte) {
	head := rec.head
	if rec.mode == sharing {
		head = head.Clone() // an outer middleware may change what it is given, and others read on
	}
	h := rec.w.Header()
	rec.apply(h, head)
	rec.f.decorate(h)
	if len(whole) > 0 && rec.length < 0 && h["Content-Length"] == nil && rec.outer["Content-Encoding"] == nil && !rec.noBody && h["Transfer-Encoding"] == nil && h["Trailer"] == nil {
		h["Content-Length"] = []string{strconv.Itoa(len(whole))}
	}
}

// apply makes h, the client's fields, what the handler made of them.
func (rec *recorder) apply(h, handlers http.Header) {
	for name, lines := range handlers {
		if outer, ok := rec.outer[name]; !ok || !slices.Equal(outer, lines) {
			h[name] = lines
		}
	}
	for name := range rec.outer {
		if _, ok := handlers[name]; !ok {
			delete(h, name)
		}
	}
}

// stored returns the fields that may be stored: own without what Clean takes away. It may be head itself.
func (rec *recorder) stored(cc header.CacheControl) http.Header {
	if rec.outer == nil && len(cc.NoCacheFields)+len(cc.PrivateFields) == 0 && clean(rec.head) {
		return rec.head
	}
	h := rec.own()
	rfc9111.Clean(h, cc)
	return h
}

// clean reports whether h holds nothing but what may be stored.
func clean(h http.Header) bool {
	for name := range h {
		if name == "Age" || header.HopByHop(name) || strings.HasPrefix(name, http.TrailerPrefix) || http.CanonicalHeaderKey(name) != name {
			return false
		}
	}
	return true
}

// own returns the fields of head that are the handler's, not an outer middleware's: those are set anew for each client.
func (rec *recorder) own() http.Header {
	h := maps.Clone(rec.head)
	for name, lines := range rec.outer {
		switch {
		case slices.Equal(h[name], lines):
			delete(h, name)
		case listed(name) && len(h[name]) > len(lines) && slices.Equal(h[name][:len(lines)], lines):
			h[name] = h[name][len(lines):] // the handler added to them, as serveStored will
		}
	}
	return h
}

// listed reports whether lines of that field that an outer middleware has set stay beside those of a stored response.
func listed(name string) bool {
	return name == "Vary" || name == "Set-Cookie" || name == "Cache-Status"
}

// shared returns the fields for those who follow the growing body: a copy, for the first client's may be changed.
func (rec *recorder) shared() http.Header {
	h := rec.own()
	nominated := slices.Collect(header.Nominated(h))
	cc := rec.f.rt.keeps(rec.resp.CC)
	for name := range h {
		if header.HopByHop(name) && name != "Trailer" || slices.Contains(nominated, name) || slices.Contains(cc.NoCacheFields, name) ||
			slices.Contains(cc.PrivateFields, name) {
			delete(h, name)
		}
	}
	return h.Clone()
}

// tail returns what the handler said after the body: fields that it announced, and those with http.TrailerPrefix.
func (rec *recorder) tail() http.Header {
	if rec.head["Trailer"] == nil && !hasTrailers(rec.header) {
		return nil
	}
	t := make(http.Header)
	for name := range header.List(rec.head["Trailer"]) {
		name = http.CanonicalHeaderKey(name)
		if lines, ok := rec.header[name]; ok {
			t[name] = slices.Clone(lines)
		}
	}
	for name, lines := range rec.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			t[name] = slices.Clone(lines)
		}
	}
	return t
}

func hasTrailers(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// sniffBytes is what http.DetectContentType looks at.
const sniffBytes = 512

// sniff sets the Content-Type as net/http would, from the bytes that are held and those that come next.
func (rec *recorder) sniff(next []byte) {
	if rec.noBody || !needsType(rec.head) {
		return
	}
	b := rec.heldBytes()
	if len(b) < sniffBytes && len(next) > 0 {
		b = append(slices.Clip(b), next[:min(len(next), sniffBytes-len(b))]...)
	}
	if len(b) > 0 {
		rec.head["Content-Type"] = []string{http.DetectContentType(b)}
	}
}

func needsType(h http.Header) bool {
	_, typed := h["Content-Type"]
	return !typed && header.First(h, "Content-Encoding") == "" && h["Transfer-Encoding"] == nil
}

func notModified(h http.Header, q *query) bool {
	req := q.r.Header
	return (req["If-None-Match"] != nil || req["If-Modified-Since"] != nil) && validatorsOf(h).NotModified(req)
}

func ranged(h http.Header, q *query) bool {
	return q.r.Header["Range"] != nil && q.fewRanges() && validatorsOf(h).IfRange(q.r.Header)
}

func validatorsOf(h http.Header) rfc9111.Validators {
	return rfc9111.Validators{ETag: header.First(h, "Etag"), LastModified: header.First(h, "Last-Modified"), Date: header.First(h, "Date")}
}
