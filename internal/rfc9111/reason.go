package rfc9111

// Reason says why an answer is what it is. The set is closed.
type Reason string

// Why a response is not stored (§3).
const (
	NoStore          Reason = "no-store"         // §5.2.2.5: the response says no-store
	RequestNoStore   Reason = "request-no-store" // §5.2.1.5: the request says no-store
	Private          Reason = "private"          // §5.2.2.7: the response says private
	Method           Reason = "method"           // §3: answers to this method are not stored
	Interim          Reason = "interim"          // §3: the status is no final one
	NotModifiedReply Reason = "not-modified"     // §3: a 304 only freshens what is stored
	PartialContent   Reason = "partial"          // §3.3: a 206, and parts are not stored
	NotUnderstood    Reason = "status"           // §5.2.2.3: must-understand with a status that is unknown here
	Authorization    Reason = "authorization"    // §3.5: the request had Authorization, and nothing allows sharing
	Cookie           Reason = "cookie"           // the request had Cookie, and nothing allows sharing
	SetCookie        Reason = "set-cookie"       // §7.3: the response sets a cookie
	VaryStar         Reason = "vary-star"        // §4.1: no other request matches it
	NoFreshness      Reason = "no-freshness"     // §3: nothing in the response allows storing it
)

// Why a stored response is reused or not (§4).
const (
	IsFresh         Reason = "fresh"                  // §4.2: younger than its lifetime
	IsStale         Reason = "stale"                  // §4.2: as old as its lifetime, or older
	NoCache         Reason = "no-cache"               // §5.2.2.4: the response says no-cache
	MustRevalidate  Reason = "must-revalidate"        // §5.2.2.2, §5.2.2.8, §5.2.2.10: stale, and never served so
	RequestNoCache  Reason = "request-no-cache"       // §5.2.1.4, §5.4: the client wants validation
	RequestMaxAge   Reason = "request-max-age"        // §5.2.1.1: older than the client wants
	RequestMinFresh Reason = "min-fresh"              // §5.2.1.3: not fresh for as long as the client wants
	RequestMaxStale Reason = "max-stale"              // §5.2.1.2: stale, and the client accepts it or wants none so stale
	WhileStale      Reason = "stale-while-revalidate" // RFC 5861 §3: stale, refreshed meanwhile
	OnlyIfCached    Reason = "only-if-cached"         // §5.2.1.7: needs the origin, and the client forbids to ask it
)
