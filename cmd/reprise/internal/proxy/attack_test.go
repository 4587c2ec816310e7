package proxy_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// mirror answers with everything of the request that an application may make its answer of: the worst of all origins to
// put a cache before. It says nothing of Vary.
func mirror(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=60")
	if r.Header.Get("Cookie") != "" && strings.HasPrefix(r.URL.Path, "/set/") {
		w.Header().Set("Set-Cookie", "session=of-"+r.Header.Get("Cookie"))
	}
	method := r.Method
	if m := r.Header.Get("X-Http-Method-Override"); m != "" {
		method = m
	}
	fmt.Fprintf(w, "%s %s %s\n", method, r.Host, r.RequestURI)
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "body %q\n", body)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		switch name {
		case "Via", "Connection", "Content-Length", "Transfer-Encoding":
		default:
			fmt.Fprintf(w, "%s %q\n", name, r.Header[name])
		}
	}
}

// attacks are requests that are followed by a victim's. The victim gets what it would get without them.
//
// onlyProxy marks those with fields that an application has to read itself to be fooled. There the middleware leaves them to
// Vary; the proxy, which knows nothing of the application, takes them away.
var attacks = []struct {
	name, attack, victim string
	onlyProxy            bool
}{
	// Fields that are in no key.
	{"X-Forwarded-Host", "GET /a | X-Forwarded-Host: evil.test", "GET /a", true},
	{"X-Forwarded-Host twice", "GET /a | X-Forwarded-Host: shop.test | X-Forwarded-Host: evil.test", "GET /a", true},
	{"X-Forwarded-Proto", "GET /a | X-Forwarded-Proto: https", "GET /a", true},
	{"X-Forwarded-Port", "GET /a | X-Forwarded-Port: 1337", "GET /a", true},
	{"X-Forwarded-Scheme", "GET /a | X-Forwarded-Scheme: http", "GET /a", true},
	{"X-Forwarded-Prefix", "GET /a | X-Forwarded-Prefix: //evil.test", "GET /a", true},
	{"X-Forwarded-Server", "GET /a | X-Forwarded-Server: evil.test", "GET /a", true},
	{"X-Forwarded-For", "GET /a | X-Forwarded-For: <script>", "GET /a", true},
	{"Forwarded", "GET /a | Forwarded: host=evil.test;proto=https", "GET /a", true},
	{"X-Host", "GET /a | X-Host: evil.test", "GET /a", true},
	{"X-Original-Host", "GET /a | X-Original-Host: evil.test", "GET /a", true},
	{"X-HTTP-Host-Override", "GET /a | X-HTTP-Host-Override: evil.test", "GET /a", true},
	{"X-Original-URL", "GET /a | X-Original-URL: /admin", "GET /a", true},
	{"X-Rewrite-URL", "GET /a | X-Rewrite-URL: /admin", "GET /a", true},
	{"X-Override-URL", "GET /a | X-Override-URL: /admin", "GET /a", true},
	{"X-Envoy-Original-Path", "GET /a | X-Envoy-Original-Path: /admin", "GET /a", true},
	{"X-Script-Name", "GET /a | X-Script-Name: /admin", "GET /a", true},
	{"X-Real-IP", "GET /a | X-Real-IP: 10.0.0.1", "GET /a", true},
	{"True-Client-IP", "GET /a | True-Client-IP: 10.0.0.1", "GET /a", true},
	{"CF-Connecting-IP", "GET /a | CF-Connecting-IP: 10.0.0.1", "GET /a", true},
	{"Proxy", "GET /a | Proxy: http://evil.test", "GET /a", true},
	{"X-Middleware-Subrequest", "GET /a | X-Middleware-Subrequest: middleware", "GET /a", true},
	{"X-Invoke-Status", "GET /a | X-Invoke-Status: 500", "GET /a", true},
	{"X-Matched-Path", "GET /a | X-Matched-Path: /admin", "GET /a", true},
	{"X-Sendfile-Type", "GET /a | X-Sendfile-Type: X-Accel-Redirect | X-Accel-Mapping: /=/etc/", "GET /a", true},
	{"Front-End-Https", "GET /a | Front-End-Https: on", "GET /a", true},
	{"underscores", "GET /a | X_Forwarded_Host: evil.test", "GET /a", true},
	{"one underscore", "GET /a | X-Forwarded_Host: evil.test", "GET /a", true},
	{"underscores in a known name", "GET /a | Content_Length: 5", "GET /a", true},

	// The method.
	{"X-HTTP-Method-Override", "GET /a | X-HTTP-Method-Override: DELETE", "GET /a", true},
	{"X-HTTP-Method", "GET /a | X-HTTP-Method: DELETE", "GET /a", true},
	{"X-Method-Override", "GET /a | X-Method-Override: DELETE", "GET /a", true},
	{"HEAD", "HEAD /a", "GET /a", false},
	{"HEAD with an override", "HEAD /a | X-HTTP-Method-Override: GET", "GET /a", true},
	{"small letters", "get /a", "GET /a", false},
	{"unknown method", "EVIL /a", "GET /a", false},
	{"OPTIONS", "OPTIONS /a", "GET /a", false},
	{"TRACE", "TRACE /a | Cookie: x=1", "GET /a", false},
	{"PURGE", "PURGE /a", "GET /a", false},
	{"POST", "POST /a | Content-Length: 4 | | evil", "GET /a", false},

	// A body on GET.
	{"body", "GET /a | Content-Length: 4 | | evil", "GET /a", false},
	{"chunked body", "GET /a | Transfer-Encoding: chunked | | 4\r\nevil\r\n0\r\n\r\n", "GET /a", false},

	// The host.
	{"other host", "GET /a | Host: evil.test", "GET /a", false},
	{"capitals", "GET /a | Host: SHOP.TEST", "GET /a", false},
	{"other port", "GET /a | Host: shop.test:8080", "GET /a", false},
	{"final dot", "GET /a | Host: shop.test.", "GET /a", false},
	{"credentials in the host", "GET /a | Host: evil@shop.test", "GET /a", false},
	{"path in the host", "GET /a | Host: shop.test/evil", "GET /a", false},
	{"markup in the host", "GET /a | Host: shop.test\"><b>", "GET /a", false},
	{"port that is none", "GET /a | Host: shop.test:evil", "GET /a", false},
	{"absolute target", "GET http://evil.test/a", "GET /a", false},
	{"absolute target with credentials", "GET http://evil:word@shop.test/a", "GET /a", false},
	{"other scheme", "GET gopher://shop.test/a", "GET /a", false},

	// Path and query.
	{"encoded slash", "GET /a%2fb", "GET /a/b", false},
	{"encoded letter", "GET /%61", "GET /a", false},
	{"encoded question mark", "GET /a%3fb", "GET /a?b", false},
	{"encoded twice", "GET /a%252fb", "GET /a%2fb", false},
	{"dots", "GET /b/../a", "GET /a", false},
	{"encoded dots", "GET /b/%2e%2e/a", "GET /a", false},
	{"two slashes", "GET //evil.test/a", "GET /a", false},
	{"backslash", `GET /a\b`, "GET /a/b", false},
	{"parameters", "GET /a;evil", "GET /a", false},
	{"NUL", "GET /a%00.css", "GET /a", false},
	{"line end", "GET /a%0d%0aX:1", "GET /a", false},
	{"fragment", "GET /a#evil", "GET /a", false},
	{"semicolon in the query", "GET /a?q=1;evil=1", "GET /a?q=1", false},
	{"value twice", "GET /a?q=1&q=evil", "GET /a?q=1", false},
	{"unparsable parameter", "GET /a?q=1&evil=%zz", "GET /a?q=1", false},
	{"escaped separator", "GET /a?q=1%26b=2", "GET /a?q=1&b=2", false},

	// Connection names fields that are not of this hop.
	{"nominated Cookie", "GET /a | Connection: Cookie | Cookie: theme=evil", "GET /a", false},
	{"nominated Authorization", "GET /a | Connection: Authorization | Authorization: Basic eA==", "GET /a | Authorization: Basic eA==", false},
	{"nominated Cache-Control", "GET /a | Connection: Cache-Control | Cache-Control: no-store", "GET /a", false},
	{"nominated Host", "GET /a | Connection: Host", "GET /a", false},
	{"nominated Accept-Language", "GET /a | Connection: close, Accept-Language | Accept-Language: de", "GET /a | Accept-Language: de", true},
	{"nominated X-Forwarded-For", "GET /a | Connection: X-Forwarded-For", "GET /a", false},

	// Credentials.
	{"Authorization", "GET /a | Authorization: Basic eA==", "GET /a", false},
	{"Authorization against Authorization", "GET /a | Authorization: Basic eA==", "GET /a | Authorization: Basic eQ==", false},
	{"cookie", "GET /a | Cookie: session=evil", "GET /a", false},
	{"cookie against cookie", "GET /a | Cookie: session=evil", "GET /a | Cookie: session=mine", false},
	{"cookie that is answered by one", "GET /set/a | Cookie: session=evil", "GET /set/a", false},
	{"deceptive path", "GET /set/account/x.css | Cookie: session=victim", "GET /set/account/x.css", false},
	{"deceptive suffix", "GET /set/account%2f..%2fx.js | Cookie: session=victim", "GET /set/account%2f..%2fx.js", false},
	{"deceptive delimiter", "GET /set/account;x.css | Cookie: session=victim", "GET /set/account;x.css", false},

	// Fields that the cache answers itself.
	{"range", "GET /a | Range: bytes=0-0", "GET /a", false},
	{"ranges without end", "GET /a | Range: bytes=" + strings.Repeat("0-,", 500) + "0-", "GET /a", false},
	{"If-None-Match", "GET /a | If-None-Match: *", "GET /a", false},
	{"If-Match", `GET /a | If-Match: "x"`, "GET /a", false},

	// Size.
	{"large field", "GET /a | X-Large: " + strings.Repeat("x", 100<<10), "GET /a", true},
	{"many fields", "GET /a" + strings.Repeat(" | X-Many: x", 9000), "GET /a", true},
	{"long path", "GET /" + strings.Repeat("x", 8<<10), "GET /" + strings.Repeat("x", 8<<10-1), false},

	// Another protocol.
	{"h2c upgrade", "GET /a | Connection: Upgrade, HTTP2-Settings | Upgrade: h2c | HTTP2-Settings: AAMAAABkAAQAAP__", "GET /a", true},
	{"unknown upgrade", "GET /a | Connection: Upgrade | Upgrade: evil/1", "GET /a", true},
}

