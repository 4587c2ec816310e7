// Command bench measures reprise beside a bare handler and beside its peers, in one process, and writes what it
// measured to docs/benchmarks.md. `make bench` runs it.
//
// With -only it runs the named sections and prints their tables instead, which is what one wants while working.
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
	alone   bool          // no peer is asked by several clients at once: some have data races
}

var (
	full  = scale{rounds: 15, sample: 10 * time.Millisecond, entries: 1_000_000, crowds: 100, clients: 1000, trace: 200_000}
	quick = scale{rounds: 2, sample: time.Millisecond / 4, entries: 2000, crowds: 2, clients: 20, trace: 5000}
)

// bench is one run.
type bench struct {
	scale
	report *report
	log    io.Writer
}

// section is a part of the report.
type section struct {
	name string
	run  func(*bench) error
}

// sections are all parts, in the order of the report.
func sections() []section {
	return []section{
		{"probes", (*bench).probes},
		{"hits", (*bench).hits},
		{"more", (*bench).more},
		{"misses", (*bench).misses},
		{"functions", (*bench).functions},
		{"traces", (*bench).traces},
		{"waits", (*bench).waits},
		{"stores", (*bench).stores},
		{"memory", (*bench).memory},
	}
}

func main() {
	out := flag.String("out", "docs", "`directory` for benchmarks.md and its charts")
	only := flag.String("only", "", "run these `sections`, separated by commas, and print them")
	small := flag.Bool("quick", false, "measure next to nothing, to see that it works; print it")
	flag.Parse()
	s := full
	if *small {
		s = quick
	}
	if err := run(s, *only, *small, *out, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures, and writes the report into directory out or, if it is not of everything, to stdout.
func run(s scale, only string, small bool, out string, stdout, log io.Writer) error {
	b := &bench{scale: s, report: newReport(), log: log}
	var wanted []string
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(sections(), func(s section) bool { return s.name == w }) {
			return fmt.Errorf("no section %q", w)
		}
	}
	for _, sec := range sections() {
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
		return b.report.print(stdout)
	}
	return b.report.write(filepath.Clean(out), stdout)
}
