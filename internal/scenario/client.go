package scenario

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// connection is a client's end of an open connection.
type connection struct {
	net.Conn
	r *bufio.Reader
}

// exchange is a request on its way and what has arrived of its response.
type exchange struct {
	conn  *connection
	begin time.Time
	done  chan struct{} // closed at the end of the response

	mu       sync.Mutex
	early    []int
	response *http.Response // without its body
	body     bytes.Buffer   // what has arrived and nobody has looked at
	err      error          // why the response ended early
	end      time.Time
}

// begin sends request on conn, and reads the response as it comes. release is called when it has ended and the
// connection can be used again.
func begin(conn *connection, method string, request []byte, release func(*connection)) *exchange {
	x := &exchange{conn: conn, begin: time.Now(), done: make(chan struct{})}
	// A server may answer before it has read everything: writing and reading wait for each other on their own.
	go func() { _, _ = conn.Write(request) }()
	go func() {
		defer close(x.done)
		again, err := x.read(method)
		x.mu.Lock()
		x.err, x.end = err, time.Now()
		x.mu.Unlock()
		if err != nil || !again {
			_ = conn.Close()
			return
		}
		release(conn)
	}()
	return x
}

func (x *exchange) read(method string) (again bool, err error) {
	var r *http.Response
	for {
		r, err = http.ReadResponse(x.conn.r, &http.Request{Method: method})
		if err != nil {
			return false, err
		}
		if r.StatusCode >= 200 || r.StatusCode == http.StatusSwitchingProtocols {
			break
		}
		x.mu.Lock()
		x.early = append(x.early, r.StatusCode)
		x.mu.Unlock()
	}
	defer r.Body.Close()
	x.mu.Lock()
	x.response = r
	x.mu.Unlock()
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		x.mu.Lock()
		x.body.Write(buf[:n])
		x.mu.Unlock()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, err
		}
	}
	if n := x.conn.r.Buffered(); n > 0 && !r.Close {
		return false, fmt.Errorf("%d bytes after the end of the response", n)
	}
	return !r.Close, nil
}

func (x *exchange) ended() bool {
	select {
	case <-x.done:
		return true
	default:
		return false
	}
}

// wireRequest is the request as it goes over the connection.
func (s *send) wireRequest(text func(string) (string, error)) ([]byte, error) {
	target, err := text(s.target)
	if err != nil {
		return nil, err
	}
	body, err := text(s.body)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", s.method, target)
	host, length := true, len(body) > 0
	for _, f := range s.fields {
		value, err := text(f.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, value)
		host = host && f.name != "Host"
		length = length && f.name != "Content-Length" && f.name != "Transfer-Encoding"
	}
	if host {
		b.WriteString("Host: " + defaultHost + "\r\n")
	}
	if length {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n" + body)
	return b.Bytes(), nil
}

// defaultHost is the host of a request that names none.
const defaultHost = "shop.test"

// pipeListener hands connections that are made in memory to a server.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) dial() (*connection, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return &connection{client, bufio.NewReader(client)}, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Accept implements net.Listener.
func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

// Addr implements net.Listener.
func (l *pipeListener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
