package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A mistake in a file is named with its line.
func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ name, src, want string }{
		{"no comment", "== a\nn=0", "f:1: a file begins with a comment"},
		{"nothing", "# x\n", "f:1: no scenario"},
		{"before the first", "# x\nn=0", `f:2: "n=0" before the first scenario`},
		{"no steps", "# x\n== a\n== b\nn=0", "f:2: a scenario without steps"},
		{"same name", "# x\n== a\nn=0\n== a\nn=0", `f:4: a second scenario "a"`},
		{"tab", "# x\n== a\n\tn=0", "f:3: a tab"},
		{"blank at the end", "# x\n== a\nn=0 ", "f:3: a tab"},
		{"indented", "# x\n  == a", "f:2: indented below nothing"},
		{"child of a leaf", "# x\n== a\nn=0\n  x", `f:4: "n=0" takes no lines below it`},
		{"child of a name", "# x\n== a\n  n=0", `f:3: "== a" takes no lines below it`},
		{"no step", "# x\n== a\nwait", `f:3: "wait" is no step`},
		{"quote", "# x\n== a\nroute A=\"b\nn=0", "f:3: a quote without its other half"},
		{"late route", "# x\n== a\nn=0\nroute", "f:4: route after the first step"},
		{"second route", "# x\n== a\nroute A\nroute B\nn=0", `f:4: a second route for ""`},
		{"no option", "# x\n== a\nroute =x\nn=0", `f:3: "=x" is no option`},
		{"plain", "# x\n== a\nplain\nn=0", "f:3: plain takes a pattern"},
		{"outer", "# x\n== a\nouter X\nn=0", "f:3: outer takes fields"},
		{"field", "# x\n== a\n> GET /\n  X", `f:4: "X" is no field`},
		{"request", "# x\n== a\n> GET", "f:3: a request is METHOD TARGET"},
		{"response", "# x\n== a\n< 200", "f:3: a response is STATUS and"},
		{"response mark", "# x\n== a\n< 200 STALE", "f:3: a response is STATUS and"},
		{"response line", "# x\n== a\n< 200 HIT\n  what", `f:4: "what" says nothing about a response`},
		{"response length", "# x\n== a\n< 200 HIT\n  length x", `f:4: "x" is no length`},
		{"response time", "# x\n== a\n< 200 HIT\n  took < 1s", `f:4: "< 1s" is no duration`},
		{"response early", "# x\n== a\n< 200 HIT\n  early 200", `f:4: "200" is no informational status`},
		{"response name", "# x\n== a\n< 200 HIT\n  ETag = tag", `f:4: "tag" is no name`},
		{"open without name", "# x\n== a\n< 200 HIT\n  ...", "f:3: ... is for named clients"},
		{"fields of a rest", "# x\n== a\na<\n  X: 1", "f:3: fields, but no status"},
		{"time", "# x\n== a\n+x", `f:3: "+x" is no time to wait`},
		{"tally", "# x\n== a\ntally HIT", `f:3: "HIT" is no count`},
		{"command", "# x\n== a\n!", `f:3: "!" is no command`},
		{"command field", "# x\n== a\n! clear\n  X: 1", "f:4: a field, but the command names no request"},
		{"command output", "# x\n== a\n! clear\n  = 1\n  error x", "f:3: an output and an error"},
		{"parallel", "# x\n== a\nparallel", "f:3: parallel takes a number"},
		{"parallel number", "# x\n== a\nparallel 0", `f:3: "0" is no number of clients`},
		{"parallel nothing", "# x\n== a\nparallel 2", "f:3: parallel without requests"},
		{"parallel half", "# x\n== a\nparallel 2\n  > GET /", "f:3: a request without a response"},
		{"parallel step", "# x\n== a\nparallel 2\n  n=1", "f:4: parallel takes requests and their whole responses"},
		{"handler", "# x\n== a\nhandler get\nn=0", `f:3: "get" is no method, path or n=`},
		{"handler line", "# x\n== a\nhandler\n  run\nn=0", `f:4: "run" is nothing that a handler does`},
		{"handler sleep", "# x\n== a\nhandler\n  sleep\nn=0", "f:4: time: invalid duration"},
		{"handler early", "# x\n== a\nhandler\n  early 101\nn=0", "f:4: 101 is no informational status"},
		{"handler trailer", "# x\n== a\nhandler\n  trailer x\nn=0", `f:4: "x" is no field`},
		{"handler do", "# x\n== a\nhandler\n  do\nn=0", "f:4: do takes a command"},
		{"handler flush", "# x\n== a\nhandler\n  flush now\nn=0", "f:4: flush takes nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse("f", tt.src)
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("parse(%q) = %v; want %s", tt.src, err, tt.want)
			}
		})
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"", nil},
		{"  a  b ", []string{"a", "b"}},
		{`A="b c" d`, []string{"A=b c", "d"}},
		{`""`, []string{""}},
	} {
		if got, err := words(tt.in); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("words(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestExpand(t *testing.T) {
	text := func(name, arg string) (string, bool) {
		if name == "repeat" {
			return repeat(arg)
		}
		return "1", name == "n"
	}
	for _, tt := range []struct{ in, want string }{
		{"v{n}", "v1"},
		{`{"n": {n}}`, `{"n": 1}`},
		{"{m} {} {n", "{m} {} {n"},
		{"{repeat:a:b:2}", "a:ba:b"},
		{"{repeat:a:x}{repeat::2}{repeat:a:99999999}", "{repeat:a:x}{repeat::2}{repeat:a:99999999}"},
	} {
		if got := expand(tt.in, text); got != tt.want {
			t.Errorf("expand(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
}

func TestOption(t *testing.T) {
	if d, err := (Option{"TTL", "forever"}).Duration(); err != nil || d != 1<<63-1 {
		t.Errorf("TTL=forever: %v, %v", d, err)
	}
	if code, d, err := (Option{"StatusTTL", "404:10s"}).PairDuration(); code != "404" || d != 10e9 || err != nil {
		t.Errorf("StatusTTL=404:10s: %v, %v, %v", code, d, err)
	}
	if ns, err := (Option{"Statuses", "200,404"}).Ints(); err != nil || !slices.Equal(ns, []int{200, 404}) {
		t.Errorf("Statuses=200,404: %v, %v", ns, err)
	}
	if _, err := (Option{"Statuses", "ok"}).Ints(); err == nil {
		t.Error("Statuses=ok: no error")
	}
	for value, want := range map[string]bool{"": true, "on": true, "off": false} {
		if on, err := (Option{"ETag", value}).On(); err != nil || on != want {
			t.Errorf("ETag=%s: %v, %v", value, on, err)
		}
	}
	if _, err := (Option{"ETag", "maybe"}).On(); err == nil {
		t.Error("ETag=maybe: no error")
	}
}

// Whatever a file holds, it is read or refused with one of its lines.
func FuzzParse(f *testing.F) {
	src, err := os.ReadFile("testdata/format.txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(src))
	for sc := range strings.SplitSeq(string(src), "\n\n") {
		f.Add("# x\n" + sc)
	}
	f.Fuzz(func(t *testing.T, src string) {
		s, err := parse("f", src)
		var at *syntaxError
		switch {
		case err == nil && len(s.scenarios) == 0:
			t.Error("neither scenarios nor an error")
		case err != nil && !errors.As(err, &at):
			t.Errorf("error of type %T", err)
		case at != nil && (at.line < 1 || at.line > strings.Count(src, "\n")+1):
			t.Errorf("error in line %d of %d", at.line, strings.Count(src, "\n")+1)
		}
	})
}

// The project's own files are well-formed, also where the cache cannot be built.
func TestProjectFiles(t *testing.T) {
	files, err := filepath.Glob("../../testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(file, string(src)); err != nil {
			t.Error(err)
		}
	}
}
