package reprise

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/internal/wire"
)

// run is one call of a loader: for one key, or for all that a GetMany misses. It has a goroutine and a context of its
// own, so that everybody who waits for it can leave when his own context ends, the caller that began it too. When nobody
// waits any more its context ends.
type run[K, V any] struct {
	f          *Func[K, V]
	many       bool // by the LoadMany function
	background bool // nobody need wait
	force      bool // what is stored will not do
	began      time.Time
	values     fillValues
	scope      scope
	ctx        context.Context
	cancel     context.CancelCauseFunc
	timer      *time.Timer

	mu      sync.Mutex
	tasks   []*task[K, V] // complete when the run starts
	started time.Time     // when the loader was called; zero before
	waiting int
	orphan  bool // the call that began it does not wait any more, and so cannot panic
	over    bool // what the tasks say counts; what comes later does not
	ended   bool // nobody can join: it is too late, or everybody has left

	done    chan struct{} // closed when the tasks can be read
	failure *PanicError
	exited  bool // the loader ended its goroutine
}

// task is the load of one key within a run.
type task[K, V any] struct {
	run *run[K, V]
	key K
	at  string // the full key

	number, incarnation uint64 // the store's at the look-up
	unread              error  // why the look-up could not read the store

	// displaced is set when a later load has taken the key: that one's value is the newer.
	displaced atomic.Bool

	before *result[V] // what the look-up found, usable or not
	soft   bool       // it was softly invalidated

	// From here on set before run.done is closed.
	result *result[V] // also of an error, for its tags; nil if the loader did not return
	err    error
	reason Reason // why it is not stored
	late   bool   // FillTimeout
	kept   bool   // in the store
	bytes  int64
}

var (
	errNoWaiters = errors.New("reprise: nobody waits for the loader any more")
	errExited    = errors.New("reprise: the loader ended its goroutine")
)

// newRun makes a run whose context has the values of parent and not its end.
func (f *Func[K, V]) newRun(parent context.Context, background bool) *run[K, V] {
	r := &run[K, V]{f: f, background: background, orphan: background, began: time.Now(), done: make(chan struct{})}
	r.scope = scope{cache: f.cache, open: true, outer: scopeOf(parent)}
	r.values = fillValues{Context: parent, scope: &r.scope}
	r.ctx, r.cancel = context.WithCancelCause(&r.values)
	return r
}

// add gives r the load of what w wants, and w's call one more thing to wait for.
func (r *run[K, V]) add(w *want[K, V]) *task[K, V] {
	t := &task[K, V]{
		run: r, key: w.key, at: w.at,
		number: w.look.number, incarnation: w.look.incarnation, before: w.look.res, soft: w.look.soft,
	}
	if w.look.why == ReasonStoreFailed {
		t.unread = w.look.err
	}
	r.mu.Lock()
	r.tasks = append(r.tasks, t)
	r.waiting++
	r.mu.Unlock()
	return t
}

// admit makes who has looked up look, in a call that began at start, a follower of t, unless an invalidation came
// between them: whoever asks after it must not get what was begun before. While nobody can tell, he may have what was begun
// after he asked.
func (t *task[K, V]) admit(look *lookup[V], start time.Time) admission {
	r := t.run
	r.mu.Lock()
	defer r.mu.Unlock()
	early := !r.started.IsZero() && r.started.Before(start)
	switch blind := r.f.engine.store.blind(&look.found); {
	case r.ended, blind && early && r.over:
		return refused
	case blind && early:
		return tooEarly
	case blind:
	case t.incarnation != look.incarnation, r.f.raisedSince(t, look):
		return refused
	}
	r.waiting++
	return admitted
}

func (f *Func[K, V]) raisedSince(t *task[K, V], look *lookup[V]) bool {
	b := &f.engine.store
	if b.numbers != nil {
		return look.raised > t.number
	}
	if b.seq.Newest() <= t.number {
		return false
	}
	return !eachName(t.at, "", "", func(kind byte, name string) bool { return b.seq.Mark(kind, name) <= t.number })
}

// leave takes note that somebody no longer waits; led says that it is the call that began the run.
func (r *run[K, V]) leave(led bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
	r.orphan = r.orphan || led
	if r.waiting == 0 && !r.background && !r.over {
		r.ended = true
		r.cancel(errNoWaiters)
	}
}

// claim makes what the loader returned count, unless FillTimeout was faster.
func (r *run[K, V]) claim() bool {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return false
	}
	r.over = true
	return true
}

