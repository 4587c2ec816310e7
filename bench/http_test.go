package main

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets the test binary be one of the servers, as the program itself can.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		fail(serve(os.Args[2:]))
		return
	}
	os.Exit(m.Run())
}

// TestOverHTTP measures two servers for a moment. wrk is not one of the servers that tests require.
func TestOverHTTP(t *testing.T) {
	page := pages()[1]
	b := &bench{scale: scale{turns: 1, turn: time.Second}, report: &report{page: page}, log: io.Discard}
	missing := site{name: "missing", command: func(*lab) (program, error) { return program{}, errors.New("not there") }}
	err := b.measureSites(append(sites()[:2:2], missing))
	if errors.Is(err, errNoWrk) || errors.Is(err, errNoServer) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var out bytes.Buffer
	if err := b.report.write(dir, &out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, page.file))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"## 1 KiB\n", "## 64 KiB\n", "](benchmarks-http-1.svg)", "](benchmarks-http-64.svg)", "| **reprise middleware** | `reprise.TTL",
		"| missing | left out: not there |", "| wrk | ",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(out.String(), "## Method") || !strings.Contains(out.String(), "## 64 KiB") {
		t.Errorf("printed:\n%s\nwant the tables alone", out.String())
	}
	checkTables(t, string(text))
	checkSVG(t, filepath.Join(dir, "benchmarks-http-1.svg"), 2)
}

// TestMeasureFinds holds that a server that makes its page again is not taken for a cache.
func TestMeasureFinds(t *testing.T) {
	b := &bench{scale: scale{turns: 1, turn: time.Second}, report: &report{}, log: io.Discard}
	forgetful := sites()[0]
	forgetful.name, forgetful.direct = "forgetful", false
	err := b.measureSites([]site{forgetful})
	if errors.Is(err, errNoWrk) || errors.Is(err, errNoServer) {
		t.Skip(err)
	}
	if err == nil || !strings.Contains(err.Error(), "forgetful") || !strings.Contains(err.Error(), "made the page") {
		t.Errorf("measuring a server that stores nothing = %v; want an error that says so", err)
	}
}

func TestPageBody(t *testing.T) {
	for _, kib := range sizes() {
		if n := len(pageBody(kib, "a run")); n != kib<<10 {
			t.Errorf("a page of %d KiB has %d bytes", kib, n)
		}
	}
	if want := `{"run":"r","text":"xx`; !strings.HasPrefix(string(pageBody(1, "r")), want) {
		t.Errorf("page = %.40s; want %s…", pageBody(1, "r"), want)
	}
}

func TestParseStat(t *testing.T) {
	const rest = " S 7 42 42 0 -1 4194560 1000 200 0 0 150 25 3 4 20 0 9 0 100 1000000 500"
	for _, tt := range []struct {
		line string
		want stat
	}{
		{"42 (wrk)" + rest, stat{42, 7, 1750 * time.Millisecond}},
		{"42 (a (b) c)" + rest + "\n", stat{42, 7, 1750 * time.Millisecond}},
	} {
		if got, err := parseStat(tt.line); err != nil || got != tt.want {
			t.Errorf("parseStat(%q) = %v, %v; want %v", tt.line, got, err, tt.want)
		}
	}
	for _, line := range []string{"", "42 (wrk", "42 wrk S 7", "42 (wrk) S 7 42", "x (wrk)" + rest, strings.Replace("42 (wrk)"+rest, "150", "?", 1)} {
		if got, err := parseStat(line); err == nil {
			t.Errorf("parseStat(%q) = %v; want an error", line, got)
		}
	}
}

func TestSumTree(t *testing.T) {
	all := []stat{{1, 0, 1000}, {5, 1, 1}, {6, 5, 10}, {7, 6, 100}, {8, 5, 20}, {9, 1, 5000}}
	for _, tt := range []struct {
		root int
		want time.Duration
	}{{5, 131}, {6, 110}, {8, 20}, {1, 6131}} {
		if got, err := sumTree(all, tt.root); err != nil || got != tt.want {
			t.Errorf("sumTree of %d = %d, %v; want %d", tt.root, got, err, tt.want)
		}
	}
	if got, err := sumTree(all, 4); err == nil {
		t.Errorf("sumTree of a process that is gone = %d; want an error", got)
	}
}

