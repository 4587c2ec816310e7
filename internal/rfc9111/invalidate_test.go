package rfc9111

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestInvalidates(t *testing.T) {
	for _, tt := range []struct {
		method string
		unsafe bool
	}{
		{"GET", false}, {"HEAD", false}, {"OPTIONS", false}, {"TRACE", false}, {"QUERY", false}, {"PROPFIND", false},
		{"POST", true}, {"PUT", true}, {"DELETE", true}, {"PATCH", true}, {"M-SEARCH", true}, {"FOO", true}, {"get", true},
	} {
		t.Run("4.4/"+tt.method, func(t *testing.T) {
			if got := Unsafe(tt.method); got != tt.unsafe {
				t.Errorf("Unsafe(%q) = %v; want %v", tt.method, got, tt.unsafe)
			}
			for status, success := range map[int]bool{
				100: false, 200: true, 204: true, 302: true, 399: true, 400: false, 404: false, 500: false,
			} {
				if got, want := Invalidates(tt.method, status), tt.unsafe && success; got != want {
					t.Errorf("Invalidates(%q, %d) = %v; want %v", tt.method, status, got, want)
				}
			}
		})
	}
}

func TestTargets(t *testing.T) {
	for _, tt := range []struct {
		name, url, host, fields string
		want                    string
	}{
		{"4.4/none", "https://a.test/x", "a.test", "", ""},
		{"4.4/both", "https://a.test/x/y?q", "a.test", "Location: z\nContent-Location: /c?d", "https://a.test/x/z https://a.test/c?d"},
		{"4.4/absolute", "https://a.test/x", "a.test", "Location: https://A.test:443/z#f", "https://a.test/z"},
		{"4.4/same_twice", "https://a.test/x", "a.test", "Location: /z\nContent-Location: https://a.test/z", "https://a.test/z"},
		{"4.4/root", "https://a.test/x", "a.test", "Location: https://a.test", "https://a.test/"},
		{"4.4/query_only", "https://a.test/x", "a.test", "Location: ?a=b", "https://a.test/x?a=b"},
		{"4.4/escapes_stay", "https://a.test/x", "a.test", "Location: /a%2fb/%41", "https://a.test/a%2fb/%41"},
		{"4.4/dots", "https://a.test/x/y/z", "a.test", "Location: ../w", "https://a.test/x/w"},
		{"4.4/other_host", "https://a.test/x", "a.test", "Location: https://b.test/z\nContent-Location: //b.test/z", ""},
		{"4.4/other_scheme", "https://a.test/x", "a.test", "Location: http://a.test/z", ""},
		{"4.4/other_port", "https://a.test/x", "a.test", "Location: https://a.test:8443/z", ""},
		{"4.4/port", "http://a.test:8080/x", "a.test:8080", "Location: http://a.test:8080/z", "http://a.test:8080/z"},
		{"4.4/user", "https://a.test/x", "a.test", "Location: https://me@a.test/z", ""},
		{"4.4/no_http", "https://a.test/x", "a.test", "Location: mailto:a@a.test\nContent-Location: ftp://a.test/z", ""},
		{"4.4/broken", "https://a.test/x", "a.test", "Location: http://[::1/%zz", ""},
		{"4.4/server/no_host", "/x", "", "Location: z", ""},
		{"4.4/server/relative", "/x", "a.test", "Location: z", "//a.test/z"},
		{"4.4/server/any_scheme", "/x", "a.test", "Location: https://a.test/z\nContent-Location: http://a.test/w", "//a.test/z //a.test/w"},
		{"4.4/server/default_port", "/x", "a.test:80", "Location: http://a.test/z", "//a.test:80/z"},
		{"4.4/server/other_port", "/x", "a.test:8080", "Location: http://a.test/z", ""},
		{"4.4/server/other_host", "/x", "a.test", "Location: https://b.test/z", ""},
		{"4.4/server/ftp", "/x", "a.test", "Location: ftp://a.test/z", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(Targets(u, tt.host, parseFields(t, tt.fields)), " "); got != tt.want {
				t.Errorf("Targets(%q, %q, %q) = %q; want %q", tt.url, tt.host, tt.fields, got, tt.want)
			}
		})
	}
}

func TestSameURL(t *testing.T) {
	for _, tt := range []struct {
		name, url, location string
		want                bool
	}{
		{"same", "https://a.test/x?q", "https://a.test/x?q", true},
		{"relative", "/x/y?q", "/x/y?q", true},
		{"empty", "/x?q", "", true},
		{"root", "", "/", true},
		{"other_query", "/x?q", "/x", false},
		{"other_path", "/x", "/y", false},
		{"other_escape", "/a%2fb", "/a/b", false},
		{"other_host", "/x", "https://b.test/x", false},
	} {
		t.Run("RFC9110/9.3.3/"+tt.name, func(t *testing.T) {
			u, err := url.Parse(tt.url)
			if err != nil {
				t.Fatal(err)
			}
			if got := SameURL(u, "a.test", tt.location); got != tt.want {
				t.Errorf("SameURL(%q, a.test, %q) = %v; want %v", tt.url, tt.location, got, tt.want)
			}
		})
	}
}

// Whatever an origin sends, it invalidates nothing of another one.
func FuzzTargets(f *testing.F) {
	f.Add("/x", "a.test", "//b.test/y")
	f.Add("https://a.test/x", "a.test:443", "https:///y")
	f.Add("/x", "a.test", "\\\\b.test/y")
	f.Fuzz(func(t *testing.T, base, host, location string) {
		u, err := url.Parse(base)
		if err != nil || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
			return
		}
		for _, text := range Targets(u, host, http.Header{"Location": {location}}) {
			target, err := url.Parse(text)
			if err != nil || target.Host != host || target.Scheme != strings.ToLower(u.Scheme) || target.User != nil {
				t.Errorf("Targets(%q, %q, %q) names %q", base, host, location, text)
			}
		}
	})
}
