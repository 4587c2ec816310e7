package realserver_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
)

// echoServer answers each write with the same bytes.
func echoServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, p *realserver.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// echo sends text and reads as many bytes back, or what comes until the error or the deadline.
func echo(t *testing.T, c net.Conn, text string, patience time.Duration) (string, error) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		return "", err
	}
	buf := make([]byte, len(text))
	n, err := io.ReadFull(c, buf)
	return string(buf[:n]), err
}

const patience = 10 * time.Second

func wantEcho(t *testing.T, c net.Conn) {
	t.Helper()
	if got, err := echo(t, c, "hello", patience); got != "hello" || err != nil {
		t.Fatalf("echo = %q, %v; want hello", got, err)
	}
}

func TestProxyPasses(t *testing.T) {
	c := dial(t, realserver.NewProxy(t, echoServer(t)))
	wantEcho(t, c)
	big := string(bytes.Repeat([]byte("0123456789abcdef"), 1<<14))
	if got, err := echo(t, c, big, patience); got != big || err != nil {
		t.Errorf("echo of %d bytes = %d bytes, %v", len(big), len(got), err)
	}
}

func TestProxyLatency(t *testing.T) {
	p := realserver.NewProxy(t, echoServer(t))
	c := dial(t, p)
	p.Latency(80 * time.Millisecond)
	start := time.Now()
	wantEcho(t, c)
	if took := time.Since(start); took < 80*time.Millisecond {
		t.Errorf("a reply took %v; want at least 80ms", took)
	}
	p.Heal()
	wantEcho(t, c)
}

func TestProxyHang(t *testing.T) {
	p := realserver.NewProxy(t, echoServer(t))
	open := dial(t, p)
	wantEcho(t, open)
	p.Hang()
	fresh := dial(t, p)
	for _, c := range []net.Conn{open, fresh} {
		if got, err := echo(t, c, "hello", 50*time.Millisecond); got != "" || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("echo = %q, %v; want a timeout", got, err)
		}
	}
	p.Heal()
	for _, c := range []net.Conn{open, fresh} { // what was held back comes first
		if got, err := echo(t, c, "hello", patience); got != "hello" || err != nil {
			t.Errorf("after Heal echo = %q, %v", got, err)
		}
	}
}

func TestProxyCut(t *testing.T) {
	p := realserver.NewProxy(t, echoServer(t))
	open := dial(t, p)
	wantEcho(t, open)
	p.Cut(3)
	for _, c := range []net.Conn{open, dial(t, p)} {
		if got, err := echo(t, c, "hello", patience); got != "hel" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("echo = %q, %v; want hel and an early end", got, err)
		}
	}
	p.Heal()
	wantEcho(t, dial(t, p))
}

func TestProxyReset(t *testing.T) {
	p := realserver.NewProxy(t, echoServer(t))
	p.Reset()
	got, err := echo(t, dial(t, p), "hello", patience)
	if len(got) > 2 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("echo = %q, %v; want at most half and a reset", got, err)
	}
	p.Heal()
	wantEcho(t, dial(t, p))
}

func TestProxyRefuse(t *testing.T) {
	p := realserver.NewProxy(t, echoServer(t))
	open := dial(t, p)
	wantEcho(t, open)
	p.Refuse()
	if got, err := echo(t, open, "hello", patience); err == nil {
		t.Errorf("an open connection answered %q; want it closed", got)
	}
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v; want refused", err)
	}
	p.Heal()
	wantEcho(t, dial(t, p))
}
