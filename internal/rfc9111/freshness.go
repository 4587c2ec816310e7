package rfc9111

import (
	"math"
	"time"

	"github.com/reprise-go/reprise/internal/header"
)

// MaxHeuristic bounds what [Response.Heuristic] guesses.
const MaxHeuristic = 24 * time.Hour

// Lifetime returns how long the response, which was received at that time, is fresh (§4.2.1). explicit says that the
// response states it; if it does so in a way that cannot be read, the lifetime is 0. It is never longer than
// header.MaxDelta, so that it can be added to a time.
func (r *Response) Lifetime(received time.Time) (d time.Duration, explicit bool) {
	switch {
	case r.CC.SMaxAge.Set:
		return r.CC.SMaxAge.D, true
	case r.CC.MaxAge.Set:
		return r.CC.MaxAge.D, true
	case r.HasExpires && !r.Expires.IsZero():
		return min(max(0, r.Expires.Sub(r.date(received))), header.MaxDelta), true
	}
	return 0, r.HasExpires
}

// date returns the Date of the response or, where it has none, when it was received (RFC 9110 §6.6.1).
func (r *Response) date(received time.Time) time.Time {
	if r.Date.IsZero() {
		return received
	}
	return r.Date
}

// Heuristic returns a lifetime for a response that states none (§4.2.2): a tenth of the time for which it had not been
// modified when it was received, at most MaxHeuristic. It is 0 without Last-Modified, and for a status that neither
// RFC 9110 §15.1 nor public allows it for.
func (r *Response) Heuristic(received time.Time) time.Duration {
	if r.LastModified.IsZero() || !heuristic(r.Status) && !r.CC.Public {
		return 0
	}
	return min(max(0, r.date(received).Sub(r.LastModified)/10), MaxHeuristic)
}

// InitialAge returns the age of the response at responseTime, when it was received for a request that was sent at
// requestTime (§4.2.3: corrected_initial_age), at most header.MaxDelta. The age of a reused response is this plus the
// time it rested here.
func (r *Response) InitialAge(requestTime, responseTime time.Time) time.Duration {
	var apparent time.Duration
	if !r.Date.IsZero() {
		apparent = max(0, responseTime.Sub(r.Date))
	}
	delay := max(0, responseTime.Sub(requestTime))
	return min(max(apparent, add(r.Age, delay)), header.MaxDelta)
}

// add is a + b for durations that are not negative, at most the longest one.
func add(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
