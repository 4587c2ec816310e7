package reprise

import (
	"net/http"

	"github.com/reprise-go/reprise/internal/header"
)

// admit makes q a follower of f, unless an invalidation came between them: whoever asks after it must not get what
// was begun before.
func (f *fill) admit(q *query, found *found) (ok, crowded bool) {
	q.number = found.number
	if f.incarnation != found.incarnation || f.engine.store.raisedSince(q, found, f.number) {
		return false, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.phase == solo || f.phase == late || f.phase == broken || f.phase == cut || f.start > 0 {
		return false, false
	}
	if f.waiting+len(f.readers) >= f.engine.config.Limits.Followers {
		return false, true
	}
	f.waiting++
	return true, false
}

// follow waits for the answer of f and serves it. done is false where the request has to look for itself; failures then
// counts the handlers that have panicked.
func (q *query) follow(w http.ResponseWriter, f *fill) (done bool, failures int) {
	ctx := q.r.Context()
	f.mu.Lock()
	for {
		p := f.phase
		if f.selecting != nil && string(appendVariant(nil, q.key, f.selecting, q.r)) != f.variant {
			f.quit()
			return false, 0
		}
		if p != pending {
			break
		}
		change := f.change()
		f.mu.Unlock()
		select {
		case <-change:
			f.mu.Lock()
		case <-ctx.Done():
			f.mu.Lock()
			f.quit()
			q.fail(w, http.StatusGatewayTimeout, ReasonAbandoned)
			return true, 0
		}
	}
	p, e, kept := f.phase, f.entry, f.reason == ""
	var rd *reader
	if p == open || p == ended {
		if f.start == 0 {
			rd = &reader{}
			f.readers = append(f.readers, rd)
		} else {
			p = solo // its beginning is gone
		}
	}
	f.quit()

	switch p {
	case whole:
		if e == nil || f.outdated(q, e) {
			return false, 0
		}
		q.unkept = !kept
		q.serveStored(w, e, Collapsed)
		q.observe(Collapsed, "", e, nil)
	case open, ended:
		defer f.leave(rd)
		q.serveOpen(w, f, rd)
	case instead:
		q.serveStale(w, f.stale, ReasonInsteadOfError)
	case late:
		if f.stale != nil {
			q.serveStale(w, f.stale, ReasonInsteadOfLate)
		} else {
			q.fail(w, http.StatusGatewayTimeout, ReasonFillTimeout)
		}
	case broken:
		if f.attempt > 0 {
			q.fail(w, http.StatusInternalServerError, ReasonPanic)
			return true, 0
		}
		return false, 1
	default: // solo, cut
		return false, 0
	}
	return true, 0
}

// quit ends the wait of a follower. f.mu is held, and released.
func (f *fill) quit() {
	f.waiting--
	f.mu.Unlock()
	f.leave(&reader{}) // the last to leave may end the run
}

// outdated reports whether a tag of e was invalidated between the begin of the fill and the request.
func (f *fill) outdated(q *query, e *entry) bool {
	tagged := false
	e.Tags(func(string) bool { tagged = true; return false })
	return tagged && q.number > f.number && !f.engine.store.valid(q.r.Context(), e)
}

// serveOpen answers by a body that is still growing.
func (q *query) serveOpen(w http.ResponseWriter, f *fill, rd *reader) {
	h := w.Header()
	for name, lines := range f.response {
		if !header.HopByHop(name) {
			h[name] = append(h[name][:0:0], lines...)
		}
	}
	f.mu.Lock()
	kept := f.reason == ""
	f.mu.Unlock()
	rt := q.rt
	if name := rt.cache.statusHeader; name != "" && kept {
		h[name] = []string{rt.hitValue}
	}
	if !rt.noStatus {
		q.addStatus(h, forwarded{why: ReasonNotStored, collapsed: true}.member(rt.cacheName))
	}
	if kept && rt.clientCC != "" {
		h["Cache-Control"] = []string{rt.clientCC}
	}
	w.WriteHeader(f.status)
	err := f.copyTo(q.r.Context(), w, rd)
	q.observe(Collapsed, "", nil, err)
	if err != nil {
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
	if f.tail != nil {
		for name, lines := range f.tail {
			h[name] = lines
		}
	}
}
