package reprise

import (
	"context"
	"time"
)

// refresh begins a background load of w's key, unless one is under way, too many are, or the last ones failed. It has nothing of the
// call's context: whoever happens to find an old value lends it neither his rights nor his deadline.
func (f *Func[K, V]) refresh(w *want[K, V]) {
	e := f.engine
	now := time.Now()
	if s, ok := e.retries.get([]byte(w.at), now); ok && now.Before(s.next) {
		return
	}
	if e.refreshing.Add(1) > int64(e.config.Limits.Refreshes) || !e.begin() {
		e.refreshing.Add(-1)
		return
	}
	t, led := f.loads.Join(w.at, w.at, f.loads.Epoch([]byte(w.at)),
		func(*task[K, V]) bool { return true }, // whoever loads, refreshes
		func() *task[K, V] { return f.newRun(e.ctx, true).add(w) })
	if !led {
		e.refreshing.Add(-1)
		e.work.Done()
		return
	}
	go func() { // ends with the loader, whose context ends at FillTimeout or with the cache
		defer e.work.Done()
		defer e.refreshing.Add(-1)
		r := t.run
		stop := context.AfterFunc(e.ctx, func() { r.cancel(context.Cause(e.ctx)) })
		defer stop()
		defer f.refreshed(t) // also when the loader ends its goroutine
		r.call()
	}()
}

// refreshed takes note of how a background load ended.
func (f *Func[K, V]) refreshed(t *task[K, V]) {
	e := f.engine
	<-t.run.done // closed by FillTimeout, if not by the loader
	if t.err == nil {
		e.retries.forget(t.at)
	} else {
		now := time.Now()
		s, _ := e.retries.get([]byte(t.at), now)
		wait := min(retryFirst<<min(s.failures, 10), retryMost)
		e.retries.put(t.at, retryState{s.failures + 1, now.Add(wait)}, now.Add(wait+retryMost))
	}
	f.report(t.run.ctx, Refreshed, t.reason, t.result, t.at, t.err, t.run.began)
}
