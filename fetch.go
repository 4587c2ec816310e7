package reprise

import (
	"context"
	"fmt"
	"time"

	"github.com/reprise-go/reprise/internal/flight"
	"github.com/reprise-go/reprise/internal/wire"
)

// fetch is a call that the first look-up did not answer: for one key, or for many.
type fetch[K, V any] struct {
	f     *Func[K, V]
	start time.Time
	force bool // Refresh: only a new load will do
	many  bool // GetMany: LoadMany runs where there is one

	runs []*run[K, V] // to be started
}

// want is one key of a fetch, and what has become of it.
type want[K, V any] struct {
	key    K
	at     string // the full key
	look   lookup[V]
	task   *task[K, V] // that it waits for
	led    bool        // it began that task
	early  bool        // that task began too early: only its end is waited for
	done   bool
	broken bool // it ends as its loader ended
	v      V
	err    error
}

// lookup is what the store said of a key.
type lookup[V any] struct {
	found
	res *result[V]
}

// miss is why there was a load, unless nothing was stored.
func (l *lookup[V]) miss() Reason {
	switch {
	case l.res != nil:
		return ReasonExpired
	case l.why == ReasonNotStored:
		return ""
	}
	return l.why
}

// patience is after how many look-ups a call no longer cares whether a load has ended since: on a busy cache one
// always has.
const patience = 3

// answer answers wants from the store, by loads that are under way, or by loads of its own.
func (x *fetch[K, V]) answer(ctx context.Context, wants []*want[K, V]) {
	f := x.f
	var broken *run[K, V]
	for try := 1; len(wants) > 0; try++ {
		epochs := make([]flight.Epoch, len(wants))
		for i, w := range wants {
			epochs[i] = f.loads.Epoch([]byte(w.at))
		}
		f.find(ctx, wants)
		for i, w := range wants {
			if x.serve(ctx, w) {
				continue
			}
			if err := ctx.Err(); err != nil {
				x.fail(ctx, w, err, ReasonAbandoned)
				continue
			}
			if try >= patience {
				epochs[i] = f.loads.Epoch([]byte(w.at))
			}
			x.join(ctx, w, epochs[i])
		}
		x.startRuns()
		again := wants[:0:0]
		for _, w := range wants {
			if w.task != nil {
				x.await(ctx, w)
			}
			switch {
			case w.broken:
				broken = w.task.run
			case !w.done:
				w.task = nil
				again = append(again, w)
			}
		}
		wants = again
	}
	if broken != nil {
		broken.rethrow()
	}
}

// serve answers w by what the look-up found, if that may be used.
func (x *fetch[K, V]) serve(ctx context.Context, w *want[K, V]) bool {
	r, soft := w.look.res, w.look.soft
	if r == nil || x.force || soft && filling(ctx) {
		return false
	}
	switch r.judge(soft, time.Now().UnixNano()) {
	case useFresh:
		x.deliver(ctx, w, r, Hit, "")
	case useAndLoad:
		x.f.refresh(w)
		x.deliver(ctx, w, r, Hit, "")
	case useStale:
		x.f.refresh(w)
		x.deliver(ctx, w, r, Stale, ReasonRefreshing)
	default:
		return false
	}
	return true
}

// filling reports whether an answer is being made of what ctx's function gets. What was softly invalidated must not
// become part of one that is then taken for new.
func filling(ctx context.Context) bool {
	for s := scopeOf(ctx); s != nil; s = s.outer {
		if s.isOpen() {
			return true
		}
	}
	return false
}