// TestTreeCPU holds that this process is found and that what it uses is counted.
func TestTreeCPU(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip(err)
	}
	before, err := treeCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for start := cpuTime(); cpuTime()-start < 5*tick; {
	}
	after, err := treeCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if after-before < 4*tick {
		t.Errorf("counted %v; want five ticks", after-before)
	}
}

func TestParseCores(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []int
	}{{"0", []int{0}}, {"0-1", []int{0, 1}}, {"1,3-5,8", []int{1, 3, 4, 5, 8}}} {
		if got, err := parseCores(tt.in); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("parseCores(%q) = %v, %v; want %v", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", "a", "1-", "1-b", "1,,2"} {
		if got, err := parseCores(in); err == nil {
			t.Errorf("parseCores(%q) = %v; want an error", in, got)
		}
	}
}

func TestTraffic(t *testing.T) {
	const line = `{"requests":100,"bytes":120000,"micros":1000000,"p50":120.0,"p99":950.5,"errors":0}`
	want := traffic{Requests: 100, Bytes: 120000, Micros: 1000000, P50: 120, P99: 950.5}
	if got, err := parseTraffic("Running 1s test @ x\n  1 threads\n" + line + "\n"); err != nil || got != want {
		t.Errorf("parseTraffic = %v, %v; want %v", got, err, want)
	}
	if got, err := parseTraffic("unable to connect to x\n"); err == nil {
		t.Errorf("parseTraffic of a failure = %v; want an error", got)
	}
	const size = 1024
	for _, tt := range []struct {
		name string
		give func(*traffic)
		ok   bool
	}{
		{"right", func(*traffic) {}, true},
		{"an error", func(t *traffic) { t.Errors = 1 }, false},
		{"no requests", func(t *traffic) { t.Requests = 0 }, false},
		{"too short", func(t *traffic) { t.Bytes = 100*size - 1 }, false},
		{"last answers cut", func(t *traffic) { t.Bytes += (connections - 1) * size }, true},
		{"too long", func(t *traffic) { t.Bytes = 100 * 3 * size }, false},
	} {
		got := want
		tt.give(&got)
		if err := got.check(size); (err == nil) != tt.ok {
			t.Errorf("%s: check = %v", tt.name, err)
		}
	}
}

func TestCompare(t *testing.T) {
	one := func(cpu time.Duration, requests int, p99 float64) turn {
		return turn{traffic{Requests: requests, Micros: 2_000_000, P50: p99 / 2, P99: p99}, cpu}
	}
	got := compare([][]turn{
		{one(time.Second, 100_000, 100), one(time.Second, 50_000, 300), one(time.Second, 100_000, 200)},
		{one(time.Second, 50_000, 10), one(time.Second, 50_000, 30), one(time.Second, 25_000, 20)},
	})
	want := []compared{
		{cpu: 10, rate: 50_000, p50: 100, p99: 200, ratio: spread{1, 1, 1}},
		{cpu: 20, rate: 25_000, p50: 10, p99: 20, ratio: spread{1, 2, 4}},
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	for i, w := range want {
		g := got[i]
		if !near(g.cpu, w.cpu) || !near(g.rate, w.rate) || !near(g.p50, w.p50) || !near(g.p99, w.p99) ||
			!near(g.ratio.low, w.ratio.low) || !near(g.ratio.mid, w.ratio.mid) || !near(g.ratio.high, w.ratio.high) {
			t.Errorf("server %d: %+v; want %+v", i, g, w)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"wrk debian/4.1.0-3+b2 [epoll] Copyright (C) 2012 Will Glozer\nUsage", "4.1.0"},
		{"nginx version: nginx/1.22.1\n", "1.22.1"},
		{"varnishd (varnish-7.1.1 revision 7cee1c)", "7.1.1"},
		{"Redis server v=7.0.15 sha=00000000:0", "7.0.15"},
		{"sh: 1: nginx: not found", "unknown"},
	} {
		if got := versionIn(tt.in); got != tt.want {
			t.Errorf("versionIn(%q) = %q; want %q", tt.in, got, tt.want)
		}
	}
	got := pinned("# all\nfastapi==1.2.3\nfastapi-cache2==0.2\nuvicorn==4\n", "fastapi", "uvicorn")
	if want := []module{{"fastapi", "1.2.3"}, {"uvicorn", "4"}}; !slices.Equal(got, want) {
		t.Errorf("pinned = %v; want %v", got, want)
	}
}
