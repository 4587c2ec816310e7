package e2e

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/realserver"
)

// cable is how long a reply takes through the proxy. A hit that takes less than two of it had one round trip.
const cable = 50 * time.Millisecond

// TestRoundTrips counts how often a hit goes to the store and back, by the time that it takes.
func TestRoundTrips(t *testing.T) {
	for _, kind := range []string{"redis", "memcached", "dynamodb"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, kind)
			proxy := realserver.NewProxy(t, p.addrs[0])
			p.addrs = []string{proxy.Addr()}
			c := openCache(t, p)
			serve := func(tags ...string) http.Handler {
				return c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, "v")
				}, reprise.TTL(time.Hour), reprise.Tags(tags...))
			}
			plain, tagged := serve(), serve("a", "b")
			hit(t, plain, "/plain")
			hit(t, tagged, "/tagged")
			proxy.Latency(cable)
			trips(t, "a hit", plain, "/plain", 1)
			trips(t, "one with tags", tagged, "/tagged", 1)
			if err := c.InvalidateTags(t.Context(), "unrelated"); err != nil {
				t.Fatal(err)
			}
			trips(t, "a hit after an invalidation", plain, "/plain", 1)
			trips(t, "one with tags after an invalidation", tagged, "/tagged", 2)
		})
	}
}

func openCache(t testing.TB, p place) *reprise.Cache {
	t.Helper()
	s, closeAll, err := p.open()
	if err != nil {
		t.Fatal(err)
	}
	c, err := reprise.New(reprise.Config{
		Store: s, Logger: slog.New(slog.DiscardHandler), Limits: reprise.Limits{StoreTimeout: 5 * time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := closeAll(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// hit asks until the answer is a hit, and returns how long that took.
func hit(t testing.TB, h http.Handler, path string) time.Duration {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		w, began := httptest.NewRecorder(), time.Now()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Header().Get("X-Cache") == "HIT" {
			return time.Since(began)
		}
	}
	t.Fatalf("GET %s does not become a hit", path)
	return 0
}

// trips looks for the fastest of several hits: what makes one slower is the machine.
func trips(t *testing.T, what string, h http.Handler, path string, want int) {
	t.Helper()
	fastest := hit(t, h, path)
	for range 8 {
		fastest = min(fastest, hit(t, h, path))
	}
	if got := int(fastest / cable); got != want {
		t.Errorf("%s takes %v, which is %d round trips of %v; want %d", what, fastest, got, cable, want)
	}
}

// TestHitCommands looks at what a server of its own counts while there are hits alone, of which some met before. What is done
// once in a while, and what a new connection does first, is no part of a hit: then it counts again.
func TestHitCommands(t *testing.T) {
	const n = 100
	for _, tt := range []struct {
		kind  string
		start func(testing.TB, ...string) *realserver.Server
		count func(t *testing.T, addr string) map[string]string
		want  map[string]string // what is counted after n hits more than before
	}{
		{"redis", realserver.NewRedis, redisCommands, map[string]string{"get": "100"}},
		{"memcached", realserver.NewMemcached, memcachedCommands, map[string]string{"cmd_get": "300", "get_hits": "300"}},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			server := tt.start(t)
			c := openCache(t, place{kind: tt.kind, addrs: []string{server.Addr()}, prefix: "hits"})
			h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "v") }, reprise.TTL(time.Hour))
			hit(t, h, "/")
			settle(t, func() string { return fmt.Sprint(tt.count(t, server.Addr())) })
			for deadline := time.Now().Add(20 * time.Second); ; {
				meet(h)
				changed := countHits(t, func() map[string]string { return tt.count(t, server.Addr()) }, func() {
					for range n {
						hit(t, h, "/")
					}
				})
				if fmt.Sprint(changed) == fmt.Sprint(tt.want) {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%d hits are %v; want %v", n, changed, tt.want)
				}
			}
		})
	}
}

// meet asks several times at once.
func meet(h http.Handler) {
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
			}
		})
	}
	all.Wait()
}

// countHits returns by how much the counts of a server change while hits asks.
func countHits(t *testing.T, count func() map[string]string, hits func()) map[string]string {
	t.Helper()
	before := count()
	if len(before) == 0 {
		t.Fatal("the server counts nothing")
	}
	hits()
	changed := make(map[string]string)
	for name, after := range count() {
		if after != before[name] {
			changed[name] = difference(t, before[name], after)
		}
	}
	return changed
}

// settle waits until what is counted stays the same: the write of a miss has its followers, such as giving a lease back.
func settle(t *testing.T, count func() string) {
	t.Helper()
	last := count()
	for since := time.Now(); time.Since(since) < 200*time.Millisecond; time.Sleep(20 * time.Millisecond) {
		if now := count(); now != last {
			last, since = now, time.Now()
		}
	}
}

func difference(t *testing.T, before, after string) string {
	t.Helper()
	var a, b int
	if before == "" {
		before = "0"
	}
	if _, err := fmt.Sscan(before+" "+after, &a, &b); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(b - a)
}

// redisCommands returns how often each command was called, but for those that ask for it.
func redisCommands(t *testing.T, addr string) map[string]string {
	t.Helper()
	info, err := realserver.RedisDo(addr, "INFO", "commandstats")
	if err != nil {
		t.Fatal(err)
	}
	calls := make(map[string]string)
	for line := range strings.Lines(info) {
		name, fields, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if ok && name != "info" && name != "ping" {
			calls[name], _, _ = strings.Cut(fields, ",")
		}
	}
	return calls
}

// memcachedCommands returns how often something was read or changed.
func memcachedCommands(t *testing.T, addr string) map[string]string {
	t.Helper()
	counts := make(map[string]string)
	for _, line := range memcachedDo(t, addr, "stats") {
		var name, value string
		if _, err := fmt.Sscanf(line, "STAT %s %s", &name, &value); err != nil {
			continue
		}
		switch name {
		case "cmd_get", "get_hits", "cmd_set", "cmd_touch", "cmd_flush", "cmd_meta", "incr_hits", "decr_hits", "delete_hits", "cas_hits", "total_items":
			counts[name] = value
		}
	}
	return counts
}
