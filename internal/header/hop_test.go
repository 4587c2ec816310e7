package header

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestHopByHop(t *testing.T) {
	for name, want := range map[string]bool{
		"Connection": true, "keep-alive": true, "Keep-Alive": true, "TE": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
		"Upgrade": true, "Proxy-Authenticate": true, "Proxy-Authentication-Info": true, "Proxy-Authorization": true,
		"Proxy-Connection": true,
		"Age":              false, "Content-Length": false, "Set-Cookie": false, "Proxy-Status": false, "Www-Authenticate": false,
	} {
		if got := HopByHop(name); got != want {
			t.Errorf("HopByHop(%q) = %v; want %v", name, got, want)
		}
	}
}

func TestNominated(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"RFC9110/7.6.1/list", []string{"a, b"}, []string{"A", "B"}},
		{"RFC9110/7.6.1/lines", []string{"x-foo", "Keep-Alive, x-BAR"}, []string{"X-Foo", "Keep-Alive", "X-Bar"}},
		{"RFC9110/7.6.1/close", []string{"Close, a"}, []string{"A"}},
		{"no_field", []string{`a b, "c", d:, e`}, []string{"E"}},
		{
			"defused",
			[]string{
				"host, cookie, authorization, cache-control, CDN-Cache-Control, vary, set-cookie, etag, content-type",
				"content-length, Content-Security-Policy, expires, date, if-none-match, range, x-forwarded-for, origin",
				"accept-encoding, access-control-allow-origin, age, location, last-modified, x",
			},
			[]string{"X"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := slices.Collect(Nominated(http.Header{"Connection": tt.lines})); !slices.Equal(got, tt.want) {
				t.Errorf("Nominated(%q) = %q; want %q", tt.lines, got, tt.want)
			}
		})
	}
	for range Nominated(http.Header{"Connection": {"a, b"}}) {
		break // must not go on
	}
}

// What is nominated is canonical, and defused whatever case it is written in.
func FuzzNominated(f *testing.F) {
	f.Add("close, X-a, hOST")
	f.Fuzz(func(t *testing.T, s string) {
		for name := range Nominated(http.Header{"Connection": {s, strings.ToLower(s)}}) {
			if name != http.CanonicalHeaderKey(name) || matters(name) {
				t.Errorf("Nominated(%q) yields %q", s, name)
			}
		}
	})
}
