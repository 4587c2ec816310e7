package proxy_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

var soak = flag.Duration("soak", 5*time.Second, "how long TestSoak runs")

// soakPages is how many pages of a kind there are.
const soakPages = 50

// soakOrigin is an application that misbehaves: it restarts, resets connections, and sends bodies slowly or not to their end.
type soakOrigin struct {
	addr     string
	server   *http.Server
	epoch    atomic.Int64 // odd while it is down
	versions [soakPages]atomic.Int64
	written  [soakPages]atomic.Int64 // versions that a client knows to be written
	asked    atomic.Int64
}

// body is what a page says: of a size between nothing and 200 KiB, so that every way of delivery is taken.
func soakBody(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	size := int(sum[0]) * int(sum[1]) * 3
	return bytes.Repeat([]byte(name+"|"), size/(len(name)+1)+1)
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func (o *soakOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	kind, n, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	h := w.Header()
	name := r.URL.Path
	switch kind {
	case "long":
		h.Set("Cache-Control", "max-age=86400")
	case "page":
		h.Set("Cache-Control", "max-age=1, stale-while-revalidate=1, stale-if-error=60")
	case "lang":
		h.Set("Cache-Control", "max-age=2")
		h.Set("Vary", "Accept-Language")
		name += r.Header.Get("Accept-Language")
	case "mine":
		h.Set("Cache-Control", "max-age=60")
		name += r.Header.Get("Cookie")
	case "item":
		i, _ := strconv.Atoi(n)
		if r.Method == http.MethodPost {
			h.Set("Soak-Version", strconv.FormatInt(o.versions[i].Add(1), 10))
			w.WriteHeader(http.StatusNoContent)
			return
		}
		v := o.versions[i].Load()
		h.Set("Cache-Control", "max-age=60")
		h.Set("Soak-Version", strconv.FormatInt(v, 10))
		name += " " + strconv.FormatInt(v, 10)
	default:
		h.Set("Cache-Control", "max-age=1")
	}
	body := soakBody(name)
	h.Set("Soak-Name", name)
	h.Set("Soak-Digest", digest(body))
	switch kind {
	case "slow":
		for len(body) > 0 {
			piece := body[:min(len(body), 16<<10)]
			body = body[len(piece):]
			if _, err := w.Write(piece); err != nil {
				return
			}
			select {
			case <-time.After(time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
	case "reset":
		h.Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body[:len(body)/2])
		panic(http.ErrAbortHandler)
	default:
		_, _ = w.Write(body)
	}
}

func (o *soakOrigin) up(t *testing.T) {
	t.Helper()
	var lc net.ListenConfig
	var l net.Listener
	until(t, "the origin's port is free", func() (ok bool) {
		var err error
		l, err = lc.Listen(context.WithoutCancel(t.Context()), "tcp", o.addr)
		return err == nil
	})
	o.addr = l.Addr().String()
	srv := &http.Server{Handler: o, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	o.server = srv
	go func() { _ = srv.Serve(l) }() // ends with down
}

func (o *soakOrigin) down() { _ = o.server.Close() }

// lastLine keeps what was logged last.
type lastLine struct{ atomic.Pointer[string] }

func (l *lastLine) Write(p []byte) (int, error) {
	line := string(p)
	l.Store(&line)
	return len(p), nil
}

// soakClient asks for pages at random and checks each answer.
type soakClient struct {
	t         *testing.T
	origin    *soakOrigin
	transport *http.Transport
	base      string
	id        int
	log       *lastLine // of the proxy

	requests, hits, failures, cut, hungUp *atomic.Int64
}

func (c *soakClient) run(ctx context.Context, rnd *rand.Rand) {
	kinds := []string{"long", "page", "page", "lang", "mine", "item", "item", "slow", "reset", "new"}
	for ctx.Err() == nil {
		kind, n := kinds[rnd.IntN(len(kinds))], rnd.IntN(soakPages)
		path := fmt.Sprintf("/%s/%d", kind, n)
		if kind == "new" {
			path = fmt.Sprintf("/new/%d", rnd.Int64())
		}
		method := http.MethodGet
		if kind == "item" && rnd.IntN(20) == 0 {
			method = http.MethodPost
		}
		c.ask(ctx, rnd, kind, n, method, path)
	}
}

func (c *soakClient) ask(ctx context.Context, rnd *rand.Rand, kind string, n int, method, path string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		c.t.Error(err)
		return
	}
	name := path
	switch kind {
	case "lang":
		r.Header.Set("Accept-Language", []string{"en", "de", "fr"}[rnd.IntN(3)])
		name += r.Header.Get("Accept-Language")
	case "mine":
		r.Header.Set("Cookie", "user="+strconv.Itoa(c.id))
		name += r.Header.Get("Cookie")
	}
	epoch, least := c.origin.epoch.Load(), c.origin.written[n].Load()
	calm := func() bool { return epoch%2 == 0 && c.origin.epoch.Load() == epoch && kind != "reset" }
	c.requests.Add(1)
	res, err := c.transport.RoundTrip(r)
	if err != nil {
		if ctx.Err() == nil && calm() {
			c.t.Errorf("%s %s: %v", method, path, err)
		}
		return
	}
	defer res.Body.Close()
	if rnd.IntN(20) == 0 { // hangs up
		_, _ = io.CopyN(io.Discard, res.Body, 1000)
		c.hungUp.Add(1)
		return
	}
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil: // shows that it is not whole
		c.cut.Add(1)
		if ctx.Err() == nil && (calm() || kind == "long") {
			c.t.Errorf("%s %s is cut off: %v", method, path, err)
		}
		return
	case res.StatusCode >= 500:
		c.failures.Add(1)
		if calm() || kind == "long" {
			c.t.Errorf("%s %s = %d, Cache-Status %q; want what the origin, or the store, has; logged last: %s", method, path, res.StatusCode, res.Header.Get("Cache-Status"), *c.log.Load())
		}
		return
	case method == http.MethodPost:
		c.wrote(n, res)
		return
	}
	if strings.Contains(res.Header.Get("Cache-Status"), "; hit") {
		c.hits.Add(1)
	}
	if v := res.Header.Get("Soak-Version"); v != "" {
		if got, _ := strconv.ParseInt(v, 10, 64); got < least {
			c.t.Errorf("%s has version %d after %d was written", path, got, least)
		}
		name += " " + v
	}
	if got := res.Header.Get("Soak-Name"); got != name || res.Header.Get("Soak-Digest") != digest(body) || !bytes.Equal(body, soakBody(name)) {
		c.t.Errorf("%s is answered by %q with %d bytes; want %q with %d", path, got, len(body), name, len(soakBody(name)))
	}
}

// wrote takes note that no older version of an item may come back.
func (c *soakClient) wrote(n int, res *http.Response) {
	v, err := strconv.ParseInt(res.Header.Get("Soak-Version"), 10, 64)
	if err != nil || res.StatusCode != http.StatusNoContent {
		c.t.Errorf("POST /item/%d = %d, version %q; want 204 and a version", n, res.StatusCode, res.Header.Get("Soak-Version"))
		return
	}
	for {
		old := c.origin.written[n].Load()
		if old >= v || c.origin.written[n].CompareAndSwap(old, v) {
			return
		}
	}
}

// heap returns the bytes that are in use once all garbage is gone.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSoak loads a proxy while its origin restarts and misbehaves and its clients hang up. Each body is checked by its digest.
func TestSoak(t *testing.T) {
	before := runtime.NumGoroutine()
	o := &soakOrigin{addr: "127.0.0.1:0"}
	o.up(t)
	defer func() { o.down() }()
	log := new(lastLine)
	log.Store(new(string))
	p := start(t, "http://"+o.addr, func(cfg *proxy.Config) {
		cfg.Logger = slog.New(slog.NewTextHandler(log, nil)) // hundreds of failures of the origin
	})
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	for i := range soakPages {
		get(t, fmt.Sprintf("%s/long/%d", p.front, i))
	}

	var requests, hits, failures, cut, hungUp atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), *soak)
	defer cancel()
	var clients sync.WaitGroup
	for id := range 16 {
		clients.Go(func() {
			c := &soakClient{t, o, transport, p.front, id, log, &requests, &hits, &failures, &cut, &hungUp}
			c.run(ctx, rand.New(rand.NewPCG(uint64(id), 1)))
		})
	}
	restarts, warm := 0, int64(0)
	for tick := time.NewTicker(max(*soak/20, 200*time.Millisecond)); ctx.Err() == nil; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			continue
		}
		if restarts++; restarts == 5 {
			warm = heap()
		}
		o.epoch.Add(1)
		o.down()
		o.up(t)
		o.epoch.Add(1)
	}
	clients.Wait()
	transport.CloseIdleConnections()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	_, stats := get(t, p.admin+"/stats")
	end := heap()
	if warm > 0 && end > warm+warm/2+(64<<20) { // the store takes up to 64 MiB
		t.Errorf("%d bytes in use at the end, %d after a quarter; want no growth beyond the store", end, warm)
	}
	if err := p.stop(); err != nil {
		t.Errorf("Run = %v; want nil", err)
	}
	o.down()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	until(t, fmt.Sprintf("as many goroutines as before (%d)", before), func() bool { return runtime.NumGoroutine() <= before+10 })
	t.Logf("%v: %d requests, %d hits, %d asked of the origin, %d restarts, %d answers 5xx for a dead origin, %d cut off by it, %d hung up; heap %d MiB after a quarter, %d at the end; %s",
		*soak, requests.Load(), hits.Load(), o.asked.Load(), restarts, failures.Load(), cut.Load(), hungUp.Load(), warm>>20, end>>20, stats)
	if requests.Load() < 100 || hits.Load() == 0 {
		t.Errorf("%d requests, %d hits; want a load", requests.Load(), hits.Load())
	}
}
