package reprise

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// fill is one run of a handler for a key. The handler runs on the first client's goroutine; others who want the same answer
// follow: they wait for its head, decide for themselves whether it is theirs, and read the body as it grows.
//
// Four goroutines may meet in a fill: the handler's, that of FillTimeout, the pump's, which writes to the first client once the
// body has outgrown the buffer, and those of followers. Only one of the first three writes to the first client at a time:
// claim settles it between the handler and FillTimeout, and the handler's own waits for the other two before it leaves.
type fill struct {
	engine *engine
	rt     *Route
	next   http.Handler
	q      *query          // the first client's; nil in the background. Only for who answers that client
	client context.Context // of the first client; nil in the background

	key        string        // in engine.fills; "" if nobody can follow
	req        *http.Request // the one that asked: what selects the variant
	base       string        // key of the entry, without a variant
	url, path  string
	search     string   // the rule of No-Vary-Search that base was made by
	place      string   // where such a rule is remembered; "" where none counts
	names      []string // selecting fields that were known when it began
	identified Reason
	head       bool   // a HEAD request: nothing is stored
	writes     bool   // an unsafe request: it invalidates
	background bool   // nobody waits
	covered    bool   // the key covers credentials, which a background refresh has not
	stripped   bool   // the handler is not shown the client's preconditions and range
	why        Reason // why the handler runs
	began      time.Time
	attempt    int    // panics of handlers before this one
	old        *entry // what is stored, and no longer fresh
	soft       bool   // old was softly invalidated
	asks       bool   // the handler is asked whether old is still the current answer; see validate.go
	part       bool   // the handler is shown the range that the client wants; see partial.go
	completes  bool   // the handler is asked for the rest of old; see partial.go

	number, incarnation uint64 // the store's at the look-up

	lease *lease // of all processes on the store; nil if there is none

	values   fillValues
	scope    scope
	ctx      context.Context
	cancel   context.CancelCauseFunc
	recorder recorder
	inform   sync.Mutex // held while a 1xx, or what FillTimeout has to say, goes to the first client

	// What the handler's goroutine alone writes, under mu, and others read under mu.
	judgement
	tags      []string    // of the entry
	response  http.Header // fields for followers of a growing body
	status    int
	entry     *entry   // the whole answer, where it was held back
	selecting []string // fields that this answer and earlier ones vary on
	variant   string   // key of the entry that the answer is for; "" is base
	tail      http.Header

	writing  bool // the store is being written, and ends the flight
	answered bool // the first client got something else than the handler's answer

	mu       sync.Mutex
	started  time.Time     // when the handler was called
	veto     Reason        // why the answer is not stored, whatever its head says
	lateDone chan struct{} // closed when FillTimeout has answered the first client; nil if it did not come
	deadline deadline      // guarded by the route's deadlines
	unhook   func() bool   // ends the watch on the first client's context
	wake     chan struct{}
	room     chan struct{}
	waiting  int // followers before they read
	readers  []*reader
	body     []byte // grows; [start, start+len) of what was written
	start    int64
	charged  int64 // to engine.fillBytes
	phase    phase
	claimed  bool // the handler's answer goes to the first client; FillTimeout can no longer take its place
	landed   bool // the handler is done; FillTimeout comes too late
	loose    bool // nothing will be stored: the context follows the clients
	gone     bool // the first client
	closed   bool
	short    bool // the handler wrote less than Content-Length says
}

type phase uint8

const (
	pending phase = iota
	solo          // not shareable: who waits runs the handler for itself
	open          // the body is growing
	whole         // entry has it all
	ended         // the body has it all
	cut           // the handler panicked after the body began
	late          // FillTimeout
	broken        // the handler panicked before anything was sent
)

// fillValues is the context that a fill's own is made of: the values of the request, never its end.
type fillValues struct {
	context.Context
	scope *scope
}

func (v *fillValues) Deadline() (time.Time, bool) { return time.Time{}, false }
func (v *fillValues) Done() <-chan struct{}       { return nil }
func (v *fillValues) Err() error                  { return nil }

func (v *fillValues) Value(key any) any {
	if key == (scopeKey{}) {
		return v.scope
	}
	return v.Context.Value(key)
}

// newFill prepares a run of next for q.
func (q *query) newFill(next http.Handler, found *found) *fill {
	f := q.prepare(next, found)
	f.q, f.client = q, q.r.Context()
	f.open(f.client)
	return f
}

