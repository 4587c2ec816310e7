package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// Each event reaches the client before the origin sends the next one.
func TestServerSentEvents(t *testing.T) {
	next := make(chan struct{})
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "max-age=60")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	p := start(t, o.URL, nil)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.front+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	br := bufio.NewReader(res.Body)
	for i := range 3 {
		line, err := br.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("event %d = %q, %v; want %q", i, line, err, want)
		}
		_, _ = br.ReadString('\n')
		next <- struct{}{}
	}
	if _, err := br.ReadByte(); err != io.EOF {
		t.Errorf("after the last event: %v; want EOF", err)
	}
	if s := status(t, res); strings.Contains(s, "stored") {
		t.Errorf("Cache-Status = %q; want an event stream not to be stored", s)
	}
}

// upgrading is an origin that echoes lines after a switch of protocols.
func upgrading(w http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "websocket")
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			return
		}
		if _, err := fmt.Fprintf(conn, "echo %s", line); err != nil {
			return
		}
	}
}

// dial opens a connection that is closed with the test and does not block for ever.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

const upgrade = "GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

func TestWebSocket(t *testing.T) {
	o := originServer(t, upgrading)
	log := new(lockedBuffer)
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.AccessLog = log.logger() })
	c := dial(t, p.addr)
	_, _ = io.WriteString(c, upgrade)
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("the upgrade = %+v, %v; want 101", res, err)
	}
	defer res.Body.Close()
	// What looks like a request to refuse is none any more.
	for _, line := range []string{"hello\n", "POST / HTTP/1.1\r\n", "Content-Length: 1\r\n", "Content-Length: 1\r\n", "\n", "bye\n"} {
		_, _ = io.WriteString(c, line)
		if got, err := br.ReadString('\n'); err != nil || got != "echo "+line {
			t.Fatalf("answer to %q = %q, %v; want its echo", line, got, err)
		}
	}
	_ = c.Close()
	until(t, "a line in the log", func() bool { return strings.Contains(log.String(), "status=101") })
}

func TestTrailers(t *testing.T) {
	var n atomic.Int32
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		if !strings.Contains(r.Header.Get("Te"), "trailers") {
			t.Errorf("Te = %q; want trailers", r.Header.Get("Te"))
		}
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Trailer", "Checksum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("Checksum", "abc")
	})
	p := start(t, o.URL, nil)
	for range 2 {
		res, body := get(t, p.front+"/", "Te: trailers")
		if body != "body" || res.Trailer.Get("Checksum") != "abc" {
			t.Errorf("GET = %q with trailers %v; want the body and Checksum", body, res.Trailer)
		}
	}
	if n.Load() != 2 {
		t.Errorf("the origin was asked %d times; want 2: trailers are not stored", n.Load())
	}
}

func TestEarlyHints(t *testing.T) {
	o := originServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "body")
	})
	p := start(t, o.URL, nil)
	for i, want := range []int{1, 0} { // a hit has none
		var hints int
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			if code == http.StatusEarlyHints && h.Get("Link") != "" {
				hints++
			}
			return nil
		}}
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, p.front+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if hints != want {
			t.Errorf("request %d has %d early hints; want %d", i, hints, want)
		}
	}
}

// What is larger than what is stored goes through in both directions.
func TestLargeBodies(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MiB
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.Method == http.MethodPost {
			_, _ = io.Copy(w, r.Body)
			return
		}
		_, _ = w.Write(large)
	})
	p := start(t, o.URL, nil)
	for range 2 {
		if _, body := get(t, p.front+"/"); body != string(large) {
			t.Errorf("GET has %d bytes; want %d", len(body), len(large))
		}
	}
	if _, body := send(t, http.MethodPost, p.front+"/", string(large[:4<<20])); body != string(large[:4<<20]) {
		t.Errorf("POST has %d bytes back; want what was sent", len(body))
	}
}

// An origin that answers while it reads gets what the client sends to the last byte.
func TestAnswerBeforeTheEndOfTheRequest(t *testing.T) {
	const size = 300 << 10 // at first more than net/http would take away, and then less
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		rc := http.NewResponseController(w)
		_ = rc.EnableFullDuplex()
		_, _ = io.CopyN(w, r.Body, size/2)
		_ = rc.Flush()
		n, err := io.Copy(w, r.Body)
		if n != size/2 || err != nil {
			t.Errorf("the origin got %d of the last %d bytes: %v", n, size/2, err)
		}
	})
	p := start(t, o.URL, nil)
	body, send := io.Pipe()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.front+"/", body)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = size
	half := bytes.Repeat([]byte("x"), size/2)
	go func() { _, _ = send.Write(half) }()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	go func() {
		_, _ = send.Write(half)
		_ = send.Close()
	}()
	if got, err := io.ReadAll(res.Body); len(got) != size || err != nil {
		t.Errorf("%d bytes came back, %v; want %d", len(got), err, size)
	}
}

// certificate writes a certificate for 127.0.0.1, and returns its files and a client that trusts it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

// The same page by every version of HTTP that is spoken, with and without TLS.
func TestProtocols(t *testing.T) {
	cert, key, pool := certificate(t)
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprintf(w, "%s over %s", r.URL.Path, r.Header.Get("X-Forwarded-Proto"))
	})
	for _, tt := range []struct {
		name        string
		tls, http2  bool
		major       int
		wantForward string
	}{
		{"HTTP/1.1", false, false, 1, "http"},
		{"h2c", false, true, 2, "http"},
		{"HTTP/1.1 in TLS", true, false, 1, "https"},
		{"HTTP/2", true, true, 2, "https"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, o.URL, func(cfg *proxy.Config) {
				if cfg.H2C = !tt.tls; tt.tls {
					cfg.TLSCert, cfg.TLSKey = cert, key
				}
			})
			protocols := new(http.Protocols)
			protocols.SetHTTP1(!tt.http2)
			protocols.SetHTTP2(tt.http2 && tt.tls)
			protocols.SetUnencryptedHTTP2(tt.http2 && !tt.tls)
			transport := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
			defer transport.CloseIdleConnections()
			base := "http://"
			if tt.tls {
				base = "https://"
			}
			for _, want := range []string{"fwd=uri-miss; stored", "hit"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+p.addr+"/a", nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(body) != "/a over "+tt.wantForward || res.ProtoMajor != tt.major || !strings.HasPrefix(status(t, res), want) {
					t.Errorf("GET = %q, %v by HTTP/%d (%s); want /a over %s by HTTP/%d (%s)", body, err, res.ProtoMajor, status(t, res), tt.wantForward, tt.major, want)
				}
			}
		})
	}
}

// What is in TLS is looked at as what is not.
func TestSmugglingInTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	o := originServer(t, func(http.ResponseWriter, *http.Request) { t.Error("the origin was asked") })
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.TLSCert, cfg.TLSKey = cert, key })
	c := tls.Client(dial(t, p.addr), &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusBadRequest {
		t.Fatalf("CL.TE in TLS = %+v, %v; want 400", res, err)
	}
	res.Body.Close()
}

// A client that does not come to an end with its handshake keeps nobody else waiting.
func TestSlowHandshake(t *testing.T) {
	cert, key, pool := certificate(t)
	o := originServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "body") })
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.TLSCert, cfg.TLSKey = cert, key })
	dial(t, p.addr) // says nothing
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}
