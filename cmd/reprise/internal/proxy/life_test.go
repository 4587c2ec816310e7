package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// until waits for what is true soon.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("never %s", what)
		case <-tick.C:
		}
	}
}

// Who is being served when the proxy is told to end gets all of it, and so does the store.
func TestShutdown(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	o := originServer(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "whole")
	})
	p := start(t, o.URL, nil)
	got := make(chan string, 1)
	go func() {
		_, body := get(t, p.front+"/")
		got <- body
	}()
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- p.stop() }()
	until(t, "not ready", func() bool {
		res, _ := get(t, p.admin+"/readyz")
		return res.StatusCode == http.StatusServiceUnavailable
	})
	until(t, "closed to others", func() bool {
		var d net.Dialer
		c, err := d.DialContext(t.Context(), "tcp", p.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case err := <-ended:
		t.Fatalf("Run ended with a request under way: %v", err)
	default:
	}
	close(finish)
	if body := <-got; body != "whole" {
		t.Errorf("the request under way got %q; want all of it", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run = %v; want nil", err)
	}
}

// Requests without end are cut off.
func TestShutdownTimeout(t *testing.T) {
	begun := make(chan struct{})
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		close(begun)
		<-r.Context().Done()
	})
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.DrainTimeout = 50 * time.Millisecond })
	c := dial(t, p.addr)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-begun
	if err := p.stop(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run = %v; want that requests were cut off", err)
	}
	if _, err := io.Copy(io.Discard, c); err != nil && !isReset(err) {
		t.Errorf("the connection: %v; want its end", err)
	}
}

func isReset(err error) bool {
	return strings.Contains(err.Error(), "reset")
}

// The client that began a fill hangs up; who waits for it gets the answer, and so does the store.
func TestHangUp(t *testing.T) {
	var n atomic.Int32
	begun, finish := make(chan struct{}), make(chan struct{})
	o := originServer(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			close(begun)
		}
		<-finish
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "whole")
	})
	p := start(t, o.URL, nil)
	c := dial(t, p.addr)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+p.addr+"\r\n\r\n")
	<-begun
	_ = c.Close()
	close(finish)
	until(t, "stored", func() bool {
		res, body := get(t, p.front+"/")
		return body == "whole" && strings.HasPrefix(status(t, res), "hit")
	})
	if n.Load() != 1 {
		t.Errorf("the origin was asked %d times; want 1", n.Load())
	}
}

// An upload whose client hangs up ends at the origin, too.
func TestHangUpDuringUpload(t *testing.T) {
	failed := make(chan error, 1)
	o := originServer(t, func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		failed <- err
	})
	p := start(t, o.URL, nil)
	c := dial(t, p.addr)
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nfirst")
	_ = c.Close()
	select {
	case err := <-failed:
		if err == nil {
			t.Error("the origin read half a body to its end; want an error")
		}
	case <-time.After(10 * time.Second):
		t.Error("the origin still waits for the body")
	}
}

// While the origin is away there is 502, or what is stored; when it is back there is the page.
func TestOriginRestart(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "page "+r.URL.Path)
	})
	first := httptest.NewServer(page)
	addr := first.Listener.Addr().String()
	p := start(t, first.URL, nil)
	get(t, p.front+"/stored")
	first.Close()
	if res, _ := get(t, p.front+"/new"); res.StatusCode != http.StatusBadGateway {
		t.Errorf("GET without an origin = %d; want 502", res.StatusCode)
	}
	if res, body := get(t, p.front+"/stored"); body != "page /stored" {
		t.Errorf("GET of what is stored = %d %q; want it", res.StatusCode, body)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Skipf("the port is taken: %v", err)
	}
	second := &httptest.Server{Listener: l, Config: &http.Server{Handler: page, ReadHeaderTimeout: time.Second}}
	second.Start()
	defer second.Close()
	if res, body := get(t, p.front+"/new"); body != "page /new" {
		t.Errorf("GET after the restart = %d %q; want the page", res.StatusCode, body)
	}
}

// A bounded number of requests is at the origin, a bounded number waits, the rest gets 503 at once.
func TestMaxOriginRequests(t *testing.T) {
	var at, most atomic.Int32
	release := make(chan struct{})
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), at.Add(1)))
		defer at.Add(-1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.MaxOriginRequests, cfg.MaxWaiting = 2, 1 })
	codes := make(chan int, 5)
	var all sync.WaitGroup
	ask := func(path string) {
		all.Go(func() {
			res, _ := get(t, p.front+path)
			codes <- res.StatusCode
		})
	}
	ask("/1")
	ask("/2")
	until(t, "two at the origin", func() bool { return at.Load() == 2 })
	for _, path := range []string{"/3", "/4", "/5"} {
		ask(path)
	}
	for range 2 { // one of three may wait
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Errorf("beyond both bounds = %d; want 503", code)
		}
	}
	close(release)
	all.Wait()
	for range 3 {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("within the bounds = %d; want 200", code)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d requests were at the origin at once; want 2", most.Load())
	}
}

func TestOriginTimeout(t *testing.T) {
	o := originServer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.OriginTimeout = 20 * time.Millisecond })
	if res, _ := get(t, p.front+"/"); res.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("GET of a silent origin = %d; want 504", res.StatusCode)
	}
}

// A client that sends half a head is not waited for.
func TestHeaderTimeout(t *testing.T) {
	o := originServer(t, func(http.ResponseWriter, *http.Request) { t.Error("the origin was asked") })
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.HeaderTimeout = 20 * time.Millisecond })
	c := dial(t, p.addr)
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n")
	if _, err := bufio.NewReader(c).ReadByte(); err == nil || isTimeout(err) {
		t.Errorf("half a head is answered with %v; want the end of the connection", err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