// prepare makes a fill of what it needs of q and can outlive it.
func (q *query) prepare(next http.Handler, found *found) *fill {
	f := &fill{
		engine: q.rt.cache.engine, rt: q.rt, next: next,
		req: q.r, base: q.baseKey(), names: found.names, identified: q.identified,
		covered: q.builder.authorization || q.builder.cookie,
		head:    q.head, why: q.why, began: q.now,
		old: found.entry, soft: found.soft,
		number: found.number, incarnation: found.incarnation,
	}
	f.url, f.path = q.names()
	if f.rt.standard && q.builder.path != "" {
		f.search, f.place = q.builder.search, string(q.builder.searchPlace(nil))
	}
	if f.engine.store.blind(found) {
		f.veto = ReasonStoreFailed
	}
	return f
}

// open makes the context of the fill, with the values of parent.
func (f *fill) open(parent context.Context) {
	f.scope = scope{cache: f.rt.cache, open: true, outer: scopeOf(parent), base: f.base, perUser: f.rt.perUser != nil}
	f.values = fillValues{Context: parent, scope: &f.scope}
	f.ctx, f.cancel = context.WithCancelCause(&f.values)
}

// run runs the handler on this goroutine and returns when its answer is delivered to the first client, w; w is nil in
// the background.
func (f *fill) run(w http.ResponseWriter, r *http.Request) {
	f.engine.running.Add(1)
	rec := newRecorder(f, w)
	f.scope.same = f.scope.outer.isOf(w)
	f.begin()
	returned := false
	defer func() {
		// Also after a panic or runtime.Goexit: nobody may wait for what never comes.
		var failure any
		if !returned {
			failure = recover()
			f.fail(failure)
		}
		f.close()
		if failure != nil && !f.swallows(failure) {
			panic(failure)
		}
	}()
	if r.Context() != f.ctx {
		r = r.WithContext(f.ctx)
	}
	f.next.ServeHTTP(rec, r)
	if rec.mode == astray || rec.mode == confirmed && !f.confirms(rec) {
		f.next.ServeHTTP(rec, f.askAgain(rec))
	}
	rec.finish()
	returned = true
	rec.drain()
}

// begin takes note that the handler is about to be called.
func (f *fill) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rt.fillTimeout == Forever || f.writes {
		f.started = time.Now()
		return
	}
	f.rt.deadlines.begin(f)
}

// adopt ends a fill whose handler need not run: another process has stored the answer, or is about to. Followers get e,
// or look again; names are those that select it.
func (f *fill) adopt(e *entry, names []string) {
	f.mu.Lock()
	f.entry, f.phase = e, whole
	if e != nil && names != nil {
		f.selecting, f.variant = names, e.Key()
	}
	f.broadcast()
	f.mu.Unlock()
	f.cancel(nil)
	f.scope.close()
	f.endFlight()
}

// renumber makes the latest look-up the one that the fill follows.
func (f *fill) renumber(found *found) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.number, f.incarnation = found.number, found.incarnation
}

// shown returns the request that the handler gets.
func (f *fill) shown() *http.Request { return f.asking(f.q.forwarded(f.ctx, f.stripped)) }

// decorate adds to h what the cache says of an answer that the handler gave.
func (f *fill) decorate(h http.Header) {
	reason := f.verdict()
	rt := f.rt
	if reason == "" {
		if name := rt.cache.statusHeader; name != "" {
			h[name] = f.recorder.line(rt.missValue)
		}
		f.tellLifetime(h)
	}
	if !rt.noStatus {
		member := rt.missStatus
		if f.why != ReasonNotStored || reason != "" {
			member = forwarded{why: f.why, stored: reason == "", detail: reason}.member(rt.cacheName)
		}
		addStatus(h, member, f.recorder.line)
	}
}

// tellLifetime adds to h what clients are told of how long a stored answer lives.
func (f *fill) tellLifetime(h http.Header) {
	rt := f.rt
	switch {
	case rt.clientCC != "":
		h["Cache-Control"] = []string{rt.clientCC}
	case rt.clientTTL && h["Cache-Control"] == nil:
		f.mu.Lock()
		d := jittered(f.lifetime, rt.jitter, f.entryKey())
		f.mu.Unlock()
		if d != Forever {
			h["Cache-Control"] = []string{"max-age=" + strconv.FormatInt(max(0, seconds64(d)), 10)}
		}
	}
}