// join makes w wait for a load of its key that is under way, or for a new one. Neither comes to be where a load has ended since
// the look-up: another look-up may find its result.
func (x *fetch[K, V]) join(ctx context.Context, w *want[K, V], epoch flight.Epoch) {
	f := x.f
	var as admission
	w.task, w.led = f.loads.Join(w.at, w.at, epoch,
		func(t *task[K, V]) bool {
			if as = refused; !x.force {
				as = t.admit(&w.look, x.start)
			}
			if as == refused {
				t.displaced.Store(true) // who is not admitted loads anew
			}
			return as != refused
		},
		func() *task[K, V] {
			many := x.many && f.loadMany != nil
			if !many || len(x.runs) == 0 {
				r := f.newRun(ctx, false)
				r.many, r.force = many, x.force
				x.runs = append(x.runs, r)
			}
			return x.runs[len(x.runs)-1].add(w)
		})
	w.early = as == tooEarly
}

// loadsAtOnce is how many loaders a GetMany without LoadMany has running.
const loadsAtOnce = 16

// startRuns starts what join has begun.
func (x *fetch[K, V]) startRuns() {
	runs := x.runs
	x.runs = nil
	if len(runs) <= loadsAtOnce {
		for _, r := range runs {
			go r.call() // ends with the loader
		}
		return
	}
	waiting := make(chan *run[K, V], len(runs))
	for _, r := range runs {
		waiting <- r
	}
	for range loadsAtOnce {
		startNext(waiting)
	}
}

// startNext starts one of the runs that are waiting; when its loader is done, another one follows.
func startNext[K, V any](waiting chan *run[K, V]) {
	select {
	case r := <-waiting:
		go func() { // ends with the loader
			defer startNext(waiting)
			r.call()
		}()
	default:
	}
}

// await waits for the task of w, as long as ctx allows. w is not done after it if the answer was outdated when it came, or could
// not be known not to be.
func (x *fetch[K, V]) await(ctx context.Context, w *want[K, V]) {
	t, f := w.task, x.f
	r := t.run
	leave := r.leave
	if w.early {
		leave = func(bool) {} // the run does not know of w
	}
	if !w.led && r.calls(ctx) {
		leave(false)
		x.fail(ctx, w, fmt.Errorf("reprise: %s: the loader asks for the key that it loads", f.name), ReasonLoadError)
		return
	}
	select {
	case <-r.done:
	default:
		select {
		case <-r.done:
		case <-ctx.Done():
			leave(w.led)
			x.fail(ctx, w, ctx.Err(), ReasonAbandoned)
			return
		}
	}
	leave(false)

	switch {
	case w.early:
	case w.led && (r.exited || r.failure != nil && !x.spare(w)):
		w.done, w.broken = true, true
		AddTags(ctx, f.tags...) // as fail has it
		f.report(ctx, Failed, ReasonPanic, nil, w.at, t.err, x.start)
	case t.result == nil:
		if w.led && r.failure != nil {
			f.logPanic(r.failure) // its caller gets something else
		}
		x.fail(ctx, w, t.err, t.reason)
	case !w.led && f.outdated(ctx, t, w):
	case t.err != nil:
		AddTags(ctx, t.result.tags...)
		x.fail(ctx, w, t.err, ReasonLoadError)
	case !w.led:
		x.deliver(ctx, w, t.result, Collapsed, "")
	case t.reason != "":
		x.deliver(ctx, w, t.result, Pass, t.reason)
	default:
		x.deliver(ctx, w, t.result, Miss, w.look.miss())
	}
}

// calls reports whether ctx is one that r's loader was given: who waits for r there waits for himself.
func (r *run[K, V]) calls(ctx context.Context) bool {
	for s := scopeOf(ctx); s != nil; s = s.outer {
		if s == &r.scope {
			return true
		}
	}
	return false
}

// outdated reports whether a tag of t's result was invalidated between the look-up that led to t and that of w.
func (f *Func[K, V]) outdated(ctx context.Context, t *task[K, V], w *want[K, V]) bool {
	return len(t.result.tags) > 0 && w.look.number > t.number && !f.engine.store.valid(ctx, &t.result.entry)
}

