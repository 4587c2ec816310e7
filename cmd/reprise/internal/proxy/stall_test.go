package proxy_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// A client that neither sends nor reads on does not keep its place at the origin.
func TestStalledClients(t *testing.T) {
	h1 := func(head string) func(*testing.T, *running) {
		return func(t *testing.T, p *running) {
			t.Helper()
			_, _ = io.WriteString(dial(t, p.addr), head)
		}
	}
	h2 := func(method string, body io.Reader) func(*testing.T, *running) {
		return func(t *testing.T, p *running) {
			t.Helper()
			tr := &http.Transport{Protocols: new(http.Protocols)}
			tr.Protocols.SetUnencryptedHTTP2(true)
			t.Cleanup(tr.CloseIdleConnections)
			r, err := http.NewRequestWithContext(t.Context(), method, p.front+"/held", body)
			if err != nil {
				t.Fatal(err)
			}
			go func() { // ends with the test
				if res, err := tr.RoundTrip(r); err == nil {
					t.Cleanup(func() { _ = res.Body.Close() })
				}
			}()
		}
	}
	silent, _ := io.Pipe()
	t.Cleanup(func() { _ = silent.Close() })
	for _, tt := range []struct {
		name string
		hold func(*testing.T, *running)
	}{
		{"body", h1("POST /held HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")},
		{"chunked body", h1("POST /held HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx")},
		{"body of GET", h1("GET /held HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")},
		{"answer", h1("GET /held HTTP/1.1\r\nHost: a\r\n\r\n")},
		{"answer in HTTP/1.0", h1("GET /held HTTP/1.0\r\nHost: a\r\n\r\n")},
		{"body in HTTP/2", h2(http.MethodPost, silent)},
		{"answer in HTTP/2", h2(http.MethodGet, nil)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begun := make(chan struct{}, 1)
			o := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/free" {
					return
				}
				begun <- struct{}{}
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					return
				}
				for err := error(nil); err == nil; {
					_, err = w.Write(make([]byte, 32<<10))
				}
			}))
			t.Cleanup(o.Close)
			p := start(t, o.URL, func(cfg *proxy.Config) {
				cfg.MaxOriginRequests, cfg.IdleTimeout, cfg.H2C = 1, 100*time.Millisecond, true
			})
			tt.hold(t, p)
			<-begun
			if status, _, body := exchange(t, p.addr, wire("POST /free | Content-Length: 0")); status != http.StatusOK {
				t.Errorf("the next request gets %d %q; want the place of the one that has stalled", status, body)
			}
		})
	}
}

// Who stops in the middle of a body is told so, also by a refusal, and the connection is closed.
func TestStalledBodyAnswer(t *testing.T) {
	o := originServer(t, func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	p := start(t, o.URL, func(cfg *proxy.Config) {
		cfg.IdleTimeout, cfg.AdminToken = 100*time.Millisecond, "0123456789abcdef"
	})
	admin := strings.TrimPrefix(p.admin, "http://")
	for _, tt := range []struct {
		addr, head string
		status     int
	}{
		{p.addr, "POST /", http.StatusRequestTimeout},
		{p.addr, "TRACE /", http.StatusMethodNotAllowed},
		{admin, "POST /purge", http.StatusUnauthorized},
		{admin, "PURGE /", http.StatusUnauthorized},
		{admin, "POST /purge | Authorization: Bearer 0123456789abcdef", http.StatusBadRequest},
	} {
		c := dial(t, tt.addr)
		br := bufio.NewReader(c)
		if status, _, body := exchangeOn(t, c, br, wire(tt.head+" | Content-Length: 100 | | x")); status != tt.status {
			t.Errorf("half a body of %s = %d %q; want %d", tt.head, status, body, tt.status)
		}
		if rest, err := io.ReadAll(br); isTimeout(err) || strings.Contains(string(rest), "HTTP/") {
			t.Errorf("after half a body of %s: %q, %v; want the end of the connection", tt.head, rest, err)
		}
	}
}
