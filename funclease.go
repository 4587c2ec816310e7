package reprise

import (
	"context"
	"time"
)

// awaitLease waits until this process may call the loader, or another one has stored the value: then the run's task has
// it, and found is true. Loads for many keys and forced ones do not wait for other processes.
func (r *run[K, V]) awaitLease() (l *lease, found bool) {
	f := r.f
	b := &f.engine.store
	t := r.tasks[0]
	if b.local != nil {
		return nil, false
	}
	ctx := r.ctx
	if f.fillTimeout != Forever {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.fillTimeout)
		defer cancel()
	}
	alone := r.many || r.force
	if t.unread != nil {
		if r.scope.inCrowd(f.engine) {
			return nil, false
		}
		r.scope.crowded = b.crowd.enter(ctx, func() bool { return !alone && b.isBack(t.at, t.unread) })
		return nil, !r.scope.crowded && !alone && r.found(ctx)
	}
	if b.locker == nil || alone {
		return nil, false
	}
	var spent time.Duration // of the store's
	if r.background {       // whoever has the lease refreshes it
		l, busy := b.tryAcquire(r.ctx, t.at, &spent)
		if busy {
			t.result, t.reason = t.before, ReasonRefreshing
		}
		return l, busy
	}
	return b.acquire(ctx, t.at, &spent, func() bool { return r.found(ctx) })
}

// found looks again, and reports whether the run's task has its value.
func (r *run[K, V]) found(ctx context.Context) bool {
	t := r.tasks[0]
	w := &want[K, V]{key: t.key, at: t.at}
	r.f.find(ctx, []*want[K, V]{w})
	r.mu.Lock()
	t.number, t.incarnation = w.look.number, w.look.incarnation
	r.mu.Unlock()
	res := w.look.res
	if res == nil || w.look.soft || res.judge(false, time.Now().UnixNano()) != useFresh {
		return false
	}
	t.result, t.err = res, res.err
	return true
}

// dropLease gives the lease back. Where nothing was stored, other processes need not wait for it.
func (r *run[K, V]) dropLease(l *lease) {
	if l == nil {
		return
	}
	if t := r.tasks[0]; t.kept {
		l.release()
	} else {
		l.dismiss(t.at)
	}
}