// deliver gives w the value or the remembered error of r.
func (x *fetch[K, V]) deliver(ctx context.Context, w *want[K, V], r *result[V], o Outcome, reason Reason) {
	w.done = true
	AddTags(ctx, r.tags...)
	if w.err = r.err; r.err == nil {
		w.v = x.f.clone(r.v)
	}
	err := w.err
	if err == nil {
		err = w.look.err // of the store, or of what was stored
	}
	x.f.report(ctx, o, reason, r, w.at, err, x.start)
}

// spare reports whether w has a value that is better than an error.
func (x *fetch[K, V]) spare(w *want[K, V]) bool {
	r := w.look.res
	return r != nil && !x.force && r.insteadOfError(w.look.soft, time.Now().UnixNano())
}

// fail gives w an error, and with it the value that is better than an error, where there is one.
func (x *fetch[K, V]) fail(ctx context.Context, w *want[K, V], err error, reason Reason) {
	w.done, w.err = true, err
	AddTags(ctx, x.f.tags...) // what is made of the error goes with the function's results
	if !x.spare(w) {
		x.f.report(ctx, Failed, reason, nil, w.at, err, x.start)
		return
	}
	r := w.look.res
	if w.look.soft {
		// It was invalidated: what is made of it is not kept.
		for s := scopeOf(ctx); s != nil; s = s.outer {
			s.keepOut()
		}
	}
	AddTags(ctx, r.tags...)
	w.v = x.f.clone(r.v)
	w.err = &StaleError{Err: err, Age: time.Duration(time.Now().UnixNano() - r.Born)}
	instead := ReasonInsteadOfError
	if reason == ReasonFillTimeout {
		instead = ReasonInsteadOfLate
	}
	x.f.report(ctx, Stale, instead, r, w.at, err, x.start)
}

// report counts and reports one call.
func (f *Func[K, V]) report(ctx context.Context, o Outcome, reason Reason, r *result[V], at string, err error, start time.Time) {
	ev := Event{Outcome: o, Reason: reason, Name: f.name, Key: at, Start: start, Err: err}
	if r != nil {
		ev.Age, ev.TTL = r.age(start)
	}
	f.engine.report(ctx, ev)
}

// find looks up all of wants.
func (f *Func[K, V]) find(ctx context.Context, wants []*want[K, V]) {
	b := &f.engine.store
	if b.local != nil {
		now := time.Now()
		f.engine.horizon.start(now)
		for _, w := range wants {
			w.look = findLocal[V](b, w.at, now)
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, f.engine.config.Limits.StoreTimeout)
	defer cancel()
	if len(wants) > 1 && b.multi != nil {
		for len(wants) > 0 {
			n := min(len(wants), manyKeys)
			f.findMany(ctx, wants[:n])
			wants = wants[n:]
		}
		return
	}
	for _, w := range wants {
		var ns names
		eachName(w.at, "", "", ns.add)
		w.look = decodeValue[V](b.get(ctx, w.at, ns, wire.Value), f.codec, &f.ahead)
	}
}

func findLocal[V any](b *backend, at string, now time.Time) lookup[V] {
	look := lookup[V]{found: found{number: b.seq.Newest(), why: ReasonNotStored}}
	v, _ := b.local.Load([]byte(at))
	r, ok := v.(*result[V])
	if !ok {
		return look
	}
	look.take(&r.entry, b.seq, now)
	if look.entry != nil {
		look.res = r
	}
	return look
}

// decodeValue makes the value of what a store outside the process had. One that does not decode is a miss.
func decodeValue[V any](found found, codec Codec, a *ahead) lookup[V] {
	look := lookup[V]{found: found}
	if found.entry == nil {
		return look
	}
	r := new(result[V])
	if err := r.decode(found.entry, codec, a); err != nil {
		look.entry, look.why = nil, ReasonRecordBad
		look.err = fmt.Errorf("reprise: what is stored at %s: %w", found.entry.Key(), err)
		return look
	}
	look.res = r
	return look
}
