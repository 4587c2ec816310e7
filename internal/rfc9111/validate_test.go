package rfc9111

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func validators(h http.Header) Validators {
	return Validators{ETag: h.Get("Etag"), LastModified: h.Get("Last-Modified"), Date: h.Get("Date")}
}

func TestNotModified(t *testing.T) {
	for _, tt := range []struct {
		name, req, stored string // fields
		want              bool
	}{
		{"4.3.2/unconditional", "", "ETag: \"1\"", false},
		{"4.3.2/etag", "If-None-Match: \"1\"", "ETag: \"1\"", true},
		{"4.3.2/etag_weak", "If-None-Match: \"1\"", "ETag: W/\"1\"", true},
		{"4.3.2/etag_list", "If-None-Match: \"2\"\nIf-None-Match: \"3\", W/\"1\"", "ETag: \"1\"", true},
		{"4.3.2/etag_star", "If-None-Match: *", "", true},
		{"4.3.2/etag_differs", "If-None-Match: \"2\"", "ETag: \"1\"", false},
		{"4.3.2/etag_over_date", "If-None-Match: \"1\"\nIf-Modified-Since: now-10000s", "ETag: \"1\"\nLast-Modified: now-5000s", true},
		{"4.3.2/etag_differs_over_date", "If-None-Match: \"2\"\nIf-Modified-Since: now", "ETag: \"1\"\nLast-Modified: now-5000s", false},
		{"4.3.2/etag_without_one", "If-None-Match: \"2\"\nIf-Modified-Since: now", "Last-Modified: now-5000s", false},
		{"4.3.2/date_same", "If-Modified-Since: now-3000s", "Last-Modified: now-3000s", true},
		{"4.3.2/date_later", "If-Modified-Since: now-2000s", "Last-Modified: now-3000s", true},
		{"4.3.2/date_earlier", "If-Modified-Since: now-4000s", "Last-Modified: now-3000s", false},
		{"4.3.2/rfc850", "If-Modified-Since: Monday, 01-Jun-26 12:00:00 GMT", "Last-Modified: now", true},
		{"4.3.2/no_last-modified", "If-Modified-Since: now-3000s", "Date: now", false},
		{"4.3.2/no_last-modified_date", "If-Modified-Since: now+10s", "Date: now", true},
		{"4.3.2/no_date_at_all", "If-Modified-Since: now", "", false},
		{"RFC9110/13.1.3/invalid", "If-Modified-Since: 2026-06-01", "Last-Modified: now-3000s", false},
		{"RFC9110/13.1.3/two", "If-Modified-Since: now\nIf-Modified-Since: now", "Last-Modified: now-3000s", false},
		{"RFC9110/13.1.3/invalid_stored", "If-Modified-Since: now", "Last-Modified: yesterday\nDate: now", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := validators(parseFields(t, tt.stored)).NotModified(parseFields(t, tt.req)); got != tt.want {
				t.Errorf("NotModified(%q) of %q = %v; want %v", tt.req, tt.stored, got, tt.want)
			}
		})
	}
}

func TestIfRange(t *testing.T) {
	for _, tt := range []struct {
		name, req, stored string // fields
		want              bool
	}{
		{"none", "Range: bytes=0-1", "", true},
		{"etag", "If-Range: \"1\"", "ETag: \"1\"", true},
		{"etag_differs", "If-Range: \"2\"", "ETag: \"1\"", false},
		{"etag_weak", "If-Range: W/\"1\"", "ETag: W/\"1\"", false},
		{"etag_weak_stored", "If-Range: \"1\"", "ETag: W/\"1\"", false},
		{"etag_list", "If-Range: \"1\", \"2\"", "ETag: \"1\"", false},
		{"etag_unquoted", "If-Range: 1", "ETag: 1", false},
		{"date", "If-Range: now-10s", "Last-Modified: now-10s\nDate: now", true},
		{"date_later", "If-Range: now-9s", "Last-Modified: now-10s\nDate: now", false},
		{"date_weak", "If-Range: now", "Last-Modified: now\nDate: now", false},
		{"date_strong_by_a_second", "If-Range: now-1s", "Last-Modified: now-1s\nDate: now", true},
		{"date_without_date", "If-Range: now-10s", "Last-Modified: now-10s", false},
		{"two", "If-Range: \"1\"\nIf-Range: \"1\"", "ETag: \"1\"", false},
		{"empty", "If-Range:", "", false},
	} {
		t.Run("RFC9110/13.1.5/"+tt.name, func(t *testing.T) {
			if got := validators(parseFields(t, tt.stored)).IfRange(parseFields(t, tt.req)); got != tt.want {
				t.Errorf("IfRange(%q) of %q = %v; want %v", tt.req, tt.stored, got, tt.want)
			}
		})
	}
}

