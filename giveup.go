package reprise

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/reprise-go/reprise/internal/rfc9111"
)

// How a fill ends without a whole answer of the handler: FillTimeout, a panic, an error where a stale answer is better, and clients
// who have all left.

// timeoutError is the cause with which FillTimeout ends a handler's context. It is a context.DeadlineExceeded.
type timeoutError struct{}

func (timeoutError) Error() string   { return "reprise: the handler took longer than FillTimeout" }
func (timeoutError) Unwrap() error   { return context.DeadlineExceeded }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

var (
	errNobodyWaits = errors.New("reprise: every client has left and nothing will be stored")
	errLagging     = errors.New("reprise: the client lags behind a body that is not stored")
	errAbandoned   = errors.New("reprise: the client has left")
	errTruncated   = errors.New("reprise: the handler did not write the whole body")
)

// tooLate is FillTimeout: the run's context ends, and who waits gets something else, the first client too. An answer
// that is on its way goes on, but is not stored.
func (f *fill) tooLate() {
	f.mu.Lock()
	switch {
	case f.landed || f.loose || f.phase == solo:
		f.mu.Unlock()
		return
	case f.claimed:
		f.mu.Unlock()
		f.refuse(ReasonFillTimeout)
		f.loosen()
		return
	}
	done := make(chan struct{})
	defer close(done)
	f.phase, f.veto, f.lateDone = late, ReasonFillTimeout, done
	f.broadcast()
	f.mu.Unlock()
	f.cancel(timeoutError{})
	if w := f.recorder.w; w != nil {
		f.inform.Lock()
		defer f.inform.Unlock()
		f.answered = true
		f.serveLate(w)
	}
}

// serveLate answers the first client of a fill that takes too long.
func (f *fill) serveLate(w http.ResponseWriter) {
	defer func() { _ = recover() }() // a foreign ResponseWriter; there is nobody to tell
	if e := f.q.insteadOfError(f.old, f.soft, f.rt.away(http.StatusGatewayTimeout)); e != nil {
		f.q.serveStale(w, e, ReasonInsteadOfLate)
	} else {
		f.q.fail(w, http.StatusGatewayTimeout, ReasonFillTimeout)
	}
	_ = http.NewResponseController(w).Flush() // the handler may still run
}

// insteadOfError returns e if it may answer q now that the handler has failed, else nil (RFC 9111 §4.2.4, RFC 5861 §4). From here on
// q.now is the moment at which e is sent. away says that the origin was not reached, which needs no permission (§4.2.4).
func (q *query) insteadOfError(e *entry, soft, away bool) *entry {
	if e == nil || q.lacks(e) {
		return nil
	}
	q.now = time.Now()
	if !rfc9111.MayServeOnError(q.directivesOrNil(), q.stored(e, soft), away) {
		return nil
	}
	return e
}

// spare keeps an error of the handler from replacing a good entry, and returns what the first client gets instead of it, or nil.
func (f *fill) spare(status int) *entry {
	if status < 500 || f.old == nil {
		return nil
	}
	if f.q == nil {
		f.refuse(ReasonServerError)
		return nil
	}
	e := f.q.insteadOfError(f.old, f.soft, f.rt.away(status))
	if e != nil {
		f.refuse(ReasonServerError)
	}
	return e
}

// loosen lets the context follow the clients, for nothing will be stored: it ends with the last of them, and FillTimeout
// no longer holds.
func (f *fill) loosen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.loose || f.landed || f.writes {
		return
	}
	f.loose = true
	f.rt.deadlines.end(f)
	if f.client == nil {
		f.gone = true
		f.endIfDeserted()
		return
	}
	f.unhook = context.AfterFunc(f.client, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.gone = true
		f.endIfDeserted()
	})
}

// endIfDeserted ends the run when nobody is left to get its answer, not even the store. f.mu is held.
func (f *fill) endIfDeserted() {
	if f.loose && f.gone && !f.landed && f.waiting == 0 && len(f.readers) == 0 {
		f.cancel(errNobodyWaits)
	}
}

// fail ends a fill whose handler did not return: it panicked with failure or, if that is nil, ended its goroutine.
func (f *fill) fail(failure any) {
	rec := &f.recorder
	f.land()
	f.mu.Lock()
	unanswered := !f.claimed && (f.phase == pending || f.phase == solo)
	switch f.phase {
	case pending:
		f.phase = broken
	case open:
		f.phase = cut
	}
	if f.veto == "" {
		f.veto = ReasonPanic
	}
	f.broadcast()
	f.mu.Unlock()
	f.endFlight()
	f.cancel(nil)
	if unanswered && failure != nil && rec.w != nil && f.q != nil {
		if e := f.q.insteadOfError(f.old, f.soft, false); e != nil {
			f.answered = true
			f.q.serveStale(rec.w, e, ReasonInsteadOfError)
		}
	}
	if rec.pump != nil {
		<-rec.pump.done
	}
}

// swallows reports whether a panic goes no further, because its client has got another answer, or has none: then it is logged.
func (f *fill) swallows(failure any) bool {
	if !f.background && !f.answered {
		return false
	}
	if failure != http.ErrAbortHandler && f.rt.handlerPanics.again() { //nolint:errorlint // the value itself, as net/http compares it
		f.engine.log.Error("reprise: a handler panicked", "panic", fmt.Sprint(failure), "key", f.base, "stack", string(debug.Stack()))
	}
	return true
}
