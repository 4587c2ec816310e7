package header_test

import (
	"slices"
	"testing"

	"github.com/reprise-go/reprise/internal/header"
)

func TestGroups(t *testing.T) {
	for _, tt := range []struct {
		lines []string
		want  []string
	}{
		{[]string{`"a", "b"`}, []string{"a", "b"}},
		{[]string{`"a"`, `"b"`}, []string{"a", "b"}},
		{[]string{`"a";x=1`}, []string{"a"}},
		{[]string{`"A", "a"`}, []string{"A", "a"}},
		{[]string{`a`}, nil},
		{[]string{`"a", b`}, nil},
		{[]string{`"a", ("b")`}, nil},
		{[]string{`"a",`}, nil},
		{[]string{``}, nil},
		{nil, nil},
	} {
		got, ok := header.Groups(tt.lines)
		if !slices.Equal(got, tt.want) || ok != (tt.want != nil) {
			t.Errorf("Groups(%q) = %q, %v; want %q", tt.lines, got, ok, tt.want)
		}
	}
}

func TestParseSearch(t *testing.T) {
	for _, tt := range []struct {
		line    string
		ignored []string
		matter  []string
		text    string
	}{
		{`params`, []string{"a", "b", ""}, nil, `*`},
		{`params=?1`, []string{"a"}, nil, `*`},
		{`params=?0`, nil, []string{"a"}, ``},
		{`params=("b" "a" "b")`, []string{"a", "b"}, []string{"c", "A"}, `"a""b"`},
		{`params, except=("a")`, []string{"b"}, []string{"a"}, `*"a"`},
		{`key-order`, nil, []string{"a"}, ``},
		{`key-order, params=("a")`, []string{"a"}, []string{"b"}, `"a"`},
		{`key-order=1, params`, nil, []string{"a"}, ``},
		{`except=("a")`, nil, []string{"a", "b"}, ``},
		{`params=("a"), except=("b")`, nil, []string{"a", "b"}, ``},
		{`params=("a%20b" "c+d" "%C3%A4")`, []string{"a b", "c d", "ä"}, []string{"a%20b"}, `"a b""c d""ä"`},
		{`params=("%zz")`, nil, []string{"%zz"}, ``},
		{`params=(a)`, nil, []string{"a"}, ``},
		{`params="a"`, nil, []string{"a"}, ``},
		{`params=("a"`, nil, []string{"a"}, ``},
		{``, nil, []string{"a"}, ``},
		{`unknown, params=("a")`, []string{"a"}, []string{"b"}, `"a"`},
	} {
		s := header.ParseSearch([]string{tt.line})
		for _, name := range tt.ignored {
			if !s.Ignores(name) {
				t.Errorf("ParseSearch(%s).Ignores(%q) = false; want true", tt.line, name)
			}
		}
		for _, name := range tt.matter {
			if s.Ignores(name) {
				t.Errorf("ParseSearch(%s).Ignores(%q) = true; want false", tt.line, name)
			}
		}
		if got := s.String(); got != tt.text || s.Any() != (tt.text != "") {
			t.Errorf("ParseSearch(%s) = %q, %v; want %q", tt.line, got, s.Any(), tt.text)
		}
	}
}

// Two fields have one text only if they mean the same.
func FuzzParseSearch(f *testing.F) {
	f.Add(`params, except=("a")`, "a")
	f.Add(`params=("a" "b"), key-order`, "b")
	f.Fuzz(func(t *testing.T, line, name string) {
		s := header.ParseSearch([]string{line})
		if !s.Any() && s.Ignores(name) {
			t.Errorf("ParseSearch(%q) ignores %q and nothing", line, name)
		}
		if s.Any() != (s.String() != "") {
			t.Errorf("ParseSearch(%q) = %q", line, s)
		}
	})
}
