package reprise

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/internal/flight"
	"github.com/reprise-go/reprise/internal/rfc9111"
	"github.com/reprise-go/reprise/internal/wire"
)

// serve answers r from the store, or by next.
func (rt *Route) serve(w http.ResponseWriter, r *http.Request, next http.Handler) {
	e := rt.cache.engine
	q := getQuery()
	q.now = time.Now()
	q.start = q.now
	if rt.perUser != nil {
		scopeOf(r.Context()).isOneUsers()
	}
	if rt.off || e.disabled.Load() || e.closed.Load() {
		q.rt, q.r = rt, r
		q.bypass(w, next, ReasonDisabled)
		q.release()
		return
	}
	if why := q.plan(rt, r); why != "" {
		q.bypass(w, next, why)
		q.release()
		return
	}
	var epoch flight.Epoch
	if e.store.local == nil {
		epoch = e.fills.Epoch(q.key)
	}
	q.found = e.store.find(q)
	if !q.serveFound(w, next) {
		q.forward(w, next, epoch)
	}
	q.release() // after a panic it is left to the garbage collector
}

// ServeStored answers r, a GET or HEAD, as a handler that rt wraps would, if a look into a store of this process is all that it takes:
// by a stored response that r may get as it is. Otherwise it writes nothing to w and reports false, also where the store is
// outside the process; then r is for the handler, for which the route's own functions run again.
//
// It is for a server that can answer such a request sooner than it can run a handler. The body comes in one Write, of bytes
// that never change and may be kept; of a range, as w is given it.
func (rt *Route) ServeStored(w http.ResponseWriter, r *http.Request) bool {
	e := rt.cache.engine
	if e.store.local == nil || rt.off || e.disabled.Load() || e.closed.Load() ||
		r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if rt.perUser != nil {
		scopeOf(r.Context()).isOneUsers()
	}
	q := getQuery()
	q.now = time.Now()
	q.start = q.now
	hit := false
	if q.plan(rt, r) == "" {
		q.found = e.store.find(q)
		e := q.found.entry
		if hit = e != nil && (q.identified == "" || q.mayHave(e)) && q.usableAsIs(e); hit {
			q.serveStored(w, e, Hit)
			q.observe(Hit, "", e, nil)
		}
	}
	q.release() // after a panic it is left to the garbage collector
	return hit
}

// usableAsIs reports whether e, which was found, is fresh and nothing has to be asked about it.
func (q *query) usableAsIs(e *entry) bool {
	return !q.directives && !q.found.soft && e.Flags&(wire.NoCache|wire.Partial) == 0 && q.now.UnixNano() < e.Expires
}

// serveFound answers by what the look-up found, if that may be used for this request.
func (q *query) serveFound(w http.ResponseWriter, next http.Handler) bool {
	found := &q.found
	e := found.entry
	if e == nil {
		q.why, q.failure = found.why, found.err
		return q.forbidden(w)
	}
	if q.identified != "" && !q.mayHave(e) {
		found.entry = nil
		q.why = q.identified
		return false
	}
	if q.usableAsIs(e) {
		q.serveStored(w, e, Hit)
		q.observe(Hit, "", e, nil)
		return true
	}
	if q.nested() {
		q.why = ReasonExpired
		return false
	}
	if q.lacks(e) {
		q.why = ReasonPartial
		return q.forbidden(w)
	}

	verdict, reason := q.reuse(e, found.soft)
	if verdict == rfc9111.WhileRevalidate && e.Flags&(wire.PerUser|wire.Identified) != 0 {
		verdict = rfc9111.Validate // nobody else's credentials can refresh it
	}
	switch verdict {
	case rfc9111.Fresh:
		q.serveStored(w, e, Hit)
		q.observe(Hit, "", e, nil)
	case rfc9111.StaleAllowed:
		q.serveStale(w, e, ReasonMaxStale)
	case rfc9111.WhileRevalidate:
		q.refresh(next, &q.found)
		q.serveStale(w, e, ReasonRefreshing)
	default:
		q.why = ReasonExpired
		if reason == rfc9111.RequestNoCache || reason == rfc9111.RequestMaxAge || reason == rfc9111.RequestMinFresh {
			q.why = ReasonRequestCC
		}
		return q.forbidden(w)
	}
	return true
}

// forbidden answers a request that forbids asking the handler (RFC 9111 §5.2.1.7). It reports false for any other.
func (q *query) forbidden(w http.ResponseWriter) bool {
	if q.directives && q.cc.OnlyIfCached {
		q.fail(w, http.StatusGatewayTimeout, ReasonOnlyIfCached)
		return true
	}
	return false
}

// mayHave reports whether an identified request may be answered by e, which others may have, too.
func (q *query) mayHave(e *entry) bool {
	if q.identified == ReasonAuthorization {
		return e.Flags&wire.Authorized != 0 // RFC 9111 §3.5
	}
	return e.Flags&wire.Shareable != 0
}

