package rfc9111

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/header"
)

// Validators are the fields of a stored response that tell it from other versions, as they stand there; "" if absent.
type Validators struct {
	ETag         string
	LastModified string
	Date         string
}

// NotModified reports whether a GET or HEAD request with these fields is to be answered by 304 from the stored
// response (§4.3.2, RFC 9110 §13.2.2): by If-None-Match if there is one, else by If-Modified-Since.
func (v Validators) NotModified(req http.Header) bool {
	if lines := req["If-None-Match"]; len(lines) > 0 {
		return header.MatchETag(lines, v.ETag, false)
	}
	lines := req["If-Modified-Since"]
	if len(lines) != 1 {
		return false
	}
	since, ok := header.ParseDate(lines[0])
	if !ok {
		return false
	}
	modified := v.LastModified
	if modified == "" {
		modified = v.Date // §4.3.2: the time at which it was certainly there
	}
	if modified == lines[0] {
		return true
	}
	t, ok := header.ParseDate(modified)
	return ok && !t.After(since)
}

// IfRange reports whether the Range of a request with these fields applies to the stored response: there is no
// If-Range, or it is that response's own strong validator (RFC 9110 §13.1.5).
func (v Validators) IfRange(req http.Header) bool {
	lines := req["If-Range"]
	if len(lines) == 0 {
		return true
	}
	if len(lines) > 1 {
		return false
	}
	s := lines[0]
	if strings.IndexByte(s, '"') >= 0 {
		return s == v.ETag && header.ValidETag(s) && !header.IsWeak(s)
	}
	return s == v.LastModified && v.strongDate()
}

// strongDate reports whether LastModified is a strong validator (RFC 9110 §8.8.2.2): the response was made at least a second
// after it.
func (v Validators) strongDate() bool {
	modified, ok := header.ParseDate(v.LastModified)
	date, dated := header.ParseDate(v.Date)
	return ok && dated && date.Sub(modified) >= time.Second
}

// Usable reports whether [Validators.Conditional] has something to ask by.
func (v Validators) Usable() bool {
	_, dated := header.ParseDate(v.LastModified)
	return dated || header.ValidETag(v.ETag)
}

// Conditional makes out, the fields of a request to the origin, ask whether the stored response is still the current
// one (§4.3.1). The client's own conditions and Range are taken off. It reports false, and sets nothing, if the
// stored response has no validator.
func (v Validators) Conditional(out http.Header) bool {
	for _, name := range [...]string{
		"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Range",
	} {
		out.Del(name)
	}
	ok := false
	if header.ValidETag(v.ETag) {
		out["If-None-Match"] = []string{v.ETag}
		ok = true
	}
	if _, dated := header.ParseDate(v.LastModified); dated {
		out["If-Modified-Since"] = []string{v.LastModified}
		ok = true
	}
	return ok
}

// Selects reports whether a 304 with these fields is about the stored response (§4.3.4): its validators, if it has
// any, are the same. A 304 that is not means that the origin has to be asked again without conditions.
func (v Validators) Selects(notModified http.Header) bool {
	if etag := header.First(notModified, "Etag"); header.ValidETag(etag) {
		return header.MatchETag([]string{etag}, v.ETag, !header.IsWeak(etag))
	}
	if modified := header.First(notModified, "Last-Modified"); modified != "" && v.LastModified != "" && v.ETag == "" {
		return modified == v.LastModified
	}
	return true
}

// SameHead reports whether a 200 to HEAD is about the stored response (§4.3.5): the fields that identify the content
// are the same wherever both have them. If not, what is stored is stale.
func SameHead(stored, head http.Header) bool {
	for _, name := range [...]string{"Etag", "Last-Modified", "Content-Length"} {
		if a, b := stored.Get(name), head.Get(name); a != "" && b != "" && a != b {
			return false
		}
	}
	return true
}

// Freshen replaces the fields of a stored response by those of a 304 that selects it, or of a 200 to HEAD (§3.2,
// §4.3.5). Fields that describe the stored bytes stay as they are, and what is never stored is not taken over. What
// the result says of storing and of single fields is for Parse, Storable and Clean.
func Freshen(stored, notModified http.Header) {
	nominated := slices.Collect(header.Nominated(notModified))
	for name, lines := range notModified {
		if len(lines) > 0 && Replaceable(name) && !slices.Contains(nominated, name) {
			stored[name] = slices.Clone(lines)
		}
	}
}

// Replaceable reports whether the field of a stored response is replaced by that of a newer one with the same body (§3.2): it does
// not describe the stored bytes, and is not one of a hop.
func Replaceable(name string) bool {
	switch name {
	case "Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Age":
		return false
	}
	return !header.HopByHop(name)
}