// entryKey returns the key of the entry that the answer is for. f.mu is held, or the caller is the handler's goroutine.
func (f *fill) entryKey() string {
	if f.variant != "" {
		return f.variant
	}
	return f.base
}

// verdict returns why the answer is not stored, "" if it is as far as can be told.
func (f *fill) verdict() Reason {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused()
}

// refused is verdict with f.mu held.
func (f *fill) refused() Reason {
	if f.veto != "" {
		return f.veto
	}
	return f.reason
}

// refuse keeps the answer out of the store. The first reason stays.
func (f *fill) refuse(reason Reason) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.veto == "" {
		f.veto = reason
	}
}

// close ends what belongs to the fill, and waits for whoever else answers the first client.
func (f *fill) close() {
	f.land()
	f.recorder.putHeld()
	f.recorder.putScratch()
	f.mu.Lock()
	lateDone, unhook := f.lateDone, f.unhook
	f.closed = true
	f.settle()
	f.mu.Unlock()
	if lateDone != nil {
		<-lateDone
	}
	if unhook != nil {
		unhook()
	}
	f.cancel(nil)
	f.scope.close()
	f.engine.running.Add(-1)
	if !f.writing {
		f.endFlight()
	}
	f.dropLease()
}

// dropLease lets other processes run, which need not wait for an answer that is not stored.
func (f *fill) dropLease() {
	l := f.lease
	if l == nil || f.writing {
		return
	}
	f.lease = nil
	if !f.engine.begin() {
		l.stop() // it ends by itself
		return
	}
	go func() { // ends with the store's deadline
		defer f.engine.work.Done()
		l.dismiss(f.key)
	}()
}

// land says that the handler is done. It reports whether FillTimeout was faster.
func (f *fill) land() (tooLate bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.landed = true
	f.rt.deadlines.end(f)
	return f.phase == late
}

// endFlight ends the time in which others can follow. Whoever was let in before is counted in f.waiting by then.
func (f *fill) endFlight() {
	if f.key != "" {
		f.engine.fills.End(f.base, f.key, f)
	}
}

// broadcast wakes who waits for a change. f.mu is held.
func (f *fill) broadcast() {
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// change returns a channel that is closed at the next change. f.mu is held.
func (f *fill) change() <-chan struct{} {
	if f.wake == nil {
		f.wake = make(chan struct{})
	}
	return f.wake
}

// claim makes the handler's answer the one that the first client gets, unless FillTimeout was faster.
func (f *fill) claim() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.phase == late {
		return false
	}
	f.claimed = true
	return true
}

func (f *fill) unclaim() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.claimed = false
}

// goAlone says that the answer cannot be shared. Followers run the handler for themselves, at once and in parallel, and the key is
// remembered.
func (f *fill) goAlone() {
	if !f.writes {
		f.pass() // first: who is woken looks for it
	}
	f.mu.Lock()
	if f.phase != pending {
		f.mu.Unlock()
		return
	}
	f.phase = solo
	f.broadcast()
	f.mu.Unlock()
	f.endFlight()
	f.dropLease()
	if !f.writes { // the context of a write is the client's already
		f.loosen()
	}
}

// passFor is how long a key is remembered whose answer could not be shared.
const passFor = 2 * time.Minute

// pass remembers that the answer could not be shared. A background refresh, which has no credentials, says nothing of what
// clients get, and neither does HEAD, or what was made for one request alone.
func (f *fill) pass() {
	if !f.background && !f.head && !f.apart() {
		f.engine.passes.put(f.passKey(), struct{}{}, time.Now().Add(passFor))
	}
}

// apart reports whether the handler was asked for something that nobody else asks for.
func (f *fill) apart() bool {
	v := f.verdict()
	return v == ReasonConditional || v == ReasonNested
}

// shared forgets it.
func (f *fill) shared() {
	if !f.background && !f.head && !f.apart() {
		f.engine.passes.forget(f.passKey())
	}
}

func (f *fill) passKey() string {
	if f.identified != "" {
		return f.base + identifiedMark(f.identified)
	}
	return f.base
}

// identifiedMark sets the fills of identified requests apart from those of others. Authorization has fills of its own: their answers may
// be shared among those who have it, by must-revalidate, and with nobody else who is identified (RFC 9111 §3.5).
func identifiedMark(reason Reason) string {
	if reason == ReasonAuthorization {
		return "|~!A"
	}
	return "|~!"
}
