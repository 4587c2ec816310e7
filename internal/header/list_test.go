package header

import (
	"slices"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		want  []string
	}{
		{"absent", nil, nil},
		{"empty", []string{"", " ", ",,\t,"}, nil},
		{"one", []string{"a"}, []string{"a"}},
		{"blanks", []string{" a ,\tb b,c"}, []string{"a", "b b", "c"}},
		{"lines", []string{"a", "b, c"}, []string{"a", "b", "c"}},
		{"quoted_comma", []string{`a="1, 2", b`}, []string{`a="1, 2"`, "b"}},
		{"quoted_escape", []string{`a="1\", 2", b`}, []string{`a="1\", 2"`, "b"}},
		{"quote_ends_with_its_line", []string{`a="1`, `b"`}, []string{`a="1`, `b"`}},
		{"open_quote_hides_nothing", []string{`a="1, no-store`}, []string{`a="1`, "no-store"}},
		{"open_escape", []string{`a="1\", b\`}, []string{`a="1\"`, `b\`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := slices.Collect(List(tt.lines)); !slices.Equal(got, tt.want) {
				t.Errorf("List(%q) = %q; want %q", tt.lines, got, tt.want)
			}
		})
	}
}

func TestListStops(t *testing.T) {
	for s := range List([]string{"a, b", "c"}) {
		if s != "a" {
			t.Fatalf("List yielded %q after a break", s)
		}
		break
	}
}

// Each element is itself a list of one, and all of them, a line each, the same list again; so is the joined line,
// if its quotes are closed.
func FuzzList(f *testing.F) {
	for _, s := range []string{"a, b\nc", `a="1, 2", b`, `a="1\", 2`, `"\",",",`, `a"b,c"d,e"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lines := strings.Split(s, "\n")
		elems := slices.Collect(List(lines))
		if again := slices.Collect(List(elems)); !slices.Equal(again, elems) {
			t.Errorf("List(%q) = %q, and of that %q", lines, elems, again)
		}
		if slices.ContainsFunc(elems, func(s string) bool { return openQuote(s) }) {
			return
		}
		joined := []string{strings.Join(elems, ", ")}
		if again := slices.Collect(List(joined)); !slices.Equal(again, elems) {
			t.Errorf("List(%q) = %q; want %q", joined, again, elems)
		}
	})
}

func openQuote(s string) bool {
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			return false
		}
		n := quoted(s[i:])
		if n == 0 {
			return true
		}
		s = s[i+n:]
	}
}

func TestToken(t *testing.T) {
	for s, want := range map[string]bool{
		"": false, "X-Foo": true, "a b": false, "a:": false, "é": false, "*": true, "a\x7f": false, `"a"`: false,
	} {
		if got := Token(s); got != want {
			t.Errorf("Token(%q) = %v; want %v", s, got, want)
		}
	}
}