// wire writes a request of the table as it goes over the network. Without a Host it is shop.test.
func wire(text string) string {
	head, body, _ := strings.Cut(text, " | | ")
	line, fields, _ := strings.Cut(head, " | ")
	var b strings.Builder
	b.WriteString(line + " HTTP/1.1\r\n")
	if !strings.Contains(" | "+fields, " | Host: ") {
		b.WriteString("Host: shop.test\r\n")
	}
	if fields != "" {
		b.WriteString(strings.ReplaceAll(fields, " | ", "\r\n") + "\r\n")
	}
	return b.String() + "\r\n" + body
}

// exchange sends raw bytes and returns the first response, with status 0 if none can be read.
func exchange(t *testing.T, addr, raw string) (status int, h http.Header, body string) {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	return exchangeOn(t, c, bufio.NewReader(c), raw)
}

// exchangeOn is exchange on a connection, of which br has what was read.
func exchangeOn(t *testing.T, c net.Conn, br *bufio.Reader, raw string) (status int, h http.Header, body string) {
	t.Helper()
	// What is too large may be refused before all of it was read.
	_, _ = io.WriteString(c, raw)
	method, _, _ := strings.Cut(raw, " ")
	res, err := http.ReadResponse(br, &http.Request{Method: method})
	for err == nil && res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
		res, err = http.ReadResponse(br, &http.Request{Method: method})
	}
	if err != nil {
		return 0, nil, ""
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res.StatusCode, res.Header, string(b)
}

