package meta

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// batch is how many commands are sent before their replies are read. A server that cannot send stops reading: a client
// that only writes would then wait for it for ever. So many commands without value fit into any socket's buffers.
const batch = 64

// patience is how long a reply may take before its exchange is ended by the end of its context, too, and not by its deadline
// alone. To watch a context costs a tenth of a get, and nearly all replies are there long before.
const patience = 20 * time.Millisecond

// ErrClosed is what Do returns after Close.
var ErrClosed = errors.New("closed")

// Config tells how a server is reached.
type Config struct {
	Addr     string        // host:port, or a path with a slash: a Unix socket
	Timeout  time.Duration // of one Do
	MaxIdle  int           // connections kept
	MaxValue uint64        // bytes of a value that is accepted
	Dial     func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Server is a pool of connections to one server. It starts no goroutine and is safe for concurrent use.
type Server struct {
	cfg     Config
	network string

	mu     sync.Mutex
	idle   []*conn // the one that was used last is used first
	closed bool
}

type conn struct {
	net.Conn
	r   *bufio.Reader
	w   *bufio.Writer
	tag uint64

	interrupt func() // ends the exchange that is under way

	// Of the exchange that is under way.
	ctx      context.Context
	deadline time.Time
	patient  time.Time   // until then ctx need not be watched
	unwatch  func() bool // nil: ctx is not watched
}

// NewServer returns a pool without connections.
func NewServer(cfg Config) *Server {
	s := &Server{cfg: cfg, network: "tcp"}
	if strings.Contains(cfg.Addr, "/") {
		s.network = "unix"
	}
	if s.cfg.Dial == nil {
		s.cfg.Dial = new(net.Dialer).DialContext
	}
	return s
}

// Addr returns the address of the server.
func (s *Server) Addr() string { return s.cfg.Addr }

// Do sends commands in their order on one connection and sets the reply of each; replies is as long as cmds. The
// server executes them in that order, others in between. After an error any of them may have been executed, and
// some twice: a kept connection that turns out to be dead is replaced once, since the server may have been restarted.
//
// Do returns by the deadline of ctx, and within patience when ctx is cancelled; the error then matches that of ctx.
func (s *Server) Do(ctx context.Context, cmds []Command, replies []Reply) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	deadline := now.Add(s.cfg.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	c, err := s.kept()
	if err != nil {
		return err
	}
	if c != nil {
		err := s.exchange(ctx, c, now, deadline, cmds, replies)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || answered(err) {
			return s.explain(ctx, err)
		}
		s.drop()
	}
	if c, err = s.dial(ctx, deadline); err == nil {
		err = s.exchange(ctx, c, time.Now(), deadline, cmds, replies)
	}
	return s.explain(ctx, err)
}

// answered reports whether err came of a connection that was alive.
func answered(err error) bool {
	var refused *Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrTooLarge) || errors.As(err, &refused)
}

// explain makes an error that was caused by the end of ctx match it.
func (s *Server) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		err = ctxErr
	} else if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) {
		err = context.DeadlineExceeded // the connection's timer was faster than the context's
	}
	return fmt.Errorf("%s: %w", s.cfg.Addr, err)
}

func (s *Server) exchange(ctx context.Context, c *conn, now, deadline time.Time, cmds []Command, replies []Reply) error {
	c.ctx, c.deadline, c.patient, c.unwatch = ctx, deadline, now.Add(patience), nil
	err := c.SetDeadline(deadline)
	if err == nil {
		if slices.ContainsFunc(cmds, func(c Command) bool { return c.Op == Set }) {
			c.watch() // the server may take its time to read it
		}
		err = c.exchange(cmds, replies, s.cfg.MaxValue)
	}
	c.ctx = nil
	// A connection whose deadline may still be moved by the end of ctx is not for the next.
	if c.unwatch != nil && !c.unwatch() || err != nil || c.r.Buffered() > 0 {
		_ = c.Close()
		return err
	}
	s.keep(c)
	return nil
}

// watch makes the end of ctx end the exchange.
func (c *conn) watch() { c.unwatch = context.AfterFunc(c.ctx, c.interrupt) }

// Read implements io.Reader for c.r. When patience ends it begins to watch the context and goes on.
func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	var timed net.Error
	if n > 0 || err == nil || c.unwatch != nil || !errors.As(err, &timed) || !timed.Timeout() {
		return n, err
	}
	if err := c.SetReadDeadline(c.deadline); err != nil {
		return 0, err
	}
	c.watch()
	return c.Conn.Read(b)
}

func (c *conn) exchange(cmds []Command, replies []Reply, maxValue uint64) error {
	for len(cmds) > 0 {
		n := min(batch, len(cmds))
		first := c.tag
		for i := range cmds[:n] {
			if err := cmds[i].write(c.w, c.tag); err != nil {
				return err
			}
			c.tag++
		}
		if err := c.w.Flush(); err != nil {
			return err
		}
		if c.unwatch == nil && c.patient.Before(c.deadline) {
			if err := c.SetReadDeadline(c.patient); err != nil {
				return err
			}
		}
		for i := range cmds[:n] {
			var err error
			if replies[i], err = cmds[i].read(c.r, first+uint64(i), maxValue); err != nil {
				return err
			}
		}
		cmds, replies = cmds[n:], replies[n:]
	}
	return nil
}

// kept takes a connection from the pool; nil if there is none.
func (s *Server) kept() (*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	last := len(s.idle) - 1
	if last < 0 {
		return nil, nil
	}
	c := s.idle[last]
	s.idle[last] = nil
	s.idle = s.idle[:last]
	return c, nil
}

func (s *Server) keep(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle) >= s.cfg.MaxIdle {
		_ = c.Close()
		return
	}
	s.idle = append(s.idle, c)
}

// drop closes the kept connections: where one is dead the others are as well.
func (s *Server) drop() {
	s.mu.Lock()
	idle := s.idle
	s.idle = nil
	s.mu.Unlock()
	for _, c := range idle {
		_ = c.Close()
	}
}

func (s *Server) dial(ctx context.Context, deadline time.Time) (*conn, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	nc, err := s.cfg.Dial(ctx, s.network, s.cfg.Addr)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: nc, w: bufio.NewWriterSize(nc, 8<<10), tag: 1, interrupt: func() { _ = nc.SetDeadline(time.Unix(1, 0)) }}
	c.r = bufio.NewReaderSize(c, 8<<10)
	return c, nil
}

// Close closes the kept connections. One in use is closed when it is given back.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.drop()
}
