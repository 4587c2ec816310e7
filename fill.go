package reprise

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/reprise-go/reprise/internal/rfc9111"
)

// fill is one run of a handler for a key. The handler runs on the first client's goroutine; others who want the same answer
// follow: they wait for its head, decide for themselves whether it is theirs, and read the body as it grows.
type fill struct {
	engine *engine
	rt     *Route
	next   http.Handler
	q      *query // the first client's; nil in the background. Only its goroutine, or FillTimeout's, uses it

	key        string        // in engine.fills; "" if nobody can follow
	req        *http.Request // the one that asked: what selects the variant
	base       string        // key of the entry, without a variant
	url, path  string
	names      []string // selecting fields that were known when it began
	identified Reason
	pass       bool   // the last answer could not be shared: nobody waits for this one
	head       bool   // a HEAD request: nothing is stored
	writes     bool   // an unsafe request: it invalidates
	background bool   // nobody waits
	covered    bool   // the key covers credentials, which a background refresh has not
	stripped   bool   // the handler is not shown the client's preconditions and range
	why        Reason // why the handler runs
	began      time.Time
	attempt    int    // panics of handlers before this one
	stale      *entry // what may answer instead of an error

	number, incarnation uint64 // the store's at the look-up

	values   fillValues
	scope    scope
	ctx      context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	recorder recorder
	delivery sync.Mutex // held while something other than the handler's goroutine answers the first client

	mu      sync.Mutex
	wake    chan struct{} // closed at the next change; nil if nobody waits
	phase   phase
	claimed bool // the handler's answer counts; FillTimeout comes too late
	readers []*reader
	waiting int  // followers before they read
	gone    bool // the first client
	loose   bool // nothing will be stored: the context follows the clients

	// From here on set before phase leaves pending, and then read only but for the body.
	judgement
	tags      []string    // of the entry
	response  http.Header // fields for followers
	status    int
	entry     *entry   // the whole answer, where it was held back
	selecting []string // fields that this answer and earlier ones vary on
	variant   string   // key of the entry that the answer is for; "" is base
	writing   bool     // the store is being written; then the fill is joinable
	failure   any      // what the handler panicked with

	body    []byte // grows; [start, start+len) of what was written
	start   int64
	charged int64 // to engine.fillBytes
	tail    http.Header
}

type phase uint8

const (
	pending phase = iota
	solo          // not shareable: who waits runs the handler for itself
	open          // the body is growing
	whole         // entry has it all
	ended         // the body has it all
	cut           // the handler failed after the body began
	instead       // stale answers instead of an error
	late          // FillTimeout
	broken        // the handler panicked before anything was sent
)

// reader is a client that reads a growing body.
type reader struct{ pos int64 }

