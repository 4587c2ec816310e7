package rfc9111

import (
	"net/http"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/internal/header"
)

// Request is what a cache has to know of a request whose response it may store.
type Request struct {
	Method        string
	CC            header.CacheControl // see RequestDirectives
	Authorization bool                // the request has an Authorization field
	Cookie        bool                // the request has a Cookie field
}

// Rules are what the route says of storing. The zero value stores what states its own lifetime, for requests that
// name nobody.
type Rules struct {
	Private    bool // the entry belongs to one user: private, Authorization and Cookie do not prevent storing
	Authorized bool // the answer is shared in spite of Authorization
	Cookies    bool // the answer is shared in spite of Cookie
	SetCookie  bool // responses that set cookies are stored
	Method     bool // the method was opted in and is in the key
	Partial    bool // a 206 is stored as an incomplete response (§3.3)
	DefaultTTL bool // the route gives a lifetime to responses without one; the caller checks the status
	Standard   bool // RFC 9111 to the letter: heuristics allow storing, and Cookie names nobody
	ByCookie   bool // Cookie names somebody, with Standard too
}

// Storable returns why a response to q is not to be stored by a shared cache (§3), or "". What private and no-cache
// say of single fields is no obstacle: [Clean] takes these away. That a response to POST is about its own URL is for
// the caller to see: [SameURL].
func (r *Response) Storable(q Request, rules Rules) Reason {
	switch {
	// §3: the method is understood by the cache.
	case !rules.Method && !storableMethod(q.Method, rules.Standard):
		return Method
	// §3: the status is final.
	case r.Status < 200 || r.Status > 999:
		return Interim
	// §3: for 206 and 304, the cache understands them.
	case r.Status == http.StatusNotModified:
		return NotModifiedReply
	case r.Status == http.StatusPartialContent && (!rules.Partial || r.Multipart):
		return PartialContent
	// §5.2.2.3: must-understand makes the status decide, and no-store is for those who do not understand.
	case r.CC.MustUnderstand && !understood(r.Status):
		return NotUnderstood
	// §5.2.2.5.
	case r.CC.NoStore && !r.CC.MustUnderstand:
		return NoStore
	// §5.2.1.5.
	case q.CC.NoStore:
		return RequestNoStore
	// §5.2.2.7.
	case r.CC.Private && !rules.Private:
		return Private
	// §3.5.
	case q.Authorization && !rules.Authorized && !rules.Private && !r.Authorizable():
		return Authorization
	// §4.1: stored, it would never be selected.
	case r.VaryStar:
		return VaryStar
	// §7.3: to the RFC it is the origin's business; a cookie that reaches the wrong client is worse than a miss.
	case r.SetCookie && !rules.SetCookie:
		return SetCookie
	case q.Cookie && (!rules.Standard || rules.ByCookie) && !rules.Cookies && !rules.Private && !r.Shareable():
		return Cookie
	case !rules.DefaultTTL && !r.allows(q.Method, rules):
		return NoFreshness
	}
	return ""
}

// allows reports whether the response has one of the things that allow storing it (§3, last item).
func (r *Response) allows(method string, rules Rules) bool {
	if r.explicit() {
		return true
	}
	// RFC 9110 §9.3.3: a response to POST needs explicit freshness.
	return rules.Standard && method != http.MethodPost &&
		(r.CC.Public || r.CC.Private || heuristic(r.Status))
}

// explicit reports whether the response states its lifetime, be it one that cannot be read.
func (r *Response) explicit() bool { return r.CC.SMaxAge.Set || r.CC.MaxAge.Set || r.HasExpires }

func storableMethod(method string, standard bool) bool {
	switch method {
	case http.MethodGet, http.MethodHead, "QUERY":
		return true
	case http.MethodPost:
		return standard // RFC 9110 §9.3.3; SameURL is the other half of the condition
	}
	return false
}

// understood reports whether the caching requirements of a status are implemented (§3): those of RFC 9110 §15.
func understood(status int) bool {
	switch {
	case status >= 200 && status <= 206,
		status >= 300 && status <= 308 && status != 306,
		status >= 400 && status <= 417,
		status == 421, status == 422, status == 426,
		status >= 500 && status <= 505:
		return true
	}
	return false
}

// heuristic reports whether a status may be given a heuristic lifetime (RFC 9110 §15.1).
func heuristic(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// Clean deletes from h what is never stored (§3.1): fields of this hop and of proxies, those that Connection
// nominates, Age (which the cache states anew), and the fields that cc names in no-cache="…" and private="…"
// (§5.2.2.4, §5.2.2.7). For an entry that belongs to one user, clear cc.PrivateFields first.
func Clean(h http.Header, cc header.CacheControl) {
	nominated := slices.Collect(header.Nominated(h))
	for name := range h {
		// A handler may have bypassed Set, and with it the canonical form.
		c := http.CanonicalHeaderKey(name)
		if c == "Age" || header.HopByHop(c) || slices.Contains(nominated, c) ||
			slices.Contains(cc.NoCacheFields, c) || slices.Contains(cc.PrivateFields, c) {
			delete(h, name)
		}
	}
}

func setsCookie(h http.Header, cc *header.CacheControl) bool {
	for _, name := range [...]string{"Set-Cookie", "Set-Cookie2"} {
		if len(h[name]) > 0 && !slices.Contains(cc.NoCacheFields, name) && !slices.Contains(cc.PrivateFields, name) {
			return true
		}
	}
	return false
}

func multipart(h http.Header) bool {
	const typ = "multipart/"
	s := header.First(h, "Content-Type")
	return len(s) >= len(typ) && strings.EqualFold(s[:len(typ)], typ)
}
