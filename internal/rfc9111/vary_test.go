package rfc9111

import (
	"strings"
	"testing"
)

func TestVaryNames(t *testing.T) {
	for _, tt := range []struct {
		name, resp string
		want       string
		star       bool
	}{
		{"4.1/none", "200", "", false},
		{"4.1/list", "200\nVary: foo, Baz , bAR", "Bar Baz Foo", false},
		{"4.1/lines", "200\nVary: b, a\nVary: a", "A B", false},
		{"4.1/empties", "200\nVary: , ,a,", "A", false},
		{"4.1/star", "200\nVary: *", "", true},
		{"4.1/star_among_others", "200\nVary: a, *, b", "", true},
		{"4.1/no_name", "200\nVary: a b", "", true},
		{"4.1/quoted", "200\nVary: \"a\"", "", true},
		{"4.1/star_in_a_name", "200\nVary: a*", "A*", false},
		{"cors/one_origin", "200\nAccess-Control-Allow-Origin: https://a.test", "Origin", false},
		{"cors/null", "200\nAccess-Control-Allow-Origin: null\nVary: accept", "Accept Origin", false},
		{"cors/any", "200\nAccess-Control-Allow-Origin: *", "", false},
		{"cors/already", "200\nVary: origin\nAccess-Control-Allow-Origin: https://a.test", "Origin", false},
		{"coding/gzip", "200\nContent-Encoding: gzip", "Accept-Encoding", false},
		{"coding/identity", "200\nContent-Encoding: Identity", "", false},
		{"coding/already", "200\nVary: accept-encoding\nContent-Encoding: br, gzip", "Accept-Encoding", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, h := response(t, tt.resp)
			names, star := VaryNames(h)
			if got := strings.Join(names, " "); got != tt.want || star != tt.star {
				t.Errorf("VaryNames(%q) = %q, %v; want %q, %v", tt.resp, got, star, tt.want, tt.star)
			}
		})
	}
	_, h := response(t, "200\nCache-Control: max-age=1\nAccess-Control-Allow-Origin: *")
	if n := testing.AllocsPerRun(100, func() { VaryNames(h) }); n != 0 {
		t.Errorf("VaryNames of a response that does not vary allocates %v times; want 0", n)
	}
}

func TestPrefersLanguage(t *testing.T) {
	for _, tt := range []struct {
		name, accept, content string
		want                  bool
	}{
		{"first", "fr;q=0.5, de;q=1.0", "de", true},
		{"case", "DE, en;q=0.1", "de", true},
		{"second", "fr;q=0.5, de;q=1.0", "fr", false},
		{"equal", "en, de", "de", false},
		{"narrower", "de-AT", "de", false},
		{"two_languages", "de", "de, en", false},
		{"none_stored", "de", "", false},
		{"none_asked", "", "", false},
		{"star", "*", "*", false},
		{"refused", "de;q=0", "de", false},
	} {
		t.Run("4.1/"+tt.name, func(t *testing.T) {
			if got := PrefersLanguage([]string{tt.accept}, tt.content); got != tt.want {
				t.Errorf("PrefersLanguage(%q, %q) = %v; want %v", tt.accept, tt.content, got, tt.want)
			}
		})
	}
}