var (
	errFillTimeout = errors.New("reprise: the handler took longer than FillTimeout")
	errNobodyWaits = errors.New("reprise: every client has left and nothing will be stored")
	errLagging     = errors.New("reprise: the client lags behind a body that is not stored")
	errAbandoned   = errors.New("reprise: the client has left")
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

// newFill prepares a run of next for q. What outlives the request is copied out of it.
func (q *query) newFill(next http.Handler, found *found) *fill {
	f := &fill{
		engine: q.rt.cache.engine, rt: q.rt, next: next, q: q,
		req: q.r, base: string(q.key), names: found.names, identified: q.identified,
		covered: q.builder.authorization || q.builder.cookie,
		head:    q.head, why: q.why, began: q.now,
		number: found.number, incarnation: found.incarnation,
	}
	f.url, f.path = q.names()
	if e := found.entry; e != nil && rfc9111.MayServeOnError(q.directivesOrNil(), q.stored(e, found.soft), false) {
		f.stale = e
	}
	f.open(q.r.Context())
	return f
}

// open makes the context of the fill, with the values of parent.
func (f *fill) open(parent context.Context) {
	f.scope = scope{cache: f.rt.cache, open: true, outer: scopeOf(parent)}
	f.values = fillValues{Context: parent, scope: &f.scope}
	f.ctx, f.cancel = context.WithCancelCause(&f.values)
}

// run runs the handler on this goroutine and returns when its answer is delivered to the first client, w; w is nil in
// the background.
func (f *fill) run(w http.ResponseWriter, r *http.Request) {
	e := f.engine
	e.running.Add(1)
	if f.rt.fillTimeout != Forever && !f.writes {
		f.timer = time.AfterFunc(f.rt.fillTimeout, f.tooLate)
	}
	rec := newRecorder(f, w)
	returned := false
	defer func() {
		// Also after a panic or runtime.Goexit: nobody may wait for what never comes.
		var failure any
		if !returned {
			failure = recover()
			f.fail(failure)
		}
		rec.putHeld()
		f.close()
		if !returned && failure != nil && !f.swallows(failure) {
			panic(failure)
		}
	}()
	r = r.WithContext(f.ctx)
	f.next.ServeHTTP(rec, r)
	rec.finish()
	returned = true
	if rec.pump != nil {
		rec.pump.wait(rec)
	}
}

// shown returns the request that the handler gets.
func (f *fill) shown() *http.Request { return f.q.forwarded(f.stripped) }

// decorate adds to h what the cache says of an answer that the handler gave.
func (f *fill) decorate(h http.Header) {
	f.mu.Lock()
	j, kept := f.judgement, f.reason == ""
	f.mu.Unlock()
	rt := f.rt
	if kept {
		if name := rt.cache.statusHeader; name != "" {
			h[name] = []string{rt.missValue}
		}
		switch {
		case rt.clientCC != "":
			h["Cache-Control"] = []string{rt.clientCC}
		case rt.clientTTL && h["Cache-Control"] == nil && j.lifetime != Forever:
			h["Cache-Control"] = []string{"max-age=" + strconv.FormatInt(max(0, seconds64(j.lifetime)), 10)}
		}
	}
	if !rt.noStatus {
		f.q.addStatus(h, forwarded{why: f.why, stored: kept, detail: j.reason}.member(rt.cacheName))
	}
}

// close ends what belongs to the fill.
func (f *fill) close() {
	if f.timer != nil {
		f.timer.Stop()
	}
	f.delivery.Lock()   // what FillTimeout is writing to the client
	f.delivery.Unlock() //nolint:staticcheck // to wait is all
	f.cancel(nil)
	f.scope.close()
	f.mu.Lock()
	charged := f.charged
	f.charged = 0
	f.mu.Unlock()
	f.engine.fillBytes.Add(-charged)
	f.engine.running.Add(-1)
	if f.key != "" && !f.writing {
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

func (f *fill) set(p phase) {
	f.mu.Lock()
	f.phase = p
	f.broadcast()
	f.mu.Unlock()
}

// claim makes the handler's answer the one that counts, unless FillTimeout was faster.
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
	f.claimed = false
	f.mu.Unlock()
}

func (f *fill) isLate() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.phase == late
}

func (f *fill) alone() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.phase == solo || f.key == ""
}

// tooLate is FillTimeout: the run's context ends, and who waits gets something else, the first client too. An answer
// that is on its way goes on, but is not stored.
func (f *fill) tooLate() {
	f.mu.Lock()
	if f.claimed || f.phase == solo {
		if f.reason == "" {
			f.reason = ReasonFillTimeout
		}
		f.mu.Unlock()
		f.loosen()
		return
	}
	f.delivery.Lock()
	defer f.delivery.Unlock()
	f.phase = late
	f.reason = ReasonFillTimeout
	f.broadcast()
	f.mu.Unlock()
	f.cancel(errFillTimeout)
	if f.recorder.w != nil {
		f.serveLate(f.q, f.recorder.w, f.stale)
	}
}

// serveLate answers a client of a fill that takes too long.
func (f *fill) serveLate(q *query, w http.ResponseWriter, stale *entry) {
	defer func() { _ = recover() }() // a foreign ResponseWriter; there is nobody to tell
	if stale != nil {
		q.serveStale(w, stale, ReasonInsteadOfLate)
	} else {
		q.fail(w, http.StatusGatewayTimeout, ReasonFillTimeout)
	}
	_ = http.NewResponseController(w).Flush() // the handler may still run
}

// goAlone says that the answer cannot be shared. Followers run the handler for themselves, at once and in parallel, and the key is
// remembered.
func (f *fill) goAlone(reason Reason) {
	f.mu.Lock()
	if f.phase != pending {
		f.mu.Unlock()
		return
	}
	f.phase = solo
	f.shareable, f.reason = false, reason
	f.broadcast()
	f.mu.Unlock()
	if f.key != "" {
		f.engine.fills.End(f.base, f.key, f)
	}
	if f.writes {
		return // its context is the client's already
	}
	if f.q != nil && !f.head {
		f.engine.passes.put(f.passKey(), struct{}{}, time.Now().Add(passFor))
	}
	f.loosen()
}

// passFor is how long a key is remembered whose answer could not be shared.
const passFor = 2 * time.Minute

func (f *fill) passKey() string {
	if f.identified != "" {
		return f.base + identifiedMark
	}
	return f.base
}

