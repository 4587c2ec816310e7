package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestReport runs everything, with next to no measurements, and looks at what is written.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	var out, log bytes.Buffer
	quick := quick
	quick.alone = raceDetector
	if err := run(quick, "process", "", false, dir, &out, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	page, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"## Hits\n", "## Misses\n", "## Results of functions\n", "## Memory, ", "## Hit ratio\n", "## Waiting together\n",
		"## Is it right?\n", "| zipf |", "otter Get, no expiry", "64 KiB, 10,000 keys", "20 for a private page, learned",
		"](benchmarks-hits.svg)", "](benchmarks-functions.svg)",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	for _, p := range peers() {
		if n := strings.Count(string(page), p.name); n < 4 {
			t.Errorf("%s is in the report %d times; want it in at least four places", p.name, n)
		}
	}
	for _, file := range []string{"benchmarks-hits.svg", "benchmarks-functions.svg"} {
		checkSVG(t, filepath.Join(dir, file), 5)
	}
	if n := strings.Count(out.String(), "must be"); n < 30 {
		t.Errorf("%d promises on the terminal; want all:\n%s", n, out.String())
	}
	checkTables(t, string(page))
}

// TestStores does the same for the servers that are installed.
func TestStores(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	if err := run(quick, "stores", "", false, dir, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "benchmarks-stores.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, store := range []string{"| Redis", "| Memcached", "| DynamoDB"} {
		if !strings.Contains(string(page), store) || !strings.Contains(out.String(), store) {
			t.Errorf("%q is not in the page and on the terminal", store)
		}
	}
	checkTables(t, string(page))
}

// checkTables fails unless all lines of a table have as many cells as its head.
func checkTables(t *testing.T, page string) {
	t.Helper()
	cells := 0
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "|") {
			cells = 0
			continue
		}
		n := strings.Count(line, "|")
		if cells == 0 {
			cells = n
		}
		if n != cells {
			t.Errorf("%d cells in a table of %d: %s", n-1, cells-1, line)
		}
	}
}

func checkSVG(t *testing.T, file string, want int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	bars := 0
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			bars++
		}
	}
	if bars < want {
		t.Errorf("%s has %d bars; want at least %d", file, bars, want)
	}
}

func TestUnknownPage(t *testing.T) {
	if err := run(quick, "nonsense", "", false, t.TempDir(), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("run of an unknown page = %v; want an error that names it", err)
	}
}

func TestUnknownSection(t *testing.T) {
	if err := run(quick, "process", "hits,nonsense", false, t.TempDir(), io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("run with an unknown section = %v; want an error that names it", err)
	}
}

// TestContest holds that every contender works in every round and that rounds begin with different ones.
func TestContest(t *testing.T) {
	b := &bench{scale: scale{rounds: 6, sample: 50 * time.Microsecond}}
	var order []string
	work := func(name string) contender {
		return contender{name: name, base: "a", before: func(int) { order = append(order, name) }, loop: func(int) func(int) {
			return func(n int) {
				for start := cpuTime(); cpuTime()-start < time.Duration(n)*time.Microsecond; {
				}
			}
		}}
	}
	rs := b.contest(1, []contender{work("a"), work("b"), work("c")})
	rounds := order[len(order)-6*3:]
	for i := range 6 {
		want := []string{"a", "b", "c", "a", "b", "c"}[i%3 : i%3+3]
		if got := rounds[3*i : 3*i+3]; !slices.Equal(got, want) {
			t.Errorf("round %d: %v; want %v", i, got, want)
		}
	}
	if r := of(rs, "a").ratio; r.low != 1 || r.mid != 1 || r.high != 1 {
		t.Errorf("ratio of the base to itself = %v; want 1", r)
	}
	if r := of(rs, "c"); r.cpu <= 0 || r.wall <= 0 || r.ratio.mid <= 0 {
		t.Errorf("measured %+v; want times and a ratio", r)
	}
}

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		in   []float64
		want spread
	}{
		{[]float64{7}, spread{7, 7, 7}},
		{[]float64{9, 1}, spread{1, 5, 9}},
		{[]float64{5, 1, 4, 2, 3}, spread{2, 3, 4}},
		{[]float64{8, 7, 6, 5, 4, 3, 2, 1}, spread{3, 4.5, 6}},
	} {
		if got := spreadOf(tt.in); got != tt.want {
			t.Errorf("spreadOf(%v) = %v; want %v", tt.in, got, tt.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{plural(1, "key"), "1 key"}, {plural(20, "key"), "20 keys"}, {plural(10_000, "entry"), "10,000 entries"},
		{plural(1_000_000, "client"), "1,000,000 clients"}, {plural(9999, "core"), "9999 cores"},
		{nanos(3.14), "3.1"}, {nanos(99.6), "100"}, {nanos(12_345.6), "12,346"},
		{count(0.004), "0"}, {count(17), "17"}, {count(16.06), "16.1"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q; want %q", tt.got, tt.want)
		}
	}
}

func TestTraces(t *testing.T) {
	const n = 120_000
	loop := loopTrace(n, 1)
	if loop[0] != loop[traceRoom*5/4] || loop[0] == loop[traceRoom] {
		t.Error("a loop comes round after 12,500 requests and not before")
	}
	once := map[int]int{}
	for _, k := range scanTrace(n, 1) {
		once[k]++
	}
	scanned := 0
	for k, times := range once {
		if k >= 200_000 {
			scanned++
			if times != 1 {
				t.Fatalf("key %d of a scan comes %d times", k, times)
			}
		}
	}
	if scanned != 40_000 {
		t.Errorf("%d keys are scanned; want a third of %d", scanned, n)
	}
	zipf, shifting := zipfTrace(n, 1), shiftingTrace(n, 1)
	if !slices.Equal(zipf[:50_000], shifting[:50_000]) || (zipf[50_000]+5000)%100_000 != shifting[50_000] {
		t.Error("shifting is zipf with other keys after each 50,000 requests")
	}
	if slices.Equal(zipf, zipfTrace(n, 2)) || !slices.Equal(zipf, zipfTrace(n, 1)) {
		t.Error("a trace depends on its seed and on nothing else")
	}
}
