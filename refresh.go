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
	e, rt := q.rt.cache.engine, q.rt
	if q.r.Method != http.MethodGet && q.r.Method != http.MethodHead {
		return // its body is gone; the entry is refreshed once it may no longer be served
	}
	base := string(q.key)
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
	key := base
	if found.names != nil {
		key = string(appendVariant(nil, q.key, found.names, q.r))
	}
	epoch := e.fills.Epoch(q.key)
	f, led := e.fills.Join(base, key, epoch,
		func(*fill) bool { return true }, // whoever runs, refreshes
		func() *fill {
			f := q.newFill(next, found)
			f.key, f.stripped, f.head = key, true, false
			f.why, f.stale = ReasonExpired, found.entry
			f.q, f.background = nil, true
			ctx := context.Context(detached{Context: e.ctx, request: q.r.Context()})
			if rt.detach != nil {
				ctx = rt.detach(q.r.Context(), ctx)
			}
			f.req = withoutCredentials(q.forwarded(true), ctx, rt)
			f.open(ctx)
			return f
		})
	if !led {
		e.refreshing.Add(-1)
		e.work.Done()
		return
	}
	go func() { // ends with the handler, whose context ends at FillTimeout or with the cache
		defer e.work.Done()
		defer e.refreshing.Add(-1)
		stop := context.AfterFunc(e.ctx, func() { f.cancel(context.Cause(e.ctx)) })
		defer stop()
		f.run(nil, f.req)
		f.refreshed()
	}()
}

// withoutCredentials returns a deep copy of r that belongs to no client.
func withoutCredentials(r *http.Request, ctx context.Context, rt *Route) *http.Request {
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
	f.mu.Lock()
	reason := f.reason
	f.mu.Unlock()
	if reason == "" {
		e.retries.forget(f.base)
	} else {
		now := time.Now()
		s, _ := e.retries.get([]byte(f.base), now)
		wait := min(retryFirst<<min(s.failures, 10), retryMost)
		e.retries.put(f.base, retryState{s.failures + 1, now.Add(wait)}, now.Add(wait+retryMost))
	}
	e.report(f.ctx, Event{Outcome: Refreshed, Reason: reason, Method: http.MethodGet, Key: f.base, Status: f.recorder.status, Start: f.began})
}
