package e2e

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
)

var (
	full  = flag.Bool("full", false, "let faults last as long as in production, and hold the times that are promised")
	table = flag.String("table", "", "write the table of faults to this `file`")
)

const (
	calm     = 500 * time.Millisecond // before the fault
	onset    = time.Second            // after which the store is left alone
	recovery = 2 * time.Second        // within which hits return

	// patience is how long a test waits for hits whose time it does not hold: the machine may be doing anything.
	patience = time.Minute

	onsetP99 = 300 * time.Millisecond // all operations of the store before an answer have 250 ms
	restP99  = 20 * time.Millisecond  // what cannot be told from no store at all

	// handOvers is how often an answer waits for a processor: the client's goroutines, the server's, and those of the
	// store's client. How long, the clients measure themselves, by how late they begin.
	handOvers = 8
)

func lasting() time.Duration {
	switch {
	case *full:
		return 5 * time.Second
	case testing.Short():
		return 1500 * time.Millisecond
	}
	return 2 * time.Second
}

// fault is one way in which a store fails. open sets up what fails, and returns the place of the store, what begins the
// fault and what ends it. A fault that is over at once has no end.
type fault struct {
	store, name string
	open        func(t *testing.T) (p place, begin, end func())
	// hits is the least part of requests that hit all the same while the fault lasts.
	hits float64
	// partial says that some requests may hit: connections serve for a while.
	partial bool
}

// behindProxy makes faults of the connection to a server that the tests share.
func behindProxy(kind string, begin func(*realserver.Proxy)) func(*testing.T) (place, func(), func()) {
	return func(t *testing.T) (place, func(), func()) {
		p := newPlace(t, kind)
		proxy := realserver.NewProxy(t, p.addrs[0])
		p.addrs = []string{proxy.Addr()}
		return p, func() { begin(proxy) }, proxy.Heal
	}
}

// ofServer makes faults of a server that the test has for itself.
func ofServer(
	kind string, start func(testing.TB, ...string) *realserver.Server, faulty func(*testing.T, *realserver.Server) (begin, end func()),
) func(*testing.T) (place, func(), func()) {
	return func(t *testing.T) (place, func(), func()) {
		server := start(t)
		begin, end := faulty(t, server)
		return place{kind: kind, addrs: []string{server.Addr()}, prefix: "faults"}, begin, end
	}
}

func killed(t *testing.T, s *realserver.Server) (begin, end func()) {
	return s.Kill, func() { s.Restart(t) }
}

func stopped(t *testing.T, s *realserver.Server) (begin, end func()) {
	return func() { s.Pause(t) }, func() { s.Continue(t) }
}

func emptied(t *testing.T, s *realserver.Server) (begin, end func()) {
	return func() { s.RestartEmpty(t) }, nil
}

func refused(p *realserver.Proxy) { p.Refuse() }
func reset(p *realserver.Proxy)   { p.Reset() }
func delayed(p *realserver.Proxy) { p.Latency(time.Second) }
func cut(p *realserver.Proxy)     { p.Cut(5000) }

func faults() []fault {
	fs := []fault{
		{store: "redis", name: "killed", open: ofServer("redis", realserver.NewRedis, killed)},
		{store: "redis", name: "stopped", open: ofServer("redis", realserver.NewRedis, stopped)},
		{store: "redis", name: "restarted empty", open: ofServer("redis", realserver.NewRedis, emptied)},
		{store: "redis", name: "garbage under every key", open: spoiledRedis},
		{store: "cluster", name: "a node killed", open: clusterNode(false, killed), hits: 0.5},
		{store: "cluster", name: "a node stopped", open: clusterNode(false, stopped), hits: 0.5},
		{store: "cluster", name: "the node of the marks killed", open: clusterNode(true, killed)},
		{store: "memcached", name: "killed", open: ofServer("memcached", realserver.NewMemcached, killed)},
		{store: "memcached", name: "stopped", open: ofServer("memcached", realserver.NewMemcached, stopped)},
		{store: "memcached", name: "garbage under every key", open: spoiledMemcached},
		{store: "memcached", name: "one of two killed", open: memcachedNode(killed), hits: 0.25},
		{store: "memcached", name: "one of two stopped", open: memcachedNode(stopped), hits: 0.25},
		{store: "dynamodb", name: "stopped", open: stoppedDynamo},
		{store: "dynamodb", name: "garbage under every key", open: spoiledDynamo},
	}
	for _, kind := range []string{"redis", "memcached", "dynamodb"} {
		fs = append(fs,
			fault{store: kind, name: "connection refused", open: behindProxy(kind, refused)},
			fault{store: kind, name: "reset mid-reply", open: behindProxy(kind, reset)},
			fault{store: kind, name: "1 s latency", open: behindProxy(kind, delayed)},
			fault{store: kind, name: "reply cut short", open: behindProxy(kind, cut), partial: true},
		)
	}
	return fs
}

