package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// poison is put in place of a request from where it is to be refused: wherever in a head that is, net/http answers it with 400
// and closes.
const poison = "\x00\r\n:\r\n\r\n"

// strictConn is an HTTP/1 connection of a client on which requests that could be taken for two are refused.
type strictConn struct {
	net.Conn

	mu      sync.Mutex // a hijacked connection is released by another goroutine than the one that reads
	scanner scanner
	poison  string // what is left of it
	dead    bool   // nothing else is read
}

func (c *strictConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if c.dead {
		defer c.mu.Unlock()
		return c.end(p)
	}
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	bad := c.scanner.feed(p[:n])
	if bad < 0 {
		return n, err
	}
	c.dead, c.poison = true, poison
	if bad > 0 {
		return bad, nil
	}
	return c.end(p)
}

// end returns the rest of the poison, and then the end. c.mu is held.
func (c *strictConn) end(p []byte) (int, error) {
	if c.poison == "" {
		return 0, io.EOF
	}
	n := copy(p, c.poison)
	c.poison = c.poison[n:]
	return n, nil
}

// ReadFrom leaves the copying of files to the kernel where that can be done.
func (c *strictConn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(c.Conn, r) }

// CloseWrite lets net/http end a connection so that the client gets what was written last.
func (c *strictConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// connState releases connections that have become something else than HTTP.
func connState(c net.Conn, state http.ConnState) {
	if s, ok := c.(*strictConn); ok && state == http.StateHijacked {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.scanner.state = scanNothing
	}
}

// tlsKey is under what the state of a connection is found whose TLS net/http does not see.
type tlsKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	if s, ok := c.(*strictConn); ok {
		if t, ok := s.Conn.(*tls.Conn); ok {
			state := t.ConnectionState()
			return context.WithValue(ctx, tlsKey{}, &state)
		}
	}
	return ctx
}

// strictListener hands out connections that refuse.
type strictListener struct {
	net.Listener
	h2c bool
}

func (l *strictListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &strictConn{Conn: c, scanner: scanner{h2c: l.h2c}}, nil
}

// tlsListener ends TLS before net/http gets a connection, so that HTTP/1 within it can be looked at. HTTP/2, whose frames
// have one reading, is left to net/http.
type tlsListener struct {
	net.Listener
	config  *tls.Config
	timeout time.Duration
	conns   chan net.Conn
	failed  chan error
	closed  chan struct{}
	once    sync.Once
}

func newTLSListener(l net.Listener, certFile, keyFile string, timeout time.Duration) (*tlsListener, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	t := &tlsListener{
		Listener: l,
		config:   &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}},
		timeout:  timeout,
		conns:    make(chan net.Conn),
		failed:   make(chan error),
		closed:   make(chan struct{}),
	}
	go t.accept() // ends with Close
	return t, nil
}

func (l *tlsListener) accept() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			select {
			case l.failed <- err:
			case <-l.closed:
				return
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		go l.handshake(c) // ends after timeout at the latest, but for a server that does not accept
	}
}

func (l *tlsListener) handshake(c net.Conn) {
	conn := tls.Server(c, l.config)
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
	defer cancel()
	if conn.HandshakeContext(ctx) != nil {
		_ = c.Close() // scanners and lost clients: nothing to tell anybody
		return
	}
	var ready net.Conn = conn
	if conn.ConnectionState().NegotiatedProtocol != "h2" {
		ready = &strictConn{Conn: conn}
	}
	select {
	case l.conns <- ready:
	case <-l.closed:
		_ = c.Close()
	}
}

func (l *tlsListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *tlsListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
