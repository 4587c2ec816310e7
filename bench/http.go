package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
)

var errNoWrk = errors.New("wrk is not installed; scripts/bench-http.sh installs it")

// lab is where servers are measured: all of them on one core, and what asks them on another.
type lab struct {
	*bench
	host    *host
	run     string // is in every page
	dir     string
	script  string // of wrk
	core    int    // of the servers
	asking  int    // of wrk
	client  *http.Client
	origin  string // address of the bare server that proxies are in front of
	running []running
}

// running is a server that runs.
type running struct {
	site
	*realserver.Server
	counter string // address of the server that makes its pages
}

// overHTTP measures stored answers of real servers.
func (b *bench) overHTTP() error { return b.measureSites(sites()) }

// measureSites measures the sites that are installed; the first is what the others are compared with. No server outlives
// this process, however that ends; after a signal no files stay either.
func (b *bench) measureSites(all []site) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := hosted(func(h *host) error {
		l, err := b.newLab(h)
		if err != nil {
			return err
		}
		if err := l.open(ctx, all); err != nil {
			return err
		}
		for _, kib := range sizes() {
			if err := l.measure(ctx, kib); err != nil {
				return err
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return errors.New("interrupted") // and not what broke because of that
	}
	return err
}

// newLab makes a lab with an origin in it.
func (b *bench) newLab(h *host) (*lab, error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, errNoWrk
	}
	cores, err := cores()
	if err != nil {
		return nil, err
	}
	if len(cores) < 2 {
		return nil, fmt.Errorf("%d processor; one for the servers and one for wrk are needed", len(cores))
	}
	dir, err := os.MkdirTemp("", "reprise-bench-")
	if err != nil {
		return nil, err
	}
	h.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &lab{
		bench: b, host: h, run: rand.Text(), dir: dir, script: filepath.Join(dir, "wrk.lua"), core: cores[0], asking: cores[1],
		client: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}},
	}
	b.report.versions = append(b.report.versions, module{"wrk", version("wrk", "-v")})
	return l, os.WriteFile(l.script, []byte(wrkScript), 0o600)
}

// open starts an origin and the sites, and puts them into the report.
func (l *lab) open(ctx context.Context, all []site) error {
	const note = `What is not installed is left out.`
	t := l.report.table("Servers", note, "server", "how it is set up")
	bare, err := sites()[0].command(l)
	if err != nil {
		return err
	}
	l.origin = l.start(ctx, bare).Addr()
	for _, s := range all {
		p, err := s.command(l)
		if err != nil {
			t.add(bold(s.name), "left out: "+err.Error())
			fmt.Fprintf(l.log, "%s is left out: %v\n", s.name, err)
			continue
		}
		for _, v := range p.version {
			if !slices.Contains(l.report.versions, v) {
				l.report.versions = append(l.report.versions, v)
			}
		}
		r := running{site: s, Server: l.start(ctx, p)}
		r.counter = r.Addr()
		if s.behind {
			r.counter = l.origin
		}
		l.running = append(l.running, r)
		t.add(bold(s.name), s.setup)
	}
	return nil
}

// start starts a server on the servers' core. It ends with the host.
func (l *lab) start(ctx context.Context, p program) *realserver.Server {
	return realserver.Start(l.host, realserver.Command{
		Name: "taskset", Remedy: "it is part of util-linux",
		Args: func(port int, dir string) []string {
			return append([]string{"-c", strconv.Itoa(l.core)}, p.args(port, dir)...)
		},
		Files: p.files,
		Ready: func(addr string, _ int) error { return l.ask(ctx, addr, sizes()[0]) },
	})
}

// ask fails unless the server at addr answers with the page of this run.
func (l *lab) ask(ctx context.Context, addr string, kib int) error {
	body, err := l.get(ctx, addr, pagePath(kib))
	if err == nil && !bytes.Equal(body, pageBody(kib, l.run)) {
		err = fmt.Errorf("a page of %d KiB is another: %d bytes", kib, len(body))
	}
	return err
}

// calls is how often the pages of a server have been made.
func (l *lab) calls(ctx context.Context, s running) (int, error) {
	body, err := l.get(ctx, s.counter, "/calls")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(body)))
}

