package reprise_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sources parses the package without its tests.
func sources(t *testing.T) (files []*ast.File) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestDocsLog holds that docs/log.md has every line that is logged, with its level and fields, and no other.
func TestDocsLog(t *testing.T) {
	type line struct {
		level  string
		fields []string
	}
	logged := map[string]line{}
	for _, f := range sources(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			on, ok := sel.X.(*ast.SelectorExpr)
			if !ok || on.Sel.Name != "log" {
				return true
			}
			l := line{level: strings.ToLower(sel.Sel.Name)}
			for _, arg := range call.Args[1:] {
				if attr, ok := arg.(*ast.CallExpr); ok && len(attr.Args) == 2 { // slog.Any
					arg = attr.Args[0]
				}
				if lit, ok := arg.(*ast.BasicLit); ok {
					field, _ := strconv.Unquote(lit.Value)
					l.fields = append(l.fields, field)
				}
			}
			text, _ := strconv.Unquote(call.Args[0].(*ast.BasicLit).Value)
			logged[text] = l
			return true
		})
	}
	documented := map[string]line{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(reprise: [^`]+)` \\| (\\w+) \\| ([^|]+) \\|").FindAllStringSubmatch(read(t, "docs/log.md"), -1) {
		l := line{level: m[2]}
		for _, field := range regexp.MustCompile("(?:^| · )`(\\w+)`").FindAllStringSubmatch(m[3], -1) {
			l.fields = append(l.fields, field[1])
		}
		documented[m[1]] = l
	}
	if len(logged) == 0 || !maps.EqualFunc(logged, documented, func(a, b line) bool { return a.level == b.level && slices.Equal(a.fields, b.fields) }) {
		t.Errorf("docs/log.md has\n%v; logged is\n%v", documented, logged)
	}
}

// TestDocsOptions holds that the guide has every option of a route.
func TestDocsOptions(t *testing.T) {
	guide := read(t, "docs/routes.md") + read(t, "docs/keys.md")
	n := 0
	for _, f := range sources(t) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || !fn.Name.IsExported() || fn.Type.Results == nil {
				continue
			}
			id, ok := fn.Type.Results.List[0].Type.(*ast.Ident)
			if !ok || id.Name != "RouteOption" && id.Name != "Policy" {
				continue
			}
			n++
			if !regexp.MustCompile("`"+fn.Name.Name+"[`(]").MatchString(guide) && !strings.Contains(guide, "reprise."+fn.Name.Name+"(") {
				t.Errorf("no word of %s in docs/routes.md and docs/keys.md", fn.Name.Name)
			}
		}
	}
	if n < 30 {
		t.Errorf("%d options found", n)
	}
}

// TestDocsLinks holds that links between the guide's pages lead somewhere.
func TestDocsLinks(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		for _, m := range regexp.MustCompile(`\]\(([^)#:, ]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(read(t, page), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
			}
		}
	}
}