// tooLate is FillTimeout: who waits gets something else, and what the loader still returns is dropped.
func (r *run[K, V]) tooLate() {
	r.mu.Lock()
	if r.over {
		r.mu.Unlock()
		return
	}
	r.over, r.ended = true, true
	r.mu.Unlock()
	for _, t := range r.tasks {
		t.err, t.reason, t.late = fmt.Errorf("reprise: %s: %w", r.f.name, ErrFillTimeout), ReasonFillTimeout, true
	}
	close(r.done)
	r.cancel(ErrFillTimeout)
	r.end()
}

// end lets nobody join any more.
func (r *run[K, V]) end() {
	for _, t := range r.tasks {
		r.f.loads.End(t.at, t.at, t)
	}
}

// call calls the loader and gives everybody what it returns. It has a goroutine of its own, which ends with the loader
// and the writes that follow it.
func (r *run[K, V]) call() {
	e := r.f.engine
	e.running.Add(1)
	defer e.running.Add(-1)
	if d := r.f.fillTimeout; d != Forever {
		r.timer = time.AfterFunc(d, r.tooLate)
	}
	returned := false
	defer func() {
		if !returned { // a panic, or runtime.Goexit: nobody may wait for what never comes
			r.fail(recover())
		}
	}()
	l, found := r.awaitLease()
	defer r.dropLease(l)
	if found {
		returned = true
		r.scope.close()
		if r.claim() {
			close(r.done)
			r.cancel(nil)
			r.end()
		}
		return
	}
	r.mu.Lock()
	r.started = time.Now()
	r.mu.Unlock()
	answers := r.loadInTurn()
	returned = true
	said := r.scope.close()
	if !r.claim() {
		return
	}
	for i, t := range r.tasks {
		t.settle(answers[i], said)
	}
	if e.store.local != nil {
		r.store(nil)
	}
	close(r.done)
	r.cancel(nil)
	if e.store.local == nil {
		// Those who wait have their values. Until the store has them too, the next ones join.
		r.store(l)
	}
	r.end()
}

// answer is what a loader says of one key.
type answer[V any] struct {
	v   V
	err error
}

// loadInTurn is load, and then leaves the crowd.
func (r *run[K, V]) loadInTurn() []answer[V] {
	if r.scope.crowded {
		defer r.f.engine.store.crowd.leave()
	}
	return r.load()
}

// load calls the loader and returns an answer for each task.
func (r *run[K, V]) load() []answer[V] {
	if !r.many {
		v, err := r.f.load(r.ctx, r.tasks[0].key)
		return []answer[V]{{v, err}}
	}
	keys := make([]K, len(r.tasks))
	for i, t := range r.tasks {
		keys[i] = t.key
	}
	return r.f.ask(r.ctx, keys)
}

// ask calls the LoadMany function and returns an answer for each key.
func (f *Func[K, V]) ask(ctx context.Context, keys []K) []answer[V] {
	value, err := f.loadMany(ctx, slices.Clone(keys))
	if err == nil {
		err = ErrNotLoaded
	}
	many, apart := err.(*ManyError) //nolint:errorlint // a wrapped one may be about other keys
	apart = apart && len(many.Errs) == len(keys)
	answers := make([]answer[V], len(keys))
	for i, key := range keys {
		v, ok := value(key)
		switch {
		case apart && many.Errs[i] != nil:
			answers[i].err = many.Errs[i]
		case ok:
			answers[i].v = v
		case apart:
			answers[i].err = ErrNotLoaded
		default:
			answers[i].err = err
		}
	}
	return answers
}

// fail ends a run whose loader did not return: it panicked with failure or, if that is nil, ended its goroutine.
func (r *run[K, V]) fail(failure any) {
	p := &PanicError{Value: failure, Stack: debug.Stack()}
	r.scope.close()
	claimed := r.claim()
	if claimed {
		for _, t := range r.tasks {
			t.err, t.reason = p, ReasonPanic
			if failure == nil {
				t.err = fmt.Errorf("reprise: %s: %w", r.f.name, errExited)
			}
		}
		if failure != nil {
			r.failure = p
		}
		r.exited = failure == nil
		close(r.done)
	}
	r.cancel(nil)
	r.end()
	r.mu.Lock()
	orphan := r.orphan || !claimed
	r.mu.Unlock()
	if orphan && failure != nil {
		r.f.logPanic(p) // nobody is there to panic with it
	}
}

