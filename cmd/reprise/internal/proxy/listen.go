package proxy

import (
	"bytes"
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

// strictConn is an HTTP/1 connection of a client on which requests that could be taken for two are refused, and, where it has a
// front, those that have a stored answer answered before net/http reads them.
type strictConn struct {
	net.Conn
	tls    *tls.ConnectionState // nil without TLS
	remote string
	idle   time.Duration // how long it may wait for a request, and for a client that does not read; 0 is for good
	front  *front

	mu      sync.Mutex // a hijacked connection is released, and an idle one closed, by another goroutine than the one that reads
	scanner scanner
	poison  string // what is left of it
	dead    bool   // nothing else is read

	at        place
	answering bool      // by the front; who closes the connection meanwhile leaves that to it
	closing   bool      // somebody has
	deadline  time.Time // of the wait for the next request, where the front has set it
	hijacked  bool      // by what need not hurry
	readBy    time.Time // when the client has to have read what is being written
}

// place says where net/http is on the connection.
type place uint8

const (
	atStart  place = iota // of its first request
	within                // a request without a body, of which net/http has got all and nothing more
	between               // such requests: it has answered the last and reads the next
	anywhere              // for good
)

func (c *strictConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	if c.dead {
		defer c.mu.Unlock()
		return c.end(p)
	}
	at := c.at
	c.mu.Unlock()

	var n int
	var err error
	alone := false
	switch {
	case c.front == nil || at == within || at == anywhere:
		n, err = c.Conn.Read(p)
	case at == atStart:
		n, err = c.Conn.Read(p)
		alone = c.front.alone(p[:n])
	default:
		n, alone, err = c.answer(p)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		if c.at = anywhere; alone {
			c.at = within
		}
	}
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

// answer reads requests into p and answers those that have a stored answer. It returns with the first that has none, and says whether
// it is alone: the whole head of a request without a body, and nothing else.
func (c *strictConn) answer(p []byte) (n int, alone bool, err error) {
	for {
		n, err = c.Conn.Read(p)
		for n > 0 {
			end := bytes.Index(p[:n], []byte(headEnd)) + len(headEnd)
			if end < len(headEnd) {
				return n, false, err // net/http sets a deadline for the rest of a head
			}
			alone, answered, tryErr := c.try(p[:end])
			if tryErr != nil {
				return 0, false, tryErr
			}
			if !answered {
				return n, alone && end == n, err
			}
			n = copy(p, p[end:n])
		}
		if err != nil {
			return 0, false, err
		}
		c.rest()
	}
}

// slack is how much later than it should a deadline is moved: to do so for each request costs more than it is worth.
const slack = time.Second

// rest begins the wait for the next request.
func (c *strictConn) rest() {
	if c.idle <= 0 {
		return
	}
	if next := time.Now().Add(c.idle); next.Sub(c.deadline) > min(slack, c.idle/2) {
		c.deadline = next
		_ = c.Conn.SetReadDeadline(next)
	}
}

// try answers the request with that head, if its answer is stored. alone says that the next request begins right behind it. The
// connection stays open meanwhile.
func (c *strictConn) try(head []byte) (alone, answered bool, err error) {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		return false, false, net.ErrClosed
	}
	c.answering = true
	c.front.answering.Add(1)
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.answering = false
		c.front.answering.Add(-1)
		if c.closing {
			err = errors.Join(err, c.Conn.Close(), net.ErrClosed)
		}
	}()
	return c.front.try(c, head)
}

// Close closes the connection. To net/http it is idle while the front answers on it, and so the answer ends first, if it
// ends in time.
func (c *strictConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answering && !c.closing {
		c.closing = true
		return c.Conn.SetWriteDeadline(time.Now().Add(c.front.drain))
	}
	c.closing = true
	return c.Conn.Close()
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

// Write writes p, in pieces for each of which the client has the same time: who reads slowly gets all of it, and who has stopped reading holds
// nothing up.
func (c *strictConn) Write(p []byte) (n int, err error) {
	for {
		c.hurry()
		m, err := c.Conn.Write(p[n:min(len(p), n+maxPiece)])
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// maxPiece is how much is written under one deadline.
const maxPiece = 64 << 10

// hurry gives the client its time for the next piece.
func (c *strictConn) hurry() {
	next := time.Now().Add(c.idle)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle <= 0 || c.hijacked || c.closing || next.Sub(c.readBy) <= min(slack, c.idle/2) {
		return
	}
	c.readBy = next
	_ = c.Conn.SetWriteDeadline(next)
}

// ReadFrom leaves the copying to the kernel where that can be done, and where nobody has to hurry.
func (c *strictConn) ReadFrom(r io.Reader) (int64, error) {
	c.mu.Lock()
	hijacked := c.hijacked
	c.mu.Unlock()
	if hijacked {
		return io.Copy(c.Conn, r)
	}
	return io.Copy(struct{ io.Writer }{c}, r)
}

// CloseWrite lets net/http end a connection so that the client gets what was written last.
func (c *strictConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// connState follows what net/http does on a connection, and releases those that have become something else than HTTP.
func connState(c net.Conn, state http.ConnState) {
	s, ok := c.(*strictConn)
	if !ok || state != http.StateHijacked && state != http.StateIdle {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case state == http.StateHijacked:
		s.scanner.state, s.at, s.hijacked = scanNothing, anywhere, true
	case s.at == within:
		s.at, s.deadline = between, time.Time{}
	}
}

// tlsKey is under what the state of a connection is found whose TLS net/http does not see.
type tlsKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	if s, ok := c.(*strictConn); ok && s.tls != nil {
		return context.WithValue(ctx, tlsKey{}, s.tls)
	}
	return ctx
}

// strictListener hands out connections that refuse.
type strictListener struct {
	net.Listener
	h2c   bool
	idle  time.Duration
	front *front
}

func (l *strictListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &strictConn{Conn: c, remote: c.RemoteAddr().String(), idle: l.idle, front: l.front, scanner: scanner{h2c: l.h2c}}, nil
}

// tlsListener ends TLS before net/http gets a connection, so that HTTP/1 within it can be looked at. HTTP/2, whose frames
// have one reading, is left to net/http.
type tlsListener struct {
	net.Listener
	config  *tls.Config
	timeout time.Duration
	idle    time.Duration
	front   *front
	conns   chan net.Conn
	failed  chan error
	closed  chan struct{}
	once    sync.Once
}

func newTLSListener(l net.Listener, certFile, keyFile string, timeout, idle time.Duration, f *front) (*tlsListener, error) {
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	t := &tlsListener{
		Listener: l,
		config:   &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}},
		timeout:  timeout,
		idle:     idle,
		front:    f,
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
	if state := conn.ConnectionState(); state.NegotiatedProtocol != "h2" {
		ready = &strictConn{Conn: conn, tls: &state, remote: c.RemoteAddr().String(), idle: l.idle, front: l.front}
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
