package reprise

import (
	"maps"
	"net/http"
	"time"

	"github.com/reprise-go/reprise/internal/rfc9111"
)

// admission says what a fill is to a request that wants the same.
type admission uint8

const (
	refused  admission = iota // no answer to it
	admitted                  // its answer; the request is a follower
	crowded                   // its answer, for too many already
	tooEarly                  // began before the request, and nobody can tell what was invalidated since
)

// admit makes q a follower of f, unless an invalidation came between them: whoever asks after it must not get what
// was begun before. A handler that has yet to start comes after whatever the request comes after.
func (f *fill) admit(q *query, found *found) admission {
	q.number = found.number
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.offers(q) {
		return refused
	}
	if !f.started.IsZero() && f.started.Before(q.start) {
		switch b := &f.engine.store; {
		case b.blind(found) && (f.phase == pending || f.phase == open):
			return tooEarly
		case b.blind(found):
			return refused
		case f.incarnation != found.incarnation, b.raisedSince(q, found, f.number):
			return refused
		}
		if f.entry != nil && !q.satisfies(f.entry) {
			found.entry = f.entry // it is as good as stored: what follows can ask about it
			return refused
		}
	}
	if f.waiting+len(f.readers) >= f.engine.config.Limits.Followers {
		return crowded
	}
	f.waiting++
	return admitted
}

// satisfies reports whether e, an answer that was there before the request came, may answer it without asking the handler.
func (q *query) satisfies(e *entry) bool {
	verdict, _ := q.reuse(e, false)
	return verdict != rfc9111.Validate
}

// outwait waits until f has ended, or the client has left. While the store cannot be read, requests for one key so
// share every second run, instead of running the handler each for itself.
func (q *query) outwait(f *fill) {
	f.mu.Lock()
	for f.phase == pending || f.phase == open {
		change := f.change()
		f.mu.Unlock()
		select {
		case <-change:
		case <-q.r.Context().Done():
			return
		}
		f.mu.Lock()
	}
	f.mu.Unlock()
}

// offers reports whether f still has an answer for q, as far as can be told. f.mu is held.
func (f *fill) offers(q *query) bool {
	switch f.phase {
	case pending, whole:
		return true
	case open, ended:
		// Its beginning may be forgotten. Its tags are not all known, so that any invalidation since it began may mean it.
		return f.start == 0 && q.number <= f.number
	default:
		return false
	}
}

// follow waits for the answer of f and serves it. done is false where the request has to look for itself; failures then
// counts the handlers that have panicked.
func (q *query) follow(w http.ResponseWriter, f *fill) (done bool, failures int) {
	p, rd := q.await(f)
	var status int
	switch p {
	case pending: // the client has left, or had a deadline of its own
		q.fail(w, http.StatusGatewayTimeout, ReasonAbandoned)
		return true, 0
	case whole:
		if f.entry == nil || f.outdated(q, f.entry) || q.lacks(f.entry) {
			return false, 0
		}
		status = int(f.entry.Status)
	case open, ended:
		if rd == nil {
			return false, 0
		}
		defer f.leave(rd)
		status = f.status
	case late:
		status = http.StatusGatewayTimeout
	case broken, cut:
		status = http.StatusInternalServerError
	default: // solo
		return false, 0
	}

	if status >= 500 {
		if e := q.insteadOfError(q.found.entry, q.found.soft, q.rt.away(status)); e != nil {
			reason := ReasonInsteadOfError
			if p == late {
				reason = ReasonInsteadOfLate
			}
			q.serveStale(w, e, reason)
			return true, 0
		}
	}
	switch p {
	case whole:
		q.serveWhole(w, f)
	case open, ended:
		q.serveOpen(w, f, rd)
	case late:
		q.fail(w, status, ReasonFillTimeout)
	default:
		if f.attempt == 0 {
			return false, 1
		}
		q.fail(w, status, ReasonPanic)
	}
	return true, 0
}

// await waits until f knows what becomes of q; pending means that the client did not wait so long, solo that the answer
// turns out to be another variant. Of a growing body it returns a reader, or nil if its beginning is gone.
func (q *query) await(f *fill) (phase, *reader) {
	left := q.r.Context().Done()
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.quit()
	for {
		if f.selecting != nil && string(appendVariant(nil, q.key, f.selecting, q.r)) != f.variant {
			return solo, nil
		}
		switch {
		case f.phase == pending:
		case f.phase == ended && f.entry != nil:
			return whole, nil
		case (f.phase == open || f.phase == ended) && f.offers(q):
			rd := &reader{}
			f.readers = append(f.readers, rd)
			return f.phase, rd
		default:
			return f.phase, nil
		}
		change := f.change()
		f.mu.Unlock()
		select {
		case <-change:
			f.mu.Lock()
		case <-left:
			f.mu.Lock()
			return pending, nil
		}
	}
}

// quit ends the wait of a follower. f.mu is held.
func (f *fill) quit() {
	f.waiting--
	f.moved()
	f.settle()
	f.endIfDeserted()
}

// outdated reports whether a tag of e was invalidated between the begin of the fill and the request.
func (f *fill) outdated(q *query, e *entry) bool {
	tagged := false
	e.Tags(func(string) bool { tagged = true; return false })
	return tagged && q.number > f.number && !f.engine.store.valid(q.r.Context(), e)
}

// serveWhole answers by what another request's handler wrote.
func (q *query) serveWhole(w http.ResponseWriter, f *fill) {
	q.unkept = f.verdict()
	q.now = time.Now()
	q.serveStored(w, f.entry, Collapsed)
	q.observe(Collapsed, "", f.entry, nil)
	if f.isShort() {
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
}

func (f *fill) isShort() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.short
}

// serveOpen answers by a body that is still growing.
func (q *query) serveOpen(w http.ResponseWriter, f *fill, rd *reader) {
	for s := scopeOf(q.r.Context()); s != nil; s = s.outer {
		s.keepOut() // what is made of it has its tags, which are not all known yet
	}
	h := w.Header()
	for name, lines := range f.response {
		if listed(name) {
			h[name] = append(h[name], lines...)
		} else {
			h[name] = append([]string(nil), lines...)
		}
	}
	kept := f.verdict() == ""
	rt := q.rt
	if name := rt.cache.statusHeader; name != "" && kept {
		h[name] = []string{rt.hitValue}
	}
	if !rt.noStatus {
		q.addStatus(h, forwarded{why: ReasonNotStored, collapsed: true}.member(rt.cacheName))
	}
	if kept {
		f.tellLifetime(h)
	}
	if f.status == http.StatusOK && q.precise && notModified(f.response, q) {
		maps.DeleteFunc(h, func(name string, _ []string) bool { return describesBody(name) })
		w.WriteHeader(http.StatusNotModified)
		q.observe(Collapsed, "", nil, nil)
		return
	}
	w.WriteHeader(f.status)
	err := f.copyTo(q.r.Context(), w, rd)
	q.observe(Collapsed, "", nil, err)
	if err != nil {
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
	for name, lines := range f.tail {
		h[name] = append([]string(nil), lines...)
	}
}