func (l *lab) get(ctx context.Context, addr, path string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := l.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// turn is what is measured of one server in one round.
type turn struct {
	traffic
	cpu time.Duration
}

// measure lets wrk ask each server for its page of that size in turn, in rounds, each of which begins with another one.
func (l *lab) measure(ctx context.Context, kib int) error {
	for _, s := range l.running {
		if err := l.ask(ctx, s.Addr(), kib); err != nil { // it is stored now
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	turns := make([][]turn, len(l.running))
	for round := range l.turns {
		fmt.Fprintf(l.log, "%d KiB, round %d of %d\n", kib, round+1, l.turns)
		for k := range l.running {
			i := (round + k) % len(l.running)
			t, err := l.take(ctx, l.running[i], kib)
			if err != nil {
				return fmt.Errorf("%s: %w", l.running[i].name, err)
			}
			turns[i] = append(turns[i], t)
		}
	}
	l.show(kib, turns)
	return nil
}

// take is one turn. It fails if anything but the page comes, and if the page is made again that should be stored.
func (l *lab) take(ctx context.Context, s running, kib int) (turn, error) {
	made, err := l.calls(ctx, s)
	if err != nil {
		return turn{}, err
	}
	cpu, err := treeCPU(s.Pid())
	if err != nil {
		return turn{}, err
	}
	t := turn{}
	if t.traffic, err = generate(ctx, l.script, "http://"+s.Addr()+pagePath(kib), l.asking, l.turn); err != nil {
		return turn{}, err
	}
	after, err := treeCPU(s.Pid())
	if err != nil {
		return turn{}, err
	}
	t.cpu = after - cpu
	if err := errors.Join(t.check(kib<<10), l.ask(ctx, s.Addr(), kib)); err != nil {
		return turn{}, err
	}
	again, err := l.calls(ctx, s)
	if n := again - made; err == nil && n > 0 != s.direct {
		err = fmt.Errorf("%d requests made the page %d times", t.Requests+1, n)
	}
	return t, err
}

// show puts a table and a chart into the report.
func (l *lab) show(kib int, turns [][]turn) {
	const note = `CPU is the processor time of the server's processes for one request; "× bare" is its ratio to that of the bare server in the
same round, with the quartiles.`
	t := l.report.table(fmt.Sprintf("%d KiB", kib), note, "server", "CPU per request, µs", "× bare", "requests per second", "p50, ms", "p99, ms")
	c := chart{
		file: fmt.Sprintf("benchmarks-http-%d.svg", kib), unit: "µs",
		title: fmt.Sprintf("Processor time of the server for one request, %d KiB", kib),
	}
	for i, r := range compare(turns) {
		name := l.running[i].name
		t.add(bold(name), fmt.Sprintf("%.1f", r.cpu), ratio(r.ratio), thousands(int(r.rate)),
			fmt.Sprintf("%.2f", r.p50/1000), fmt.Sprintf("%.2f", r.p99/1000))
		c.bars = append(c.bars, bar{label: name, value: r.cpu})
	}
	t.Chart = c.file
	l.report.charts = append(l.report.charts, c)
}

// compared is what the turns of one server come to: medians, times in microseconds.
type compared struct {
	cpu, rate, p50, p99 float64
	ratio               spread // of cpu to that of the first server in the same round
}

// compare has a list of turns for each server, as long for all of them.
func compare(turns [][]turn) []compared {
	cpu := func(t turn) float64 { return float64(t.cpu) / float64(time.Microsecond) / float64(t.Requests) }
	cs := make([]compared, len(turns))
	for i, ts := range turns {
		median := func(f func(turn) float64) float64 { return spreadOf(each(ts, f)).mid }
		ratios := make([]float64, len(ts))
		for round, t := range ts {
			ratios[round] = cpu(t) / cpu(turns[0][round])
		}
		cs[i] = compared{
			cpu:   median(cpu),
			rate:  median(func(t turn) float64 { return float64(t.Requests) / float64(t.Micros) * 1e6 }),
			p50:   median(func(t turn) float64 { return t.P50 }),
			p99:   median(func(t turn) float64 { return t.P99 }),
			ratio: spreadOf(ratios),
		}
	}
	return cs
}
