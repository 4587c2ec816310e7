package rfc9111

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/header"
)

// now is when the responses of these tests are received.
var now = time.Date(2026, time.June, 1, 12, 0, 0, 0, time.UTC)

// request reads "GET /path\nName: value".
func request(t *testing.T, text string) (method string, h http.Header) {
	t.Helper()
	start, fields, _ := strings.Cut(text, "\n")
	method, _, _ = strings.Cut(start, " ")
	return method, parseFields(t, fields)
}

// response reads "200\nName: value".
func response(t *testing.T, text string) (status int, h http.Header) {
	t.Helper()
	start, fields, _ := strings.Cut(text, "\n")
	status, err := strconv.Atoi(start)
	if err != nil {
		t.Fatalf("response %q: %v", text, err)
	}
	return status, parseFields(t, fields)
}

// parseFields reads lines of "Name: value". A value that is "now" and perhaps a duration ("now+10s") is that date.
func parseFields(t *testing.T, text string) http.Header {
	t.Helper()
	h := make(http.Header)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if !ok {
			t.Fatalf("field line %q", line)
		}
		value = strings.TrimSpace(value)
		if offset, ok := strings.CutPrefix(value, "now"); ok {
			var d time.Duration
			if offset != "" {
				var err error
				if d, err = time.ParseDuration(offset); err != nil {
					t.Fatalf("field line %q: %v", line, err)
				}
			}
			value = now.Add(d).Format(http.TimeFormat)
		}
		h.Add(name, value)
	}
	return h
}

// parse is Parse for a cache that CDN-Cache-Control is meant for.
func parse(t *testing.T, text string) Response {
	t.Helper()
	status, h := response(t, text)
	return Parse(status, h, []string{"Cdn-Cache-Control"})
}

// directives returns what a request with these fields asks of a cache.
func directives(t *testing.T, fields string) *header.CacheControl {
	t.Helper()
	cc := RequestDirectives(parseFields(t, fields))
	return &cc
}
