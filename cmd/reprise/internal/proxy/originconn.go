package proxy

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/reprise-go/reprise/internal/header"
)

// The names under which fields are hidden from net/http. Each is as long as the one that it stands for, since it is put in its
// place in the bytes that are read.
const (
	hiddenPragma = "X~prgm"            // Pragma
	hiddenCoding = "X~reprise~coding~" // Transfer-Encoding
)

// originConn is a connection to the origin that changes two fields of heads on their way to net/http, and takes note of a third, which
// would make something else of them:
//
//   - Pragma: no-cache, which means nothing in a response (RFC 9111 §5.4), would become Cache-Control: no-cache.
//   - A transfer coding that is not chunked would be an error. The message ends with the connection then (RFC 9112
//     §6.3), and the coding cannot be undone: what it wraps is passed on as it is.
//   - Connection: close would take the names of the fields with it that are of this hop (RFC 9110 §7.6.1).
//
// http.Transport takes a connection for one request at a time, so what is read first from then on is a head.
type originConn struct {
	net.Conn

	mu      sync.Mutex // expectHead and Read are called by different goroutines of the transport
	inHead  bool
	started bool     // the status line has been read
	interim bool     // it is that of a 1xx, which is followed by another head
	hop     []string // the fields that Connection names
	partial []byte   // the beginning of a line
	ready   []byte   // whole lines, and what follows the head
	err     error    // what Read returned with them
}

// maxHead bounds what is held back for the end of a line: net/http refuses such a head too.
const maxHead = originHeadBytes

// expectHead says that the next bytes are the head of a response.
func (c *originConn) expectHead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inHead, c.started, c.interim, c.hop = true, false, false, nil
}

// nominated returns the fields that Connection named in the head that was read last.
func (c *originConn) nominated() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hop
}

func (c *originConn) Read(p []byte) (int, error) {
	for {
		if n, err, ok := c.deliver(p); ok {
			return n, err
		}
		n, err := c.Conn.Read(p) // without the lock: an idle connection is being read as well
		c.mu.Lock()
		if !c.inHead || len(p) == 0 {
			c.mu.Unlock()
			return n, err
		}
		c.hold(p[:n])
		if c.err = err; err != nil {
			c.ready, c.partial = append(c.ready, c.partial...), nil
		}
		c.mu.Unlock()
	}
}

// deliver returns what was held back, and then the error that came with it.
func (c *originConn) deliver(p []byte) (n int, err error, ok bool) { //nolint:revive // the error is a value here
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.ready) > 0 {
		n = copy(p, c.ready)
		if c.ready = c.ready[n:]; len(c.ready) == 0 {
			c.ready = nil
		}
		return n, nil, true
	}
	return 0, c.err, c.err != nil
}

// hold takes bytes of a head, and makes ready those of whole lines. c.mu is held.
func (c *originConn) hold(p []byte) {
	data := append(c.partial, p...)
	c.partial = nil
	done := 0
	for c.inHead {
		end := bytes.IndexByte(data[done:], '\n')
		if end < 0 {
			break
		}
		c.look(data[done : done+end])
		done += end + 1
	}
	if !c.inHead || len(data)-done > maxHead {
		done = len(data)
	}
	c.ready = append(c.ready, data[:done]...)
	if done < len(data) {
		c.partial = data[done:]
	}
}

// look reads one line of a head, without its LF, and hides in it what is to be hidden.
func (c *originConn) look(line []byte) {
	text := bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case !c.started:
		_, status, _ := bytes.Cut(text, []byte(" "))
		c.started, c.interim = true, len(status) > 0 && status[0] == '1' && !bytes.HasPrefix(status, []byte("101"))
		return
	case len(text) == 0:
		if c.inHead, c.started = c.interim, false; c.interim {
			c.hop = nil
		}
		return
	}
	name, value, _ := bytes.Cut(text, []byte(":"))
	switch {
	case bytes.EqualFold(name, []byte("Pragma")):
		copy(name, hiddenPragma)
	case bytes.EqualFold(name, []byte("Transfer-Encoding")) && !chunked(string(value)):
		copy(name, hiddenCoding)
	case bytes.EqualFold(name, []byte("Connection")) && len(c.hop) < maxHop:
		c.hop = slices.AppendSeq(c.hop, header.List([]string{string(value)}))
	}
}

// maxHop bounds how many lines of Connection are looked at.
const maxHop = 64

// chunked reports whether the last coding is chunked, which net/http reads or refuses itself.
func chunked(value string) bool {
	last := ""
	for coding := range header.List([]string{value}) {
		last = coding
	}
	return strings.EqualFold(last, "chunked")
}

// errFraming says that nobody can tell where a response ends: an unknown coding has no length (RFC 9112 §6.3), and this one
// has both.
var errFraming = errors.New("proxy: the response has a transfer coding and a length")

// unhide gives the fields back their names.
func unhide(h http.Header) error {
	if h[hiddenCoding] != nil && h["Content-Length"] != nil {
		return errFraming
	}
	delete(h, hiddenCoding) // of this hop
	if v, ok := h[hiddenPragma]; ok {
		delete(h, hiddenPragma)
		h["Pragma"] = v
	}
	return nil
}