// TestFaults has clients ask a site while its store fails: each gets the right answer, and hits return. How long answers take
// is printed, and held with -full, on a machine with nothing else to do.
func TestFaults(t *testing.T) {
	all := faults()
	rows := make([]*outcome, len(all))
	t.Cleanup(func() { report(t, rows) }) // after the subtests
	for i, f := range all {
		t.Run(f.store+"/"+f.name, func(t *testing.T) {
			t.Parallel()
			rows[i] = f.run(t)
		})
	}
}

// outcome is a row of the table.
type outcome struct {
	store, fault      string
	requests, wrong   int
	lasted            time.Duration
	noise             time.Duration // p99 of how late the clients began
	before, at, after time.Duration // p99 of added latency: before the fault, at its onset, and once the store is left alone
	median, worst     time.Duration // during the fault
	hits              float64       // during the fault
	recovered         time.Duration
}

func (f fault) run(t *testing.T) *outcome {
	p, begin, end := f.open(t)
	s, closeAll, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closeAll(); err != nil {
			t.Errorf("Close of the store: %v", err)
		}
	})
	w := newSite(t, s)
	w.begin()
	time.Sleep(calm) // of the clients' time, which is real
	broken := w.now()
	begin()
	healed := w.now()
	if end != nil {
		time.Sleep(time.Until(w.began.Add(broken + lasting())))
		healed = w.now() // before the last of what end does: hits may return while it waits
		end()
		if f.store == "cluster" {
			healed = w.now() // a Cluster takes a while until it takes a node back
		}
	}
	recovered, ok := w.recovers(healed, patience)
	w.end()

	all, due := w.between(0, w.now()), len(w.samples)
	if stayed := due - len(all); stayed > 0 {
		t.Logf("the machine cannot keep up: %d of %d requests were not made", stayed, due)
	}
	during := w.between(broken, max(healed, broken+onset/2))
	o := &outcome{
		store: f.store, fault: f.name, requests: len(all), lasted: healed - broken,
		noise:  quantile(all, 0.99, late),
		before: quantile(w.between(0, broken), 0.99, added),
		at:     quantile(w.between(broken, broken+onset), 0.99, added),
		after:  quantile(w.between(broken+onset, healed), 0.99, added),
		median: quantile(during, 0.5, added), worst: quantile(during, 1, added),
		hits: hits(during), recovered: recovered,
	}
	for _, s := range all {
		if s.wrong != "" {
			if o.wrong++; o.wrong <= 3 {
				t.Errorf("%v after the beginning of the fault: %s", s.at-broken, s.wrong)
			}
		}
	}
	if o.wrong > 3 {
		t.Errorf("%d more of %d requests went wrong", o.wrong-3, o.requests)
	}
	if f.hits > 0 && o.hits == 0 {
		t.Error("no request hits while the fault lasts; part of the store works")
	}
	// A fault that takes long, since the machine does, leaves time for hits: then half of the keys have to have missed.
	if missed := (1 - o.hits) * float64(len(during)); f.hits == 0 && !f.partial && o.hits > 0.9 && missed < paths/2 {
		t.Errorf("%.0f%% of %d requests hit: there was no fault", 100*o.hits, len(during))
	}
	if !ok {
		t.Errorf("hits do not return within %v of the fault's end", patience)
	}
	if *full {
		o.inTime(t, f.hits)
	}
	return o
}

// inTime holds the times that are promised, and the part of requests that hit while the fault lasts.
func (o *outcome) inTime(t *testing.T, least float64) {
	t.Helper()
	busy := handOvers * o.noise
	if o.at > onsetP99+busy {
		t.Errorf("p99 of added latency at the onset is %v; want at most %v, and %v for a busy machine", o.at, onsetP99, busy)
	}
	if o.after > restP99+busy {
		t.Errorf("p99 of added latency once the store is left alone is %v; want at most %v, and %v for a busy machine", o.after, restP99, busy)
	}
	if o.hits < least {
		t.Errorf("%.0f%% of requests hit; want at least %.0f%%", 100*o.hits, 100*least)
	}
	if o.recovered > recovery+busy {
		t.Errorf("hits return %v after the fault; want at most %v, and %v for a busy machine", o.recovered, recovery, busy)
	}
}

// report prints the table.
func report(t *testing.T, rows []*outcome) {
	t.Helper()
	var b strings.Builder
	b.WriteString("| store | fault | lasted | machine | p99 before | p99 at onset | p99 after 1 s | median | worst | hits | requests | wrong | recovered |\n")
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, o := range rows {
		if o == nil {
			continue // left out, or failed early
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %.0f%% | %d | %d | %s |\n", o.store, o.fault,
			short(o.lasted), short(o.noise), short(o.before), short(o.at), short(o.after), short(o.median), short(o.worst),
			100*o.hits, o.requests, o.wrong, short(o.recovered))
	}
	t.Logf("%d requests a second; what the cache added to each:\n%s", rate, b.String())
	if *table == "" {
		return
	}
	if err := os.WriteFile(*table, []byte(b.String()), 0o600); err != nil {
		t.Error(err)
	}
}

func short(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