// TestAttackProxy runs the table against a proxy whose origin trusts everything. Nothing looks for reflections: what
// protects is that the origin never sees what is not in the key.
func TestAttackProxy(t *testing.T) {
	if len(attacks) < 60 {
		t.Errorf("the table has %d attacks; want 60 at least", len(attacks))
	}
	o := originServer(t, mirror)
	unwatched := func(cfg *proxy.Config) { cfg.Reflection = proxy.ReflectionOff }
	for _, tt := range attacks {
		t.Run(tt.name, func(t *testing.T) {
			alone := start(t, o.URL, unwatched)
			wantStatus, _, want := exchange(t, alone.addr, wire(tt.victim))
			if wantStatus != http.StatusOK {
				t.Fatalf("the victim alone gets %d; want 200", wantStatus)
			}
			p := start(t, o.URL, unwatched)
			_, attacked, _ := exchange(t, p.addr, wire(tt.attack))
			status, h, got := exchange(t, p.addr, wire(tt.victim))
			if status != http.StatusOK || got != want {
				t.Errorf("after %.200q (Cache-Status %q) the victim gets %d %q (Cache-Status %q); want %q", tt.attack, attacked.Get("Cache-Status"), status, got, h.Get("Cache-Status"), want)
			}
			if h["Set-Cookie"] != nil {
				t.Errorf("after %.200q the victim gets Set-Cookie %q", tt.attack, h["Set-Cookie"])
			}
		})
	}
}

