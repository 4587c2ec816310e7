// Command bench measures reprise beside its peers and writes what it measured into docs: in one process, as servers, and
// on stores outside the process. `make bench`, `make bench-http` and `make bench-stores` run it; each writes a page.
//
// With -only it runs the named sections of the page and prints their tables instead, which is what one wants while
// working.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// scale says how much is measured.
type scale struct {
	rounds  int           // of a contest
	sample  time.Duration // CPU time of one measurement
	entries int           // of the large stores
	crowds  int           // rounds of a stampede in process
	clients int           // of a stampede
	trace   int           // requests of a trace
	seeds   int           // of a trace, two at least
	turns   int           // rounds over HTTP
	turn    time.Duration // of one server in one of them, in whole seconds
	alone   bool          // no peer is asked by several clients at once: some have data races
}

var (
	full = scale{
		rounds: 15, sample: 10 * time.Millisecond, entries: 1_000_000, crowds: 100, clients: 1000, trace: 200_000, seeds: 9,
		turns: 10, turn: 2 * time.Second,
	}
	quick = scale{
		rounds: 2, sample: time.Millisecond / 4, entries: 2000, crowds: 2, clients: 20, trace: 5000, seeds: 2,
		turns: 2, turn: time.Second,
	}
)

// bench is one run.
type bench struct {
	scale
	report *report
	log    io.Writer
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		fail(serve(os.Args[2:]))
		return
	}
	which := flag.String("page", "process", "what to measure: `process`, http or stores")
	out := flag.String("out", "docs", "`directory` for the page and its charts")
	only := flag.String("only", "", "run these `sections` of the page, separated by commas, and print them")
	small := flag.Bool("quick", false, "measure next to nothing, to see that it works; print it")
	rounds := flag.Int("rounds", 0, "`number` of rounds; 0 is 15, over HTTP 10")
	flag.Parse()
	s := full
	if *small {
		s = quick
	}
	if *rounds > 0 {
		s.rounds, s.turns = *rounds, *rounds
	}
	fail(run(s, *which, *only, *small, *out, os.Stdout, os.Stderr))
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures for the page with that name, and writes it into directory out or, if it is not all of it, to stdout.
func run(s scale, which, only string, small bool, out string, stdout, log io.Writer) error {
	i := slices.IndexFunc(pages(), func(p page) bool { return p.name == which })
	if i < 0 {
		return fmt.Errorf("no page %q", which)
	}
	p := pages()[i]
	b := &bench{scale: s, report: &report{page: p, about: thisMachine(), rounds: s.rounds, turns: s.turns, turn: s.turn}, log: log}
	var wanted []string
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(p.sections, func(s section) bool { return s.name == w }) {
			return fmt.Errorf("no section %q", w)
		}
	}
	for _, sec := range p.sections {
		if wanted != nil && !slices.Contains(wanted, sec.name) {
			continue
		}
		start := time.Now()
		if err := sec.run(b); err != nil {
			return fmt.Errorf("%s: %w", sec.name, err)
		}
		fmt.Fprintf(log, "%-10s %5.1f s\n", sec.name, time.Since(start).Seconds())
	}
	if wanted != nil || small {
		return b.report.render(stdout)
	}
	return b.report.write(filepath.Clean(out), stdout)
}