// stored is what the RFC's questions need of e.
func (q *query) stored(e *entry, soft bool) rfc9111.Stored {
	age, ttl := q.age(e)
	lifetime := Forever
	if ttl != Forever {
		lifetime = age + ttl
	}
	if soft && ttl > 0 {
		lifetime = age // stale since just now
	}
	return rfc9111.Stored{
		Age:            age,
		Lifetime:       lifetime,
		MustRevalidate: e.Flags&wire.MustRevalidate != 0,
		NoCache:        e.Flags&wire.NoCache != 0,
		StaleWhile:     e.StaleWhile.Duration(),
		StaleIf:        e.StaleIf.Duration(),
	}
}

func (q *query) reuse(e *entry, soft bool) (rfc9111.Verdict, rfc9111.Reason) {
	if q.directives {
		return rfc9111.Reuse(&q.cc, q.stored(e, soft))
	}
	return rfc9111.Reuse(nil, q.stored(e, soft))
}

// forward answers by running next, or by following who runs it already.
func (q *query) forward(w http.ResponseWriter, next http.Handler, epoch flight.Epoch) {
	e := q.rt.cache.engine
	if q.nested() {
		q.found.entry = nil // to whoever asks, an old answer would be a new one
		q.alone(w, next, ReasonNested)
		return
	}
	for attempt := 0; ; {
		key, joint := q.fillKey()
		if !joint {
			f := q.newFill(next, &q.found)
			f.attempt = attempt
			if q.own || q.precise {
				f.refuse(ReasonConditional) // the handler sees the client's preconditions and range
			}
			q.lead(w, f)
			return
		}
		if e.store.local != nil {
			// The first look-up took no note of fills; this one cannot miss what one of them has stored.
			epoch = e.fills.Epoch(q.key)
			q.found = e.store.find(q)
			if q.serveFound(w, next) {
				return
			}
			if again, _ := q.fillKey(); again != key {
				continue
			}
		}
		var as admission
		f, led := e.fills.Join(q.baseKey(), key, epoch,
			func(f *fill) bool { as = f.admit(q, &q.found); return as != refused },
			func() *fill {
				f := q.newFill(next, &q.found)
				f.key, f.attempt = key, attempt
				f.part, f.stripped = q.part, !q.part
				f.asks, f.completes = f.canAsk(), f.canComplete()
				return f
			})
		switch {
		case led:
			q.lead(w, f)
			return
		case f == nil: // a fill has ended since the look-up
		case as == tooEarly:
			q.outwait(f)
		case as == crowded:
			q.why = ReasonTooMany
			q.alone(w, next, ReasonTooMany)
			return
		default:
			done, failures := q.follow(w, f)
			if done {
				return
			}
			attempt = failures
		}
		if e.store.local == nil {
			epoch = e.fills.Epoch(q.key)
			q.found = e.store.find(q)
			if q.serveFound(w, next) {
				return
			}
		}
	}
}

// nested reports whether the handler of a fill asks for the answer that it is to make, as one does that is wrapped twice. Who
// waited for that fill would wait for himself, and what is stored is what the fill is to replace.
func (q *query) nested() bool {
	for s := scopeOf(q.r.Context()); s != nil; s = s.outer {
		if s.base == string(q.key) && s.cache.engine == q.rt.cache.engine && s.isOpen() {
			return true
		}
	}
	return false
}

// alone runs the handler for this request, and stores nothing.
func (q *query) alone(w http.ResponseWriter, next http.Handler, why Reason) {
	f := q.newFill(next, &q.found)
	f.refuse(why)
	q.lead(w, f)
}

// fillKey returns the key of the fill that the request may lead or follow; joint is false where it has to run the handler for
// itself: the last answer could not be shared, or only the handler can tell what this client is to get.
func (q *query) fillKey() (key string, joint bool) {
	e := q.rt.cache.engine
	if q.own || q.identified != "" && q.precise {
		return "", false
	}
	if q.found.names == nil && q.found.entry == nil {
		if l, ok := e.varies.get(q.key, q.now); ok {
			q.found.names = l.names
		}
	}
	key = q.baseKey()
	if q.found.names != nil {
		key = string(appendVariant(nil, q.key, q.found.names, q.r))
	}
	pass := q.key
	if q.identified != "" {
		key += identifiedMark(q.identified)
		pass = append(q.variant[:0], q.key...)
		pass = append(pass, identifiedMark(q.identified)...)
	}
	if q.head {
		key += "|~H"
	}
	if q.part = q.wantsPart(); q.part {
		key = q.appendSpan(key)
	}
	if _, ok := e.passes.get(pass, q.now); ok {
		return key, false
	}
	return key, true
}