// warm makes a connection on which stored answers are given without net/http.
func warm(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c := dial(t, addr)
	br := bufio.NewReader(c)
	for _, want := range []string{"reprise; ", "reprise; hit", "reprise; hit"} {
		status, h, _ := exchangeOn(t, c, br, wire("GET /warm"))
		if status != http.StatusOK || !strings.HasPrefix(h.Get("Cache-Status"), want) {
			t.Fatalf("GET /warm = %d, Cache-Status %q; want %q", status, h.Get("Cache-Status"), want)
		}
	}
	return c, br
}

// TestAttackOnWarmConnection runs the table on connections on which stored answers are given without net/http: attacker and victim
// get there what they get elsewhere.
func TestAttackOnWarmConnection(t *testing.T) {
	o := originServer(t, mirror)
	unwatched := func(cfg *proxy.Config) { cfg.Reflection = proxy.ReflectionOff }
	for _, tt := range attacks {
		t.Run(tt.name, func(t *testing.T) {
			cold, p := start(t, o.URL, unwatched), start(t, o.URL, unwatched)
			for _, raw := range []string{wire(tt.victim), wire(tt.attack), wire(tt.victim)} {
				wantStatus, want, wantBody := exchange(t, cold.addr, raw)
				c, br := warm(t, p.addr)
				status, h, body := exchangeOn(t, c, br, raw)
				said, _, _ := strings.Cut(h.Get("Cache-Status"), "; ttl=") // which counts down meanwhile
				wantSaid, _, _ := strings.Cut(want.Get("Cache-Status"), "; ttl=")
				if status != wantStatus || body != wantBody || said != wantSaid {
					t.Errorf("%.200q: %d %q, Cache-Status %q; on a connection of its own %d %q, %q",
						raw, status, body, h.Get("Cache-Status"), wantStatus, wantBody, want.Get("Cache-Status"))
				}
				_ = c.Close()
			}
		})
	}
}

// TestAttackMiddleware runs the table against a route with Standard and the proxy's safe default, in a server of net/http.
func TestAttackMiddleware(t *testing.T) {
	serve := func(t *testing.T) string {
		t.Helper()
		cache := reprise.Must(reprise.New(reprise.Config{}))
		srv := httptest.NewServer(cache.WrapFunc(mirror, reprise.Standard(), reprise.IdentifyByCookie()))
		t.Cleanup(func() {
			srv.Close()
			if err := cache.Close(); err != nil {
				t.Errorf("Close = %v; want nil", err)
			}
		})
		return srv.Listener.Addr().String()
	}
	for _, tt := range attacks {
		if tt.onlyProxy {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			_, _, want := exchange(t, serve(t), wire(tt.victim))
			addr := serve(t)
			exchange(t, addr, wire(tt.attack))
			if status, h, got := exchange(t, addr, wire(tt.victim)); status != http.StatusOK || got != want || h["Set-Cookie"] != nil {
				t.Errorf("after %.200q the victim gets %d %q, Set-Cookie %q; want %q", tt.attack, status, got, h["Set-Cookie"], want)
			}
		})
	}
}

