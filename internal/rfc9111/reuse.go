package rfc9111

import (
	"net/http"
	"time"

	"github.com/reprise-go/reprise/internal/header"
)

// Stored is what decides on the reuse of a stored response, at the moment of the request.
type Stored struct {
	Age      time.Duration // §4.2.3: current_age
	Lifetime time.Duration // §4.2.1: freshness_lifetime

	MustRevalidate bool          // never served stale: see Response.MustRevalidate
	NoCache        bool          // never served without validation
	StaleWhile     time.Duration // how long past its lifetime it is served while it is refreshed (RFC 5861 §3)
	StaleIf        time.Duration // the same, instead of an error (RFC 5861 §4)
}

// Verdict says how a stored response may be used.
type Verdict uint8

const (
	Validate        Verdict = iota // not before the origin was asked; with only-if-cached, not at all: 504
	Fresh                          // as it is
	StaleAllowed                   // stale, for the client accepts that
	WhileRevalidate                // stale, while it is refreshed in the background
)

// String returns the name of the verdict.
func (v Verdict) String() string {
	switch v {
	case Fresh:
		return "fresh"
	case StaleAllowed:
		return "stale"
	case WhileRevalidate:
		return "stale-while-revalidate"
	case Validate:
		return "validate"
	}
	return "invalid"
}

// Reuse decides whether a stored response may answer a request with the directives q (§4, §5.2.1), and why. A nil q has
// none.
func Reuse(q *header.CacheControl, s Stored) (Verdict, Reason) {
	v, why := reuse(q, s)
	if v == Validate && q != nil && q.OnlyIfCached {
		return Validate, OnlyIfCached // §5.2.1.7
	}
	return v, why
}

func reuse(q *header.CacheControl, s Stored) (Verdict, Reason) {
	if s.NoCache {
		return Validate, NoCache // §5.2.2.4
	}
	fresh := s.Age < s.Lifetime // §4.2
	if q == nil {
		q = new(header.CacheControl)
	}
	switch {
	case q.NoCache:
		return Validate, RequestNoCache // §5.2.1.4
	// §5.2.1.1. max-age=0 asks for validation also of what is not a moment old.
	case q.MaxAge.Set && (s.Age > q.MaxAge.D || q.MaxAge.D == 0):
		return Validate, RequestMaxAge
	// §5.2.1.3.
	case q.MinFresh.D > 0 && add(s.Age, q.MinFresh.D) > s.Lifetime:
		return Validate, RequestMinFresh
	case fresh:
		return Fresh, IsFresh
	// §4.2.4: no client can lift what the origin prohibits.
	case s.MustRevalidate:
		return Validate, MustRevalidate
	}

	staleness := s.Age - s.Lifetime
	limited := q.MaxStale.Set && !q.MaxStaleAny
	switch {
	case limited && staleness > q.MaxStale.D:
		return Validate, RequestMaxStale // §5.2.1.2
	// §5.2.1.1: who states max-age wants nothing stale, unless max-stale says otherwise.
	case q.MaxAge.Set && !limited && !q.MaxStaleAny:
		return Validate, RequestMaxAge
	case s.StaleWhile > 0 && staleness <= s.StaleWhile:
		return WhileRevalidate, WhileStale // RFC 5861 §3
	case limited || q.MaxStaleAny:
		return StaleAllowed, RequestMaxStale
	}
	return Validate, IsStale
}

// MayServeOnError reports whether a stored response may answer when the origin cannot: for staleness by which it
// exceeds its lifetime (§4.2.4, RFC 5861 §4). disconnected says that the origin could not be reached at all, which
// needs no permission; an error that it answered with does. q may be nil.
func MayServeOnError(q *header.CacheControl, s Stored, disconnected bool) bool {
	if s.NoCache || q != nil && q.NoCache {
		return false
	}
	if s.Age < s.Lifetime {
		return true
	}
	if s.MustRevalidate {
		return false
	}
	staleness := s.Age - s.Lifetime
	if disconnected || s.StaleIf > 0 && staleness <= s.StaleIf {
		return true
	}
	return q != nil && (q.MaxStaleAny || q.MaxStale.Set && staleness <= q.MaxStale.D ||
		q.StaleIfError.D > 0 && staleness <= q.StaleIfError.D)
}

// RequestDirectives returns the directives of a request. Pragma: no-cache counts where there is no Cache-Control
// (§5.4).
func RequestDirectives(h http.Header) header.CacheControl {
	lines := h["Cache-Control"]
	if len(lines) == 0 {
		if lines = h["Pragma"]; len(lines) == 0 {
			return header.CacheControl{}
		}
		return header.CacheControl{NoCache: header.ParseCacheControl(lines).NoCache}
	}
	cc := header.ParseCacheControl(lines)
	if len(cc.NoCacheFields) > 0 { // in a request the directive takes no names (§5.2.1.4)
		cc.NoCache, cc.NoCacheFields = true, nil
	}
	return cc
}
