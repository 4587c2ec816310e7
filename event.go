package reprise

import (
	"context"
	"sync/atomic"
	"time"
)

// Outcome is what became of a request or call.
type Outcome uint8

// The outcomes. Hit, Stale and Collapsed did not run the handler or loader on behalf of this request.
const (
	Hit       Outcome = iota + 1 // answered by a fresh stored answer
	Stale                        // answered by a stored answer after its lifetime
	Collapsed                    // answered by a fill that another request began
	Miss                         // filled, and stored
	Pass                         // looked up and run, but not stored
	Bypass                       // neither looked up nor stored
	Refreshed                    // a background refresh: nobody waited for it
	Failed                       // no answer of the origin: 504, or 500 after a panic elsewhere
	Validated                    // answered by a stored answer that the handler, asked for it, said is still the current one
)

var outcomeNames = [...]string{"", "hit", "stale", "collapsed", "miss", "pass", "bypass", "refreshed", "failed", "validated"}

func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown"
}

// Reason says why a request was not answered from the store or its answer not stored, or why something stale was served.
// The set is closed; docs/reasons.md explains each. "" is none.
type Reason string

// Why a request bypasses the cache.
const (
	ReasonDisabled      Reason = "disabled"       // Config.Disabled, SetEnabled(false) or Off
	ReasonMethod        Reason = "method"         // not among Methods
	ReasonSkipped       Reason = "skipped"        // SkipIf, or a panic in it
	ReasonUpgrade       Reason = "upgrade"        // the request asks for another protocol, or the answer switches to it
	ReasonRequestBody   Reason = "request-body"   // GET or HEAD with a body, or a keyed body that is too large or broken
	ReasonRequestTarget Reason = "request-target" // a scheme that is neither http nor https
	ReasonNoUser        Reason = "no-user"        // PerUser named nobody
	ReasonKeyFailed     Reason = "key-failed"     // the key function failed, panicked or added nothing
	ReasonRequestStore  Reason = "request-no-store"
)

// Why a request was forwarded although it was looked up.
const (
	ReasonNotStored      Reason = "uri-miss"      // nothing is stored under its key
	ReasonVariant        Reason = "vary-miss"     // nothing is stored for its selecting fields
	ReasonExpired        Reason = "stale"         // what is stored is no longer fresh
	ReasonInvalidated    Reason = "invalidated"   // what was stored was invalidated
	ReasonRequestCC      Reason = "request"       // the request's Cache-Control wants something newer
	ReasonAuthorization  Reason = "authorization" // identified by Authorization (RFC 9111 §3.5)
	ReasonCookie         Reason = "cookie"        // identified by Cookie
	ReasonClientCert     Reason = "client-certificate"
	ReasonHead           Reason = "head"           // HEAD fills nothing
	ReasonOnlyIfCached   Reason = "only-if-cached" // 504: the request forbids asking the handler
	ReasonTooMany        Reason = "too-many-followers"
	ReasonStoreFailed    Reason = "store-failed"
	ReasonRecordBad      Reason = "bad-record" // what was stored does not decode
	ReasonRefreshing     Reason = "refreshing" // stale, and a refresh is under way
	ReasonInsteadOfError Reason = "error"      // stale, because the handler failed
	ReasonInsteadOfLate  Reason = "timeout"    // stale, because the handler took longer than FillTimeout
	ReasonMaxStale       Reason = "max-stale"  // stale, because the request accepts it
)

// Why an answer was not stored.
const (
	ReasonNoStore           Reason = "no-store"
	ReasonPrivate           Reason = "private"
	ReasonVaryStar          Reason = "vary-star"
	ReasonSetCookie         Reason = "set-cookie"
	ReasonStatus            Reason = "status"      // not a status that this route stores
	ReasonNoLifetime        Reason = "no-lifetime" // nothing gives it one, or it is not positive
	ReasonPredicate         Reason = "predicate"   // Storable said no
	ReasonPartial           Reason = "partial"
	ReasonNotModified       Reason = "not-modified"
	ReasonMustUnderstand    Reason = "must-understand"
	ReasonFromInside        Reason = "from-inside" // NoStore
	ReasonTooLarge          Reason = "too-large"   // body over MaxBody
	ReasonFieldsTooLarge    Reason = "fields-too-large"
	ReasonBudget            Reason = "fill-budget" // too many bytes in fills at once
	ReasonTooManyTags       Reason = "too-many-tags"
	ReasonBadTag            Reason = "bad-tag" // empty, or over 1 KiB; or the store could not invalidate by it
	ReasonEventStream       Reason = "event-stream"
	ReasonHijacked          Reason = "hijacked"
	ReasonTrailers          Reason = "trailers"
	ReasonShortBody         Reason = "short-body" // fewer or more bytes than Content-Length says
	ReasonPanic             Reason = "panic"
	ReasonFillTimeout       Reason = "fill-timeout"
	ReasonLateFill          Reason = "invalidated-meanwhile"
	ReasonCallbackPanic     Reason = "callback-panic" // TTLFunc, TagsFunc or Storable panicked
	ReasonVariesOnUncertain Reason = "vary-too-long"  // more than 16 selecting fields
	ReasonServerError       Reason = "server-error"
	ReasonLoadError         Reason = "load-error" // the loader of a function returned an error
	ReasonCodec             Reason = "codec"      // the codec did not encode the value
	ReasonNoCache           Reason = "no-cache"
	ReasonConditional       Reason = "conditional"    // the handler was shown a precondition or a range
	ReasonNested            Reason = "nested"         // asked for by the run that makes the same answer
	ReasonAbandoned         Reason = "abandoned"      // the client's own deadline came first
	ReasonSearch            Reason = "no-vary-search" // not the rule that its key was made by
)

