package header

import (
	"iter"
	"net/http"
	"strings"
)

// HopByHop reports whether the field of that name, in any case, concerns one connection only, or the proxy at its end
// (RFC 9110 §7.6.1, RFC 9111 §3.1): it is neither stored nor forwarded.
func HopByHop(name string) bool {
	if !Canonical(name) {
		name = http.CanonicalHeaderKey(name)
	}
	switch name {
	case "Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
		"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization", "Proxy-Connection":
		return true
	}
	return false
}

// Nominated yields the canonical names of the fields that Connection declares to be of this hop only. Fields whose
// removal would change who may see a message, how it is read or how long it lives are not among them: nobody has a
// reason to nominate those, except to have a proxy drop what the next server relies on.
func Nominated(h http.Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range h["Connection"] {
			for s := scan(line); s.next(); {
				if !Token(s.elem) || equalFold(s.elem, "close") {
					continue
				}
				if name := http.CanonicalHeaderKey(s.elem); !matters(name) && !yield(name) {
					return
				}
			}
		}
	}
}

// matters reports whether the field of that canonical name is kept although Connection nominates it.
func matters(name string) bool {
	switch name {
	case "Accept", "Age", "Authorization", "Cache-Control", "Cookie", "Cookie2", "Date", "Etag", "Expect", "Expires",
		"Forwarded", "Host", "Last-Modified", "Location", "Origin", "Pragma", "Range", "Referer", "Set-Cookie",
		"Set-Cookie2", "Strict-Transport-Security", "Surrogate-Control", "User-Agent", "Vary", "Via", "Warning",
		"Www-Authenticate", "X-Content-Type-Options", "X-Frame-Options", "X-Real-Ip":
		return true
	}
	for _, prefix := range [...]string{
		"Accept-", "Access-Control-", "Content-", "Cross-Origin-", "If-", "Sec-", "X-Forwarded-",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return strings.HasSuffix(name, "-Cache-Control") // targeted fields, RFC 9213
}
