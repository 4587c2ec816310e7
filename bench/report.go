package main

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// report is what a run has found out.
type report struct {
	page          page
	about         about
	rounds, turns int
	turn          time.Duration
	claims        []claim
	parts         []*table
	charts        []chart
	versions      []module // of what is no Go module
}

// claim is a promise with what was measured of it.
type claim struct {
	What, Must, Aim, Got string
	Holds                bool
}

// table is one of the report. Its cells are Markdown.
type table struct {
	Title, Note string
	Head        []string
	Rows        [][]string
	Chart       string // the file of the chart that belongs to it
}

// claim adds a promise that holds if got is at most limit.
func (r *report) claim(what, must, aim string, got, limit float64, format string) {
	r.claims = append(r.claims, claim{what, must, aim, fmt.Sprintf(format, got), got <= limit})
}

// table begins a table. note says in words how it was measured and how to read it.
func (r *report) table(title, note string, head ...string) *table {
	t := &table{Title: title, Note: strings.Join(strings.Fields(note), " "), Head: head}
	r.parts = append(r.parts, t)
	return t
}

func (t *table) add(cells ...string) { t.Rows = append(t.Rows, cells) }

// contest adds a line for each result that has a base. what stands in the first of them.
func (t *table) contest(what string, rs []result) {
	for _, r := range rs {
		if r.ratio.mid == 0 {
			continue
		}
		t.add(what, bold(r.name), nanos(r.cpu), nanos(r.cpu/r.ratio.mid), ratio(r.ratio), count(r.allocs))
		what = ""
	}
}

func bold(name string) string {
	if strings.HasPrefix(name, "reprise") {
		return "**" + name + "**"
	}
	return name
}

func nanos(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return thousands(int(math.Round(v)))
}

func ratio(s spread) string { return fmt.Sprintf("%.2f (%.2f–%.2f)", s.mid, s.low, s.high) }

// count prints a number of allocations. What the runtime allocates in the background is spread over all operations.
func count(v float64) string {
	return strings.TrimSuffix(fmt.Sprintf("%.1f", v+0.001), ".0")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if one, ok := strings.CutSuffix(noun, "y"); ok && noun != "key" {
		return thousands(n) + " " + one + "ies"
	}
	return thousands(n) + " " + noun + "s"
}

// thousands prints n with commas from 10,000 on.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; n >= 10_000 && i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

//go:embed *.md.tmpl
var templates embed.FS

// render writes the page.
func (r *report) render(w io.Writer) error { return r.execute(w, r.page.template) }

func (r *report) execute(w io.Writer, name string) error {
	t, err := template.New("").Funcs(template.FuncMap{
		"line": func(cells []string) string { return "| " + strings.Join(cells, " | ") + " |" },
		"rule": func(cells []string) string { return "|" + strings.Repeat(" --- |", len(cells)) },
	}).ParseFS(templates, "*.md.tmpl")
	if err != nil {
		return err
	}
	return t.ExecuteTemplate(w, name, struct {
		About         about
		Claims        []claim
		Parts         []*table
		Versions      []module
		Rounds, Turns int
		Turn          time.Duration
		Connections   int
	}{r.about, r.claims, r.parts, append(built(r.page.modules), r.versions...), r.rounds, r.turns, r.turn, connections})
}

// write writes the page and its charts into a directory, and to w the promises or, on a page without, the tables.
func (r *report) write(dir string, w io.Writer) error {
	var b bytes.Buffer
	if err := r.render(&b); err != nil {
		return err
	}
	for _, c := range r.charts {
		var svg bytes.Buffer
		c.draw(&svg)
		if err := os.WriteFile(filepath.Join(dir, c.file), svg.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, r.page.file), b.Bytes(), 0o644); err != nil {
		return err
	}
	for _, c := range r.claims {
		verdict := "ok"
		if !c.Holds {
			verdict = "NO"
		}
		fmt.Fprintf(w, "%-2s  %-70s %10s  must be %s\n", verdict, c.What, c.Got, c.Must)
	}
	if len(r.claims) == 0 {
		if err := r.execute(w, "parts"); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "all of it: %s\n", filepath.Join(dir, r.page.file))
	return nil
}

// hitChart adds a chart of what a hit costs and returns its file.
func (r *report) hitChart(title string, rs []result) string {
	c := chart{file: "benchmarks-hits.svg", title: title, unit: "ns"}
	for _, x := range rs {
		switch {
		case x.ratio.mid > 0:
			c.bars = append(c.bars, bar{label: x.name, value: x.cpu, text: fmt.Sprintf("%s ns, %.1f × bare", nanos(x.cpu), x.ratio.mid)})
		case x.name == "bare reprise":
			c.bars = append(c.bars, bar{label: "bare net/http handler", value: x.cpu})
		}
	}
	r.charts = append(r.charts, c)
	return c.file
}

// functionChart adds a chart of what a stored result costs and returns its file.
func (r *report) functionChart(title string, rs []result) string {
	c := chart{file: "benchmarks-functions.svg", title: title, unit: "ns"}
	for _, x := range rs {
		c.bars = append(c.bars, bar{label: x.name, value: x.cpu})
	}
	r.charts = append(r.charts, c)
	return c.file
}
