package rfc9111

import (
	"net/http"
	"time"

	"github.com/reprise-go/reprise/internal/header"
)

// Response is what the fields of a response say to a cache. It is made once per response by [Parse].
type Response struct {
	Status int

	// CC is the effective cache control: that of the first valid targeted field, else of Cache-Control. Pragma has no
	// meaning in a response (§5.4).
	CC header.CacheControl

	Age          time.Duration // the Age field; 0 if absent or invalid
	Date         time.Time     // zero if absent or invalid
	Expires      time.Time     // zero if absent or invalid
	LastModified time.Time     // zero if absent or invalid
	Vary         []string      // canonical names, sorted: see VaryNames

	Targeted   bool // CC is that of a targeted field; Expires counts as absent
	HasExpires bool // Expires is present, valid or not
	VaryStar   bool
	SetCookie  bool // sets a cookie that Clean does not take away
	Multipart  bool // multipart/byteranges
}

// Parse reads the fields of a response. targeted lists the names of the targeted fields (RFC 9213) that are meant for
// this cache, in canonical form and in order of preference.
func Parse(status int, h http.Header, targeted []string) Response {
	r := Response{Status: status}
	// RFC 9213 §2.2: the first that is valid and not empty replaces Cache-Control and Expires.
	for _, name := range targeted {
		if r.CC, r.Targeted = header.ParseTargeted(h[name]); r.Targeted {
			break
		}
	}
	if !r.Targeted {
		r.CC = header.ParseCacheControl(h["Cache-Control"])
	}
	r.Age = parseAge(h["Age"])
	r.Date = parseDate(h["Date"], time.Time{})
	r.LastModified = parseDate(h["Last-Modified"], r.Date)
	if !r.Targeted {
		// §5.3: an invalid date, "0" above all, means the past; §4.2.1: so do two of them.
		r.HasExpires = len(h["Expires"]) > 0
		r.Expires = parseDate(h["Expires"], r.Date)
	}
	r.Vary, r.VaryStar = VaryNames(h)
	r.SetCookie = setsCookie(h, &r.CC)
	r.Multipart = status == http.StatusPartialContent && multipart(h)
	return r
}

// parseAge reads the Age field (§5.1): the first member of the first line; anything but a number is ignored.
func parseAge(lines []string) time.Duration {
	for s := range header.List(lines) {
		d, ok := header.Seconds(s)
		if !ok {
			return 0
		}
		return d
	}
	return 0
}

// parseDate reads a field that holds one date. now, if known, resolves years of two digits.
func parseDate(lines []string, now time.Time) time.Time {
	if len(lines) != 1 {
		return time.Time{}
	}
	var t time.Time
	if now.IsZero() {
		t, _ = header.ParseDate(lines[0])
	} else {
		t, _ = header.ParseDateAt(lines[0], now)
	}
	return t
}

// Shareable reports whether the response says that it may answer requests whoever they come from: public or s-maxage.
func (r *Response) Shareable() bool {
	return !r.CC.Private && (r.CC.Public || r.CC.SMaxAge.Set && !r.CC.SMaxAge.Invalid)
}

// Authorizable reports whether the response may be stored for, and may answer, requests with Authorization (§3.5):
// public, s-maxage or must-revalidate.
func (r *Response) Authorizable() bool {
	return r.Shareable() || r.CC.MustRevalidate && !r.CC.Private
}

// MustRevalidate reports whether the response is never served stale: must-revalidate (§5.2.2.2), proxy-revalidate
// (§5.2.2.8), s-maxage (§5.2.2.10, which implies the latter).
func (r *Response) MustRevalidate() bool {
	return r.CC.MustRevalidate || r.CC.ProxyRevalidate || r.CC.SMaxAge.Set
}
