package proxy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// lockedBuffer is a log that is written and read at once.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func prefixes(t *testing.T, texts ...string) (all []netip.Prefix) {
	t.Helper()
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestAccessLog(t *testing.T) {
	o := originServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "body")
	})
	log := new(lockedBuffer)
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.AccessLog = slog.New(slog.NewJSONHandler(log, nil)) })
	lines := func(n int) { // that come after the answers
		t.Helper()
		until(t, fmt.Sprintf("%d lines", n), func() bool { return strings.Count(log.String(), "\n") == n })
	}
	get(t, p.front+"/a?token=secret", "Host: shop.test")
	lines(1)
	get(t, p.front+"/a?token=secret", "Host: shop.test")
	lines(2)
	exchange(t, p.addr, wire("TRACE /a"))
	lines(3)
	if strings.Contains(log.String(), "secret") {
		t.Errorf("log = %q; want no query", log)
	}
	want := []struct {
		status, bytes float64
		cache         string
	}{{200, 4, "fwd=uri-miss; stored"}, {200, 4, "hit; ttl="}, {405, 19, ""}}
	for i, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
		var got map[string]any
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if got["status"] != want[i].status || got["bytes"] != want[i].bytes || !strings.HasPrefix(got["cache"].(string), want[i].cache) || got["path"] != "/a" || got["client"] != "127.0.0.1" {
			t.Errorf("line %d = %s; want %+v", i, line, want[i])
		}
	}
}
