package rfc9111

import (
	"net/http"
	"slices"
	"strings"

	"github.com/reprise-go/reprise/internal/header"
)

// VaryNames returns the fields of the request that select the response (§4.1): canonical, sorted, each once. star says
// that Vary has a member that is * or no field name, so that no other request matches.
//
// An Access-Control-Allow-Origin that names one origin counts as Origin and a Content-Encoding as Accept-Encoding,
// also where the origin forgot to say so.
func VaryNames(h http.Header) (names []string, star bool) {
	for s := range header.List(h["Vary"]) {
		if s == "*" || !header.Token(s) {
			return nil, true
		}
		names = append(names, http.CanonicalHeaderKey(s))
	}
	for _, v := range h["Access-Control-Allow-Origin"] {
		if v != "" && v != "*" {
			names = append(names, "Origin")
		}
	}
	for v := range header.List(h["Content-Encoding"]) {
		if !strings.EqualFold(v, "identity") {
			names = append(names, "Accept-Encoding")
		}
	}
	slices.Sort(names)
	return slices.Compact(names), false
}

// PrefersLanguage reports whether a stored response with that Content-Language answers a request with these
// Accept-Language lines although it was selected by others: it is in the one language that the client prefers
// to all others, so that no better one exists.
func PrefersLanguage(acceptLanguage []string, contentLanguage string) bool {
	first := header.FirstLanguage(acceptLanguage)
	return first != "" && strings.EqualFold(first, contentLanguage)
}