// Event tells what became of one request or call. It is a value: keep it as long as you like.
type Event struct {
	Outcome Outcome
	Reason  Reason        // why not, or why stale; "" on a fresh hit, and on a miss because nothing was there
	Name    string        // of the function; "" for a response
	Method  string        // of the request; "" for functions
	Key     string        // the full key; "" if there is none. Credentials are in it as digests only
	Status  int           // of the response; 0 if unknown
	Age     time.Duration // of a stored answer
	TTL     time.Duration // what is left of its lifetime; negative once stale; Forever
	Start   time.Time     // when the request was seen
	Err     error         // a *StoreError, a key function's error, or nil
}

// Stats are counts since the cache was made, and what its store holds.
type Stats struct {
	Hits, Stales, Collapsed, Misses, Passes, Bypasses, Refreshes, Failures, Validated uint64

	StoreErrors uint64 // operations of the store that failed

	Fills     int   // running now
	FillBytes int64 // bodies held by them

	Entries int   // in the store; -1 if it does not say
	Bytes   int64 // as the store counts them against its bound; -1 if it does not say
}

// counters are spread over cache lines, so that hits on several cores do not share one.
type counters struct {
	shards      [8]counterShard
	storeErrors atomic.Uint64
}

type counterShard struct {
	n [Validated + 1]atomic.Uint64
	_ [128 - (int(Validated)+1)*8%128]byte
}

func (c *counters) add(o Outcome, spread uint64) { c.shards[spread%8].n[o].Add(1) }

func (c *counters) sum(o Outcome) (n uint64) {
	for i := range c.shards {
		n += c.shards[i].n[o].Load()
	}
	return n
}

// observe reports the answer to q; e is the entry that it came from, if any.
func (q *query) observe(o Outcome, reason Reason, e *entry, err error) {
	en := q.rt.cache.engine
	en.counts.add(o, uint64(q.now.Nanosecond())) //nolint:gosec // any spread will do
	if en.config.Observe == nil {
		return
	}
	ev := Event{Outcome: o, Reason: reason, Method: q.r.Method, Start: q.start, Err: err}
	if e != nil {
		ev.Key, ev.Status = e.Key(), int(e.Status)
		ev.Age, ev.TTL = q.told(e)
	} else {
		ev.Key = string(q.key)
	}
	en.config.Observe(q.r.Context(), ev)
}

// observeStatus reports an answer that came from no entry.
func (q *query) observeStatus(o Outcome, reason Reason, status int) {
	en := q.rt.cache.engine
	ev := Event{Outcome: o, Reason: reason, Method: q.r.Method, Start: q.start, Status: status, Err: q.failure}
	if en.config.Observe != nil {
		ev.Key = string(q.key)
	}
	en.report(q.r.Context(), ev)
}

// observeFill reports the answer that f's handler gave its first client.
func (q *query) observeFill(f *fill) {
	if f.answered {
		return // reported by what was served
	}
	reason := f.verdict()
	o := Miss
	switch {
	case reason != "":
		o = Pass
		q.warnIdentified(reason)
	case f.why != ReasonNotStored:
		reason = f.why
	}
	q.observeStatus(o, reason, f.recorder.status)
}

// warnIdentified tells, once per route, what would let identified requests be cached.
func (q *query) warnIdentified(reason Reason) {
	var remedy string
	switch reason {
	case ReasonAuthorization, ReasonClientCert:
		remedy = "reprise.PerUser for an entry per user, or reprise.Public if the answer is the same for all"
	case ReasonCookie:
		remedy = "reprise.Public if the answer is the same for all, reprise.Cookies for the cookies that it depends on, or reprise.PerUser"
	default:
		return
	}
	if !q.rt.warned.CompareAndSwap(false, true) {
		return
	}
	q.rt.cache.log.Warn("reprise: requests with credentials are not cached on this route; see the option that fits",
		"credentials", string(reason), "options", remedy, "path", q.r.URL.Path, "namespace", q.rt.namespace)
}

// report counts ev and hands it to Config.Observe.
func (e *engine) report(ctx context.Context, ev Event) {
	e.counts.add(ev.Outcome, uint64(ev.Start.Nanosecond())) //nolint:gosec // any spread will do
	if e.config.Observe != nil {
		e.config.Observe(ctx, ev)
	}
}