// TestSmuggling sends requests that another server could take for two. Each is refused, and the connection with it: the
// origin sees neither.
func TestSmuggling(t *testing.T) {
	const second = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n"
	for _, tt := range []struct{ name, raw string }{
		{"CL.TE", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second},
		{"TE.CL", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + second},
		{"TE.TE", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + second},
		{"TE twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second},
		{"TE unknown", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + second},
		{"TE list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + second},
		{"TE with a vertical tab", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + second},
		{"TE in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second},
		{"TE before a colon with a blank", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + second},
		{"CL twice", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n" + second},
		{"CL twice the same", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n" + second},
		{"CL list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 44\r\n\r\n" + second},
		{"CL with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +0\r\n\r\n" + second},
		{"CL negative", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n" + second},
		{"CL hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2c\r\n\r\n" + second},
		{"CL too large", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551616\r\n\r\n" + second},
		{"CL behind a long blank", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:" + strings.Repeat(" ", 200) + "0\r\n\r\n" + second},
		{"CL before a colon with a blank", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 44\r\n\r\n" + second},
		{"bare LF behind a field", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n" + second},
		{"bare LF behind the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n" + second},
		{"bare LF at the end of the head", "GET / HTTP/1.1\r\nHost: a\r\n\n" + second},
		{"bare CR", "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n" + second},
		{"folded line", "POST / HTTP/1.1\r\nHost: a\r\nX: b\r\n Content-Length: 44\r\n\r\n" + second},
		{"folded first line", "POST / HTTP/1.1\r\n Host: a\r\n\r\n" + second},
		{"no name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n" + second},
		{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n" + second},
		{"NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \x00b\r\n\r\n" + second},
		{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + second},
		{"no host", "GET / HTTP/1.1\r\n\r\n" + second},
		{"no such version", "GET / HTTP/2.0\r\nHost: a\r\n\r\n" + second},
		{"blank in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n" + second},
		{"chunk size with a bare LF", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n" + second},
		{"chunk size negative", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n" + second},
		{"chunk size too large", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1ffffffffffffffff\r\nx\r\n0\r\n\r\n" + second},
		{"chunk longer than it says", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n" + second},
		{"in the second request", "GET /first HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second},
		{"in the request after a body", "POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\r\nxPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second},
		{"in the request after a chunked body", "POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n\r\n\r\n0\r\nT: x\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + second},
	} {
		for _, how := range []struct {
			name   string
			pieces int
			warm   bool
		}{{"at once", len(tt.raw), false}, {"byte by byte", 1, false}, {"at once, warm", len(tt.raw), true}, {"byte by byte, warm", 1, true}} {
			t.Run(tt.name+"/"+how.name, func(t *testing.T) {
				var mu sync.Mutex
				var seen []string
				o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/warm" {
						w.Header().Set("Cache-Control", "max-age=60")
						return
					}
					mu.Lock()
					defer mu.Unlock()
					seen = append(seen, r.Method+" "+r.RequestURI)
				})
				p := start(t, o.URL, nil)
				var c net.Conn
				var br *bufio.Reader
				if how.warm {
					c, br = warm(t, p.addr)
				} else {
					c = dial(t, p.addr)
					br = bufio.NewReader(c)
				}
				for rest := []byte(tt.raw); len(rest) > 0; rest = rest[how.pieces:] {
					if _, err := c.Write(rest[:how.pieces]); err != nil {
						break // refused already
					}
				}
				all, err := io.ReadAll(br) // ends: the connection is closed
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatalf("the connection stays open after %q", all)
				}
				answers := bytes.Count(all, []byte("HTTP/1.1 "))
				oks := bytes.Count(all, []byte("HTTP/1.1 200"))
				if first := strings.HasPrefix(tt.name, "in the "); oks > answers-1 || first && oks != 1 || !first && oks > 0 {
					t.Errorf("%q is answered by %q; want a refusal at its end", tt.raw, all)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, line := range seen {
					if strings.Contains(line, "smuggled") {
						t.Errorf("the origin saw %q", seen)
					}
				}
				if want := strings.HasPrefix(tt.name, "chunk ") || strings.HasPrefix(tt.name, "in the "); len(seen) > 0 && !want {
					t.Errorf("the origin saw %q; want nothing", seen)
				}
			})
		}
	}
}