func (f *Func[K, V]) logPanic(p *PanicError) {
	if f.loaderPanics.again() {
		f.engine.log.Error("reprise: a loader panicked", "func", f.name, "panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
	}
}

// rethrow ends the call that began r as the loader ended.
func (r *run[K, V]) rethrow() {
	if r.exited {
		runtime.Goexit()
	}
	if r.failure.Value == http.ErrAbortHandler { //nolint:errorlint // the value itself, as net/http compares it
		panic(http.ErrAbortHandler)
	}
	panic(r.failure)
}

// settle makes the result of what the loader returned, and says whether it is to be stored.
func (t *task[K, V]) settle(a answer[V], s said) {
	f, err := t.run.f, a.err
	now := time.Now()
	tags, reason := f.tagsWith(s.tags)
	ttl := f.ttl
	if s.ttlSet {
		ttl = s.ttl
	}
	if err != nil {
		ttl = f.errorTTL
	}
	res := newResult[V](t.at, tags, now, jittered(ttl, f.jitter, t.at))
	res.Sequence, res.Incarnation = t.number, t.incarnation
	if err == nil {
		res.v = a.v
		res.StaleWhile, res.StaleIf = wire.WindowOf(f.staleWhile), wire.WindowOf(f.staleIf)
	} else {
		if _, ok := err.(*StaleError); ok { //nolint:errorlint // wrapped, callers do not take it for one of this function, which has a value
			err = fmt.Errorf("reprise: %s: %w", f.name, err)
		}
		res.err = err
		res.Flags |= wire.ErrorValue
	}
	res.label(&f.ahead)
	switch {
	case err != nil && !t.memorable(err, now):
		reason = ReasonLoadError
	case s.noStore || ttl <= 0:
		reason = ReasonFromInside
	case reason != "":
	case t.displaced.Load():
		reason = ReasonLateFill
	case err == nil && f.skipValue != nil:
		reason = f.skipped(a.v)
	}
	if reason == "" {
		t.bytes, reason = f.measure(res)
	}
	t.result, t.err, t.reason = res, err, reason
}

// memorable reports whether err is remembered: if the function says so, and unless it stems from the caller or would
// replace a value that is better than an error.
func (t *task[K, V]) memorable(err error, now time.Time) bool {
	if t.run.f.errorTTL == 0 || t.run.ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return false
	}
	old, at := t.before, now.UnixNano()
	return old == nil || old.err != nil || old.judge(t.soft, at) == useNot && !old.insteadOfError(t.soft, at)
}

// skipped asks SkipValue.
func (f *Func[K, V]) skipped(v V) (reason Reason) {
	defer f.recovered("SkipValue", &reason)
	if f.skipValue(v) {
		return ReasonPredicate
	}
	return ""
}

// measure prepares r for the store: its size in memory, or its encoded form.
func (f *Func[K, V]) measure(r *result[V]) (bytes int64, reason Reason) {
	switch {
	case f.engine.store.local != nil && r.err != nil:
		return r.bytes() + int64(len(r.err.Error())), ""
	case f.engine.store.local != nil:
		defer f.recovered("SizeOf", &reason)
		return r.bytes() + max(0, f.sizeOf(r.v)), ""
	case r.err != nil:
		r.Body = []byte(r.err.Error())
		return 0, ""
	}
	return 0, f.encode(r)
}

// encode makes the value the body of the record.
func (f *Func[K, V]) encode(r *result[V]) (reason Reason) {
	defer f.recovered("UseCodec", &reason)
	body, err := f.codec.Append(nil, r.v)
	if err != nil {
		if f.warned.CompareAndSwap(false, true) {
			f.engine.log.Error("reprise: the codec does not encode what a function returns; it is not cached", "func", f.name, "error", err)
		}
		return ReasonCodec
	}
	r.Body = body
	return ""
}

// recovered logs what an option's function panicked with, and gives the reason why the value is not stored. Deferred.
func (f *Func[K, V]) recovered(option string, reason *Reason) {
	if v := recover(); v != nil {
		*reason = ReasonCallbackPanic
		if f.optionPanics.again() {
			f.engine.log.Error("reprise: an option's function panicked; the value is not stored",
				"option", option, "func", f.name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}
}

// store keeps what the tasks have settled.
func (r *run[K, V]) store(l *lease) {
	e := r.f.engine
	if !e.begin() {
		return // closed
	}
	defer e.work.Done()
	for _, t := range r.tasks {
		if t.reason == "" {
			t.store(l)
		}
	}
}

func (t *task[K, V]) store(l *lease) {
	b := &t.run.f.engine.store
	ttl := t.result.remaining(time.Now())
	if ttl <= 0 || t.displaced.Load() {
		return
	}
	ctx, cancel := b.writeContext()
	defer cancel()
	var why Reason
	var err error
	if l != nil {
		why, err = b.keepUnder(ctx, l, &t.result.entry, ttl)
	} else {
		why, err = b.keep(ctx, &t.result.entry, t.result, t.bytes, ttl)
	}
	t.kept = why == ""
	if b.local != nil {
		t.reason = why // nobody reads it yet
	}
	if err != nil {
		t.run.f.engine.report(ctx, Event{Outcome: Failed, Reason: why, Name: t.run.f.name, Key: t.at, Start: t.run.began, Err: err})
	}
}