// lead runs the handler.
func (q *query) lead(w http.ResponseWriter, f *fill) {
	if f.key != "" && !q.head && !q.directives && q.awaitOthers(f) {
		f.adopt(q.found.entry, q.found.names)
		q.now = time.Now()
		q.serveStored(w, q.found.entry, Hit)
		q.observe(Hit, "", q.found.entry, nil)
		return
	}
	if f.scope.crowded {
		defer f.engine.store.crowd.leave()
	}
	defer q.observeFill(f) // also after a panic
	f.run(w, f.shown())
}

// serveStale answers by e after its lifetime.
func (q *query) serveStale(w http.ResponseWriter, e *entry, reason Reason) {
	q.serveStored(w, e, Stale)
	q.observe(Stale, reason, e, nil)
}

// fail answers without the handler.
func (q *query) fail(w http.ResponseWriter, status int, reason Reason) {
	h := w.Header()
	if !q.rt.noStatus {
		q.addStatus(h, forwarded{why: q.why, detail: reason}.member(q.rt.cacheName))
	}
	text := http.StatusText(status) + "\n"
	h["Cache-Control"] = []string{"no-store"}
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	// http.Error states no length; a client that FillTimeout answers would wait for the end until the handler returns.
	h["Content-Length"] = []string{strconv.Itoa(len(text))}
	for _, name := range [...]string{"Content-Encoding", "Etag", "Last-Modified"} {
		delete(h, name)
	}
	w.WriteHeader(status)
	if !q.head {
		_, _ = io.WriteString(w, text)
	}
	q.observeStatus(Failed, reason, status)
}

// bypass runs next on the request as it came.
func (q *query) bypass(w http.ResponseWriter, next http.Handler, why Reason) {
	rt := q.rt
	q.why = why
	if len(rt.tags) > 0 {
		AddTags(q.r.Context(), rt.tags...)
	}
	if why == ReasonDisabled {
		next.ServeHTTP(w, q.withScope(w))
		q.observe(Bypass, why, nil, nil)
		return
	}
	if why == ReasonMethod && !rt.noPurge && rfc9111.Unsafe(q.r.Method) {
		q.write(w, next)
		return
	}
	if !rt.noStatus {
		q.addStatus(w.Header(), forwarded{why: why}.member(rt.cacheName))
	}
	next.ServeHTTP(w, q.withScope(w))
	q.observe(Bypass, why, nil, q.builder.err)
}

// withScope returns the request with what FromContext looks for.
func (q *query) withScope(w http.ResponseWriter) *http.Request {
	ctx := q.r.Context()
	outer := scopeOf(ctx)
	return q.r.WithContext(context.WithValue(ctx, scopeKey{}, &scope{cache: q.rt.cache, outer: outer, same: outer.isOf(w)}))
}

// awaitOthers waits until this process may run the handler, or somebody has stored the answer: then it is found.
func (q *query) awaitOthers(f *fill) (found bool) {
	b := &f.engine.store
	if b.local != nil {
		return false
	}
	ctx := f.ctx
	if d := q.rt.fillTimeout; d != Forever {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	look := func() bool {
		q.now = time.Now()
		q.found = b.find(q)
		f.renumber(&q.found)
		e := q.found.entry
		return e != nil && !q.found.soft && e.Flags&wire.NoCache == 0 && !q.lacks(e) && q.now.UnixNano() < e.Expires &&
			(q.identified == "" || q.mayHave(e))
	}
	if q.found.why == ReasonStoreFailed {
		if f.scope.inCrowd(f.engine) {
			return false
		}
		err := q.found.err
		f.scope.crowded = b.crowd.enter(ctx, func() bool { return b.isBack(f.key, err) })
		return !f.scope.crowded && look()
	}
	key := q.baseKey()
	if q.found.names != nil {
		key = string(appendVariant(nil, q.key, q.found.names, q.r))
	}
	ended := q.awaitWrite(ctx, key)
	if key, ok := q.languageKey(q.found.names); ok && !ended {
		ended = q.awaitWrite(ctx, key)
	}
	if ended && look() {
		return true
	}
	if b.locker == nil {
		return false
	}
	f.lease, found = b.acquire(ctx, f.key, &q.asking, look)
	return found
}

// awaitWrite waits for a write at key that is under way, as long as three quarters of what is left to the store before this
// answer: the rest is for the look-up that follows. It reports whether there was one that has ended since the look-up before.
func (q *query) awaitWrite(ctx context.Context, key string) (ended bool) {
	e := q.rt.cache.engine
	began := time.Now()
	ctx, cancel := context.WithDeadline(ctx, began.Add((e.config.Limits.StoreTimeout-q.asking)*3/4))
	defer cancel()
	ended = e.pending.wait(ctx, key, q.now)
	q.asking += time.Since(began)
	return ended
}