func TestConditional(t *testing.T) {
	for _, tt := range []struct {
		name, req, stored string
		want              string // fields in order of their names
	}{
		{"4.3.1/etag", "Abc: 123", "ETag: \"1\"", `Abc: 123; If-None-Match: "1"`},
		{"4.3.1/etag_weak", "", "ETag: W/\"1\"", `If-None-Match: W/"1"`},
		{"4.3.1/date", "", "Last-Modified: now", "If-Modified-Since: Mon, 01 Jun 2026 12:00:00 GMT"},
		{
			"4.3.1/date_verbatim", "", "Last-Modified: Mon Jun  1 12:00:00 2026",
			"If-Modified-Since: Mon Jun  1 12:00:00 2026",
		},
		{
			"4.3.1/both", "", "Last-Modified: now\nETag: \"1\"",
			`If-Modified-Since: Mon, 01 Jun 2026 12:00:00 GMT; If-None-Match: "1"`,
		},
		{
			"4.3.1/own_conditions_only",
			"If-None-Match: \"2\"\nIf-Modified-Since: now\nIf-Match: *\nIf-Unmodified-Since: now\nRange: bytes=0-1\nIf-Range: \"2\"\nA: 1",
			"ETag: \"1\"", `A: 1; If-None-Match: "1"`,
		},
		{"4.3.1/no_validator", "If-None-Match: \"2\"\nA: 1", "Date: now", "A: 1"},
		{"4.3.1/invalid_validators", "", "ETag: *\nLast-Modified: 0", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := parseFields(t, tt.req)
			v := validators(parseFields(t, tt.stored))
			ok := v.Conditional(out)
			if v.Usable() != ok {
				t.Errorf("Usable() of %q = %v; Conditional = %v", tt.stored, v.Usable(), ok)
			}
			if got := flat(out); got != tt.want || ok != strings.Contains(tt.want, "If-") {
				t.Errorf("Conditional(%q) for %q = %v, %q; want %q", tt.req, tt.stored, ok, got, tt.want)
			}
		})
	}
}

// flat returns the fields in one line, in order of their names.
func flat(h http.Header) string {
	var fields []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		fields = append(fields, name+": "+strings.Join(h[name], ", "))
	}
	return strings.Join(fields, "; ")
}

func TestSelects(t *testing.T) {
	for _, tt := range []struct {
		name, stored, reply string
		want                bool
	}{
		{"same_etag", "ETag: \"1\"", "ETag: \"1\"", true},
		{"other_etag", "ETag: \"1\"", "ETag: \"2\"", false},
		{"weak_etag", "ETag: \"1\"", "ETag: W/\"1\"", true},
		{"strong_of_weak", "ETag: W/\"1\"", "ETag: \"1\"", false},
		{"new_etag", "Last-Modified: now", "ETag: \"1\"", false},
		{"no_validator", "ETag: \"1\"", "Date: now", true},
		{"same_date", "Last-Modified: now", "Last-Modified: now", true},
		{"other_date", "Last-Modified: now", "Last-Modified: now+1s", false},
		{"other_date_same_etag", "ETag: \"1\"\nLast-Modified: now", "ETag: \"1\"\nLast-Modified: now+1s", true},
	} {
		t.Run("4.3.4/"+tt.name, func(t *testing.T) {
			if got := validators(parseFields(t, tt.stored)).Selects(parseFields(t, tt.reply)); got != tt.want {
				t.Errorf("Selects(%q) for %q = %v; want %v", tt.reply, tt.stored, got, tt.want)
			}
		})
	}
}

func TestSameHead(t *testing.T) {
	for _, tt := range []struct {
		name, stored, reply string
		want                bool
	}{
		{"nothing", "", "", true},
		{"other_fields", "A: 1\nETag: \"1\"", "A: 2", true},
		{"same", "ETag: \"1\"\nContent-Length: 5", "ETag: \"1\"\nContent-Length: 5", true},
		{"etag", "ETag: \"1\"", "ETag: \"2\"", false},
		{"last-modified", "Last-Modified: now", "Last-Modified: now+1s", false},
		{"content-length", "Content-Length: 5", "Content-Length: 6", false},
	} {
		t.Run("4.3.5/"+tt.name, func(t *testing.T) {
			if got := SameHead(parseFields(t, tt.stored), parseFields(t, tt.reply)); got != tt.want {
				t.Errorf("SameHead(%q, %q) = %v; want %v", tt.stored, tt.reply, got, tt.want)
			}
		})
	}
}

func TestFreshen(t *testing.T) {
	for _, tt := range []struct {
		name, stored, reply, want string
	}{
		{"3.2/omitted_stays", "A: 1\nB: 2", "B: 3", "A: 1; B: 3"},
		{"3.2/new", "A: 1", "Cache-Control: max-age=5", "A: 1; Cache-Control: max-age=5"},
		{"3.2/all_lines", "A: 1\nA: 2", "A: 3", "A: 3"},
		{"3.2/many_lines", "A: 1", "A: 2\nA: 3", "A: 2, 3"},
		{
			"3.2/of_the_content_too",
			"Content-Foo: 1\nContent-Location: /a\nContent-Security-Policy: x\nETag: \"1\"\nExpires: 0\nX-Frame-Options: deny",
			"Content-Foo: 2\nContent-Location: /b\nContent-Security-Policy: y\nETag: W/\"1\"\nExpires: 1\nX-Frame-Options: sameorigin",
			`Content-Foo: 2; Content-Location: /b; Content-Security-Policy: y; Etag: W/"1"; Expires: 1; X-Frame-Options: sameorigin`,
		},
		{
			"3.2/of_the_stored_bytes",
			"Content-Length: 36\nContent-Encoding: br\nContent-Type: text/a\nContent-Range: x",
			"Content-Length: 10\nContent-Encoding: gzip\nContent-Type: text/b\nContent-Range: y",
			"Content-Encoding: br; Content-Length: 36; Content-Range: x; Content-Type: text/a",
		},
		{"3.1/never_stored", "A: 1", "Connection: b\nB: 2\nTransfer-Encoding: chunked\nAge: 5\nProxy-Authenticate: x", "A: 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stored := parseFields(t, tt.stored)
			reply := parseFields(t, tt.reply)
			Freshen(stored, reply)
			if got := flat(stored); got != tt.want {
				t.Errorf("Freshen(%q, %q) = %q; want %q", tt.stored, tt.reply, got, tt.want)
			}
			for name := range reply {
				reply[name][0] = "changed"
			}
			if got := flat(stored); got != tt.want {
				t.Errorf("Freshen shares values with the 304: %q", got)
			}
		})
	}
}