// identifiedMark sets the fills of identified requests apart from those of others.
const identifiedMark = "|~!"

// loosen lets the context follow the clients, for nothing will be stored: it ends with the last of them, and FillTimeout
// no longer holds.
func (f *fill) loosen() {
	if f.timer != nil {
		f.timer.Stop()
	}
	f.mu.Lock()
	if f.loose {
		f.mu.Unlock()
		return
	}
	f.loose = true
	f.mu.Unlock()
	if f.q == nil {
		f.leave(nil)
		return
	}
	stop := context.AfterFunc(f.q.r.Context(), func() { f.leave(nil) })
	context.AfterFunc(f.ctx, func() { stop() })
}

// leave takes note that a client has left; nil is the first one.
func (f *fill) leave(rd *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if rd == nil {
		f.gone = true
	} else {
		for i, r := range f.readers {
			if r == rd {
				f.readers[i] = f.readers[len(f.readers)-1]
				f.readers = f.readers[:len(f.readers)-1]
				break
			}
		}
	}
	f.broadcast()
	if f.loose && f.gone && f.waiting == 0 && len(f.readers) == 0 && f.phase != ended && f.phase != whole {
		f.cancel(errNobodyWaits)
	}
}

// insteadOfError reports whether a stale answer takes the place of an error with that status, and serves it.
func (f *fill) insteadOfError(status int) bool {
	if status < 500 || f.stale == nil || f.writes {
		return false
	}
	f.reason = ReasonServerError
	f.set(instead)
	if f.recorder.w != nil {
		f.q.serveStale(f.recorder.w, f.stale, ReasonInsteadOfError)
	}
	return true
}

// fail ends a fill whose handler did not return: it panicked with failure or, if that is nil, ended its goroutine.
func (f *fill) fail(failure any) {
	rec := &f.recorder
	f.mu.Lock()
	f.failure = failure
	switch {
	case f.phase == pending && f.stale != nil && failure != nil && rec.mode == holding:
		f.phase = instead
	case f.phase == pending:
		f.phase = broken
	case f.phase == open:
		f.phase = cut
	}
	p := f.phase
	f.reason = ReasonPanic
	f.broadcast()
	f.mu.Unlock()
	f.cancel(nil)
	if p == instead && rec.mode == holding {
		rec.mode = dropped
		if rec.w != nil {
			f.q.serveStale(rec.w, f.stale, ReasonInsteadOfError)
		}
	}
	if rec.pump != nil {
		rec.pump.wait(nil)
	}
}

// swallows reports whether a panic goes no further, because its client has got another answer, or has none: then it is logged.
func (f *fill) swallows(failure any) bool {
	answered := f.q == nil || f.phase == instead || f.phase == late
	if answered && failure != http.ErrAbortHandler { //nolint:errorlint // the value itself, as net/http compares it
		f.engine.log.Error("reprise: a handler panicked", "panic", fmt.Sprint(failure), "key", f.base, "stack", string(debug.Stack()))
	}
	return answered
}

// publish opens the fill to followers: the head is known, and what was held back is the beginning of the body.
func (f *fill) publish(rec *recorder) {
	f.mu.Lock()
	f.response, f.status = rec.head, rec.status
	f.body = rec.heldBytes()
	rec.held = nil // it is the fill's now
	f.phase = open
	over := f.charge(len(f.body))
	f.broadcast()
	f.mu.Unlock()
	f.learn()
	if over || f.reason != "" {
		f.spill(over)
	}
}

// charge counts bytes of the body against the budget of the cache and reports whether it is exceeded. f.mu is held.
func (f *fill) charge(n int) bool {
	f.charged += int64(n)
	return f.engine.fillBytes.Add(int64(n)) > f.engine.config.Limits.FillBytes
}

// spill gives up storing: the body is kept only as far as readers need it.
func (f *fill) spill(overBudget bool) {
	f.mu.Lock()
	if f.reason == "" {
		f.reason = ReasonTooLarge
		if overBudget {
			f.reason = ReasonBudget
		}
	}
	f.mu.Unlock()
	f.loosen()
}

// smallWindow is what a reader may lag behind once the budget for bodies is used up.
const smallWindow = 64 << 10

