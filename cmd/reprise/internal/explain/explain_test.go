package explain_test

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/cmd/reprise/internal/explain"
	"github.com/reprise-go/reprise/internal/rfc9111"
)

var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// exchange reads "GET\nName: value" and "200\nName: value".
func exchange(t *testing.T, request, response string) explain.Exchange {
	t.Helper()
	fields := func(text string) (first string, h http.Header) {
		first, rest, _ := strings.Cut(text, "\n")
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET / HTTP/1.1\r\n" + strings.ReplaceAll(rest, "\n", "\r\n") + "\r\n\r\n")))
		if rest != "" && err != nil {
			t.Fatal(err)
		}
		if rest == "" {
			return first, http.Header{}
		}
		return first, r.Header
	}
	x := explain.Exchange{Sent: now, Received: now.Add(2 * time.Second)}
	var status string
	x.Method, x.Request = fields(request)
	status, x.Response = fields(response)
	code, err := strconv.Atoi(status)
	if err != nil {
		t.Fatal(err)
	}
	x.Status = code
	return x
}

func TestDecisions(t *testing.T) {
	const date = "Date: Mon, 01 Jun 2026 12:00:00 GMT\n"
	for _, tt := range []struct {
		name, request, response string
		want                    []string // parts of "question: answer (section)", each in a line of its own
	}{
		{"max-age", "GET", "200\n" + date + "Cache-Control: max-age=60", []string{
			"which field: Cache-Control (max-age=60) (RFC 9111 §5.2)",
			"may it be stored: yes (RFC 9111 §3)",
			"for which requests: all of its URL (RFC 9111 §4.1)",
			"how long is it fresh: 1m0s, by max-age (RFC 9111 §4.2.1, §5.2.2.1)",
			"how old is it already: 2s, by Age (absent), Date (Mon, 01 Jun 2026 12:00:00 GMT)",
			"what does the same request get next: the stored response: it is younger than its lifetime (RFC 9111 §4.2)",
			"how is the origin asked once it is stale: for all of it",
			"may it be served stale: when the origin cannot be reached (RFC 9111 §4.2.4)",
		}},
		{"s-maxage", "GET", "200\nCache-Control: max-age=60, s-maxage=5", []string{"5s, by s-maxage", "may it be served stale: never"}},
		{"s-maxage that is none", "GET", "200\nCache-Control: s-maxage=x", []string{"0s, by s-maxage, whose value cannot be read"}},
		{"Expires", "GET", "200\n" + date + "Expires: Mon, 01 Jun 2026 12:10:00 GMT", []string{"10m0s, by Expires less Date"}},
		{"targeted", "GET", "200\nCache-Control: no-store\nCDN-Cache-Control: max-age=60", []string{"CDN-Cache-Control is for this kind of cache", "1m0s, by max-age"}},
		{"heuristic", "GET", "200\n" + date + "Last-Modified: Mon, 01 Jun 2026 02:00:00 GMT\nEtag: \"x\"", []string{
			"1h0m0s, a tenth of the time since Last-Modified", `with If-None-Match: "x" and If-Modified-Since: Mon, 01 Jun 2026 02:00:00 GMT (RFC 9111 §4.3.1)`,
		}},
		{"nothing", "GET", "200\nX: y", []string{"not at all: the response does not say", "what the origin says then: it is as old as its lifetime"}},
		{"no-store", "GET", "200\nCache-Control: no-store", []string{"may it be stored: no: it says no-store (RFC 9111 §5.2.2.5)"}},
		{"cookie", "GET\nCookie: a=b", "200\nCache-Control: max-age=60", []string{"no: the request has Cookie, and the response says neither public nor s-maxage"}},
		{"cookie and public", "GET\nCookie: a=b", "200\nCache-Control: public, max-age=60", []string{"yes: the request has Cookie, and the response says public"}},
		{"authorization", "GET\nAuthorization: Basic x", "200\nCache-Control: max-age=60", []string{"no: the request has Authorization"}},
		{"authorization and must-revalidate", "GET\nAuthorization: Basic x", "200\nCache-Control: max-age=60, must-revalidate", []string{"yes: the request has Authorization"}},
		{"Set-Cookie", "GET", "200\nCache-Control: max-age=60\nSet-Cookie: a=b", []string{"no: it sets a cookie"}},
		{"Vary", "GET", "200\nCache-Control: max-age=60\nVary: Accept-Language, Accept", []string{"those with the same Accept, Accept-Language"}},
		{"fields", "GET", "200\nCache-Control: max-age=60, private=\"X-User\"", []string{"without which fields: X-User"}},
		{"stale", "GET", "200\nCache-Control: max-age=60, stale-while-revalidate=30, stale-if-error=300\nAge: 70", []string{
			"the stored response, stale, while it is refreshed: it says stale-while-revalidate (RFC 5861 §3)",
			"for 30s, while it is refreshed", "for 5m0s, instead of an error",
		}},
		{"no-cache", "GET", "200\nCache-Control: no-cache, max-age=60", []string{"what the origin says then: it says no-cache", "never: no-cache"}},
		{"request", "GET\nCache-Control: max-age=1", "200\nCache-Control: max-age=60", []string{"the request wants none so old"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines []string
			for _, d := range explain.Decisions(exchange(t, tt.request, tt.response)) {
				lines = append(lines, d.Question+": "+d.Answer+" ("+d.Section+")")
			}
			text := strings.Join(lines, "\n")
			for _, want := range tt.want {
				if !strings.Contains(text, want) {
					t.Errorf("Decisions(%q, %q) =\n%s\nwant %q", tt.request, tt.response, text, want)
				}
			}
		})
	}
}

func TestAllowed(t *testing.T) {
	x := exchange(t, "GET\nCookie: a=b", "200\nCache-Control: max-age=60\nSet-Cookie: a=b")
	x.AllowCookies, x.AllowSetCookie = true, true
	if d := explain.Decisions(x)[1]; d.Answer != "yes: the request has Cookie, and --allow-cookies is set" {
		t.Errorf("with both flags: %q; want yes", d.Answer)
	}
}

// Every reason that the engine can have is in words here.
func TestReasons(t *testing.T) {
	const file = "../../../../internal/rfc9111/reason.go"
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for _, v := range spec.Values {
			text, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			n++
			if !explain.Knows(rfc9111.Reason(text)) {
				t.Errorf("no words for the reason %q", text)
			}
		}
		return true
	})
	if n < 20 {
		t.Errorf("%d reasons in %s; the test does not find them", n, file)
	}
}
