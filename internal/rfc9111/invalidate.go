package rfc9111

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Unsafe reports whether a request of that method may change what is at its URL (§4.4): it is not known to be safe.
func Unsafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "QUERY", "PROPFIND", "REPORT", "SEARCH":
		return false
	}
	return true
}

// Invalidates reports whether an answer with that status to a request of that method invalidates what is stored for
// its URL (§4.4): the method is unsafe and the answer no error.
func Invalidates(method string, status int) bool {
	return Unsafe(method) && status >= 200 && status < 400
}

// Targets returns the URLs, besides the request's own, that a successful unsafe request invalidates (§4.4): those in
// Location and Content-Location, if their origin is that of the request. u is the request's URL and host its host,
// which u may lack, as it may lack the scheme; any scheme is taken for the same then. The URLs are absolute, without a
// scheme if u has none, and without a fragment. Without a host there are none.
func Targets(u *url.URL, host string, h http.Header) []string {
	var targets []string
	for _, name := range [...]string{"Location", "Content-Location"} {
		for _, ref := range h[name] {
			if t := resolve(u, host, ref); t != nil && !slices.Contains(targets, t.String()) {
				targets = append(targets, t.String())
			}
		}
	}
	return targets
}

// SameURL reports whether a Content-Location names the URL of the request itself, so that the response to a POST may
// answer a later GET (RFC 9110 §9.3.3).
func SameURL(u *url.URL, host, contentLocation string) bool {
	t := resolve(u, host, contentLocation)
	return t != nil && t.EscapedPath() == escapedPath(u) && t.RawQuery == u.RawQuery
}

// resolve returns the absolute form of ref, nil if it is of another origin than u.
func resolve(u *url.URL, host, ref string) *url.URL {
	base := url.URL{Scheme: strings.ToLower(u.Scheme), Host: host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	if base.Path == "" {
		base.Path = "/"
	}
	t, err := base.Parse(ref)
	if err != nil || host == "" || t.Opaque != "" || t.User != nil {
		return nil
	}
	switch t.Scheme {
	case base.Scheme:
	case "http", "https":
		if base.Scheme != "" {
			return nil
		}
	default:
		return nil
	}
	if !sameHost(t, &base) {
		return nil
	}
	t.Scheme, t.Host, t.Fragment, t.RawFragment = base.Scheme, base.Host, "", ""
	if t.Path == "" {
		t.Path = "/"
	}
	return t
}

func sameHost(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	return port(a, a.Scheme) == port(b, b.Scheme) || b.Scheme == "" && port(a, a.Scheme) == port(b, a.Scheme)
}

// port returns the port of u, that of the scheme where it names none.
func port(u *url.URL, scheme string) string {
	p := u.Port()
	switch {
	case p != "":
		return p
	case scheme == "http":
		return "80"
	case scheme == "https":
		return "443"
	}
	return ""
}

func escapedPath(u *url.URL) string {
	if p := u.EscapedPath(); p != "" {
		return p
	}
	return "/"
}
