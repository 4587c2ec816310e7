package reprise

import (
	"context"
	"crypto/tls"
	"net/http"
	"time"
)

// A background refresh runs the handler for a stale entry while that is being served. It carries no user's credentials, has its
// own deadline, happens once per key, and waits longer after each failure.

const (
	retryFirst = time.Second // after the first failure; then twice as long each time
	retryMost  = time.Minute
)

// retryState says how often in a row the refresh of a key has failed.
type retryState struct {
	failures int
	next     time.Time
}

// refresh begins a background refresh of what was found, unless one is under way, too many are, or the last ones failed.
func (q *query) refresh(next http.Handler, found *found) {
	e := q.rt.cache.engine
	if q.r.Method != http.MethodGet && q.r.Method != http.MethodHead {
		return // its body is gone; the entry is refreshed once it may no longer be served
	}
	if s, ok := e.retries.get(q.key, q.now); ok && q.now.Before(s.next) {
		return
	}
	if e.refreshing.Add(1) > int64(e.config.Limits.Refreshes) {
		e.refreshing.Add(-1)
		return
	}
	if !e.begin() {
		e.refreshing.Add(-1)
		return
	}
	key := q.baseKey()
	if found.names != nil {
		key = string(appendVariant(nil, q.key, found.names, q.r))
	}
	f, led := e.fills.Join(q.baseKey(), key, e.fills.Epoch(q.key),
		func(*fill) bool { return true }, // whoever runs, refreshes
		func() *fill {
			f := q.prepare(next, found)
			f.key, f.stripped, f.background = key, true, true
			f.head, f.identified, f.why = false, "", ReasonExpired
			return f
		})
	if !led {
		e.refreshing.Add(-1)
		e.work.Done()
		return
	}
	f.open(detached{Context: e.ctx, request: q.r.Context()})
	detached := f.detach(q) // here, for what the request's context holds may be reused once it is answered
	go func() {             // ends with the handler, whose context ends at FillTimeout or with the cache
		defer e.work.Done()
		defer e.refreshing.Add(-1)
		var busy bool
		if f.lease, busy = e.store.tryAcquire(f.ctx, f.key, new(time.Duration)); busy {
			f.adopt(nil, nil) // another process refreshes it
			return
		}
		defer f.refreshed() // also after runtime.Goexit
		stop := context.AfterFunc(e.ctx, func() { f.cancel(context.Cause(e.ctx)) })
		defer stop()
		if !detached {
			f.next = http.HandlerFunc(aborted) // whoever follows takes over
		}
		f.asks = f.canAsk()
		f.run(nil, f.asking(f.req))
	}()
}

func aborted(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

// detach makes the request of a background refresh. It reports whether the route's Detach did its part.
func (f *fill) detach(q *query) (ok bool) {
	f.req = withoutCredentials(f.ctx, q.forwarded(f.ctx, true), f.rt)
	if f.rt.detach == nil {
		return true
	}
	defer f.recovered("Detach", &ok)
	ctx := f.rt.detach(q.r.Context(), detached{Context: f.engine.ctx, request: q.r.Context()})
	f.open(ctx)
	return true
}

// withoutCredentials returns a deep copy of r that belongs to no client.
func withoutCredentials(ctx context.Context, r *http.Request, rt *Route) *http.Request {
	r = r.Clone(ctx)
	r.Method = http.MethodGet
	r.Body = http.NoBody
	for _, name := range [...]string{"Authorization", "Proxy-Authorization", "Cache-Control", "Pragma"} {
		delete(r.Header, name)
	}
	if !rt.cookiesSet { // the named ones are in the key
		delete(r.Header, "Cookie")
	}
	if r.TLS != nil {
		// Of the connection nothing is left but that it was one by TLS.
		r.TLS = &tls.ConnectionState{Version: r.TLS.Version, ServerName: r.TLS.ServerName, HandshakeComplete: true}
	}
	return r
}

// refreshed takes note of how a background refresh ended.
func (f *fill) refreshed() {
	e := f.engine
	reason := f.verdict()
	if reason != "" {
		now := time.Now()
		s, _ := e.retries.get([]byte(f.base), now)
		wait := min(retryFirst<<min(s.failures, 10), retryMost)
		e.retries.put(f.base, retryState{s.failures + 1, now.Add(wait)}, now.Add(wait+retryMost))
	}
	e.report(context.WithoutCancel(f.ctx), Event{
		Outcome: Refreshed, Reason: reason, Method: http.MethodGet, Key: f.base, Status: f.recorder.status, Start: f.began,
	})
}