// append adds what the handler wrote to the body. It waits only where nothing is stored: for the fastest reader.
func (f *fill) append(p []byte) error {
	f.mu.Lock()
	over := f.charge(len(p))
	f.body = append(f.body, p...)
	end := f.start + int64(len(f.body))
	if f.reason == "" && (over || end > f.rt.maxBody) {
		f.mu.Unlock()
		f.spill(over)
		f.mu.Lock()
	}
	f.broadcast()
	if f.reason == "" {
		f.mu.Unlock()
		return nil
	}
	defer f.mu.Unlock()
	window := f.rt.maxBody
	if f.reason == ReasonBudget {
		window = min(window, smallWindow)
	}
	for {
		fastest, slowest := f.start, end
		for _, rd := range f.readers {
			fastest, slowest = max(fastest, rd.pos), min(slowest, rd.pos)
		}
		// Who lags a whole window behind the fastest is cut off; the handler waits for that one alone.
		f.trim(max(min(slowest, end), fastest-window))
		switch {
		case len(f.readers) == 0 && f.waiting == 0:
			f.trim(end)
			return nil
		case end-fastest <= window:
			return nil
		}
		change := f.change()
		f.mu.Unlock()
		select {
		case <-change:
			f.mu.Lock()
		case <-f.ctx.Done():
			f.mu.Lock()
			return context.Cause(f.ctx)
		}
	}
}

// trim forgets the body before pos. f.mu is held.
func (f *fill) trim(pos int64) {
	n := pos - f.start
	if n <= 0 {
		return
	}
	f.body = f.body[n:]
	f.start = pos
	f.charged -= n
	f.engine.fillBytes.Add(-n)
}

// end is called when the handler of a fill with readers has returned: the body is whole, and may be stored.
func (f *fill) end(rec *recorder) {
	short := rec.length >= 0 && rec.n != rec.length
	var tail http.Header
	if rec.head["Trailer"] != nil || hasTrailers(rec.header) {
		tail = make(http.Header)
		rec.trailers(tail)
	}
	f.mu.Lock()
	f.tail = tail
	f.phase = ended
	if short {
		f.phase = cut
	}
	if f.reason == "" && short {
		f.reason = ReasonShortBody
	}
	reason := f.reason
	body := f.body
	f.broadcast()
	f.mu.Unlock()
	if reason == "" && f.timer != nil {
		f.timer.Stop()
	}
	if reason == "" {
		f.commit(rec, body)
	}
}

// pump delivers a growing body to the first client, on its own goroutine: a slow client holds up nobody.
type pump struct {
	done    chan struct{}
	failure any
}

func (f *fill) startPump(rec *recorder) *pump {
	p := &pump{done: make(chan struct{})}
	rd := f.reader()
	go func() { // ends with the body, the client or the fill
		defer close(p.done)
		defer f.leave(rd)
		defer func() { p.failure = recover() }()
		rec.sendHead(nil)
		f.copyTo(f.q.r.Context(), rec.w, rd)
	}()
	return p
}

// wait waits for the delivery, and passes on what a foreign ResponseWriter panicked with.
func (p *pump) wait(rec *recorder) {
	<-p.done
	if rec == nil {
		return
	}
	if p.failure != nil {
		panic(p.failure)
	}
	rec.trailers(rec.w.Header())
}

// reader registers a client at the beginning of the body that is still there.
func (f *fill) reader() *reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	rd := &reader{}
	f.readers = append(f.readers, rd)
	return rd
}

// copyTo writes the body to w as it grows, until it ends, the client leaves or the fill is cut.
func (f *fill) copyTo(ctx context.Context, w http.ResponseWriter, rd *reader) error {
	for {
		f.mu.Lock()
		if rd.pos < f.start {
			f.mu.Unlock()
			return errLagging
		}
		data, p := f.body[rd.pos-f.start:], f.phase
		var change <-chan struct{}
		if len(data) == 0 && p == open {
			change = f.change()
		}
		f.mu.Unlock()

		switch {
		case len(data) > 0:
			if _, err := w.Write(data); err != nil {
				return errAbandoned
			}
			f.mu.Lock()
			rd.pos += int64(len(data))
			f.broadcast() // the handler may wait for it
			f.mu.Unlock()
			if p != open {
				continue
			}
			// Whoever waits for more shall have what there is, whether the handler flushed it or wrote more than is held back.
			_ = http.NewResponseController(w).Flush()
			continue
		case p == cut:
			return errAbandoned
		case p != open:
			return nil
		case rd.pos == 0:
			_ = http.NewResponseController(w).Flush()
		}
		select {
		case <-change:
		case <-ctx.Done():
			return errAbandoned
		}
	}
}

func hasTrailers(h http.Header) bool {
	for name := range h {
		if len(name) > len(http.TrailerPrefix) && name[:len(http.TrailerPrefix)] == http.TrailerPrefix {
			return true
		}
	}
	return false
}
