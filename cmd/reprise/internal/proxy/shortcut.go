package proxy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/internal/header"
)

// The shortcut answers hits before net/http reads the request, which takes more time to read a request and to write a head than
// the cache does for the rest (ADR 20). Here is how a request is read, and how an answer is written; strictConn knows when.

// headEnd is what the head of a request ends in.
const headEnd = "\r\n\r\n"

// maxLines is how many fields a request may have that is answered without net/http.
const maxLines = 48

// maxCopied is how much of a body is copied behind its head, to be written with it; more is cheaper to write from where it is.
const maxCopied = 8 << 10

// shortcut is a request without a body whose head has one reading, and the stored answer to it. What is not certain is never
// read here; what is read here and has no stored answer is read again, by net/http. Nothing that was read here reaches the
// origin.
type shortcut struct {
	request http.Request
	url     *url.URL
	fields  http.Header
	lines   [maxLines]string
	plain   bool // nothing that is left to net/http was asked for

	// It is the http.ResponseWriter, too.
	answer http.Header
	status int
	body   []byte
	odd    bool   // the body came in pieces
	head   []byte // with a short body behind it
	names  []string
	pieces [2][]byte
	rest   net.Buffers
}

var shortcuts = sync.Pool{New: func() any {
	return &shortcut{fields: make(http.Header), answer: make(http.Header)}
}}

func (x *shortcut) release() {
	clear(x.fields)
	clear(x.answer)
	clear(x.names)
	if cap(x.head) > 2*maxCopied {
		x.head = nil
	}
	*x = shortcut{fields: x.fields, answer: x.answer, head: x.head[:0], names: x.names[:0]}
	shortcuts.Put(x)
}

// read reads the head of a request, to its empty line. It reports false unless it is a request of HTTP/1.1 without a body,
// after which the connection goes on, spelled in the one way that everybody reads alike: then the next one begins right behind it.
func (x *shortcut) read(head []byte) bool {
	if !bytes.HasSuffix(head, []byte(headEnd)) {
		return false
	}
	line, text, _ := strings.Cut(string(head), "\r\n")
	method, line, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(line, " ")
	if method != http.MethodGet && method != http.MethodHead || version != "HTTP/1.1" || !visible(target) || target[0] != '/' {
		return false
	}
	var err error
	if x.url, err = url.ParseRequestURI(target); err != nil {
		return false
	}
	host, n := "", 0
	x.plain = true
	for {
		line, text, _ = strings.Cut(text, "\r\n")
		if line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !plainName(name) || !plainValue(value) {
			return false
		}
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Host":
			if host != "" || value == "" || !hostPort(value) {
				return false
			}
			host = value
			continue
		case "Connection":
			if !strings.EqualFold(value, "keep-alive") {
				return false
			}
		case "Content-Length", "Expect":
			return false
		case "Pragma", "Range", "If-Range":
			x.plain = false
		default:
			if header.HopByHop(name) {
				return false
			}
		}
		if n == maxLines {
			return false
		}
		if x.lines[n] = value; x.fields[name] == nil {
			x.fields[name] = x.lines[n : n+1 : n+1]
		} else {
			x.fields[name] = append(x.fields[name], value)
		}
		n++
	}
	x.request = http.Request{
		Method: method, URL: x.url, RequestURI: target, Proto: version, ProtoMajor: 1, ProtoMinor: 1,
		Header: x.fields, Body: http.NoBody, Host: host,
	}
	return host != "" && text == ""
}

// visible reports whether s has nothing but visible characters of ASCII, one at least, and no fragment.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '#' {
			return false
		}
	}
	return s != ""
}

// plainName reports whether s is made of letters, digits and hyphens, as all names in use are.
func plainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return s != ""
}

// plainValue reports whether s has nothing but ASCII that can be printed, and tabs.
func plainValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c >= 0x7f) && c != '\t' {
			return false
		}
	}
	return true
}

// Header implements [http.ResponseWriter].
func (x *shortcut) Header() http.Header { return x.answer }

// WriteHeader implements [http.ResponseWriter].
func (x *shortcut) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
}

// Write keeps p, as [reprise.Route.ServeStored] allows.
func (x *shortcut) Write(p []byte) (int, error) {
	x.WriteHeader(http.StatusOK)
	x.odd = x.odd || x.body != nil
	x.body = p
	return len(p), nil
}

// finish makes the head of the answer. It reports false for an answer that net/http would have written in another way, and for one with a
// line break in a field.
func (x *shortcut) finish() bool {
	h := x.answer
	if x.odd || x.status < 200 || x.status == http.StatusNoContent || h["Transfer-Encoding"] != nil || h["Trailer"] != nil || h["Connection"] != nil {
		return false
	}
	if h["Content-Length"] == nil && x.status != http.StatusNotModified && x.request.Method != http.MethodHead {
		h["Content-Length"] = []string{strconv.Itoa(len(x.body))}
	}
	if h["Date"] == nil {
		h["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	}
	if _, typed := h["Content-Type"]; !typed && len(x.body) > 0 && h["Content-Encoding"] == nil {
		h["Content-Type"] = []string{http.DetectContentType(x.body)}
	}
	b := append(x.head[:0], "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(x.status), 10)
	reason := http.StatusText(x.status)
	if reason == "" {
		reason = "status code " + strconv.Itoa(x.status) // as net/http has it
	}
	b = append(append(append(b, ' '), reason...), "\r\n"...)
	for name := range h {
		x.names = append(x.names, name)
	}
	slices.Sort(x.names)
	lines := 1
	for _, name := range x.names {
		for _, value := range h[name] {
			b = append(append(b, name...), ": "...)
			b = append(append(b, value...), "\r\n"...)
			lines++
		}
	}
	if bytes.Count(b, []byte{'\n'}) != lines || bytes.Count(b, []byte{'\r'}) != lines {
		return false
	}
	x.head = append(b, "\r\n"...)
	return true
}

// send writes the answer to w, and what is more than one piece of it to slow, which gives the client time for each.
func (x *shortcut) send(w, slow io.Writer) error {
	if len(x.body) <= maxCopied {
		x.head = append(x.head, x.body...)
		_, err := w.Write(x.head)
		return err
	}
	n := min(len(x.body), maxPiece)
	x.pieces = [2][]byte{x.head, x.body[:n]}
	x.rest = x.pieces[:]
	_, err := x.rest.WriteTo(w)
	if err == nil && n < len(x.body) {
		_, err = slow.Write(x.body[n:])
	}
	return err
}

// front answers requests on connections of which net/http knows nothing but that they are idle.
type front struct {
	server    *Server
	drain     time.Duration // how long an answer may take when the connection is to be closed; longer than anybody waits for it
	answering atomic.Int64
}

// alone reports whether p is the head of one request without a body, and nothing else.
func (f *front) alone(p []byte) bool {
	x := shortcuts.Get().(*shortcut)
	defer x.release()
	return x.read(p)
}

// try answers the request whose head it is given, if that is stored. alone says that the next request begins right behind it.
func (f *front) try(c *strictConn, head []byte) (alone, answered bool, err error) {
	x := shortcuts.Get().(*shortcut)
	defer x.release()
	if !x.read(head) {
		return false, false, nil
	}
	if !x.plain {
		return true, false, nil
	}
	x.request.RemoteAddr, x.request.TLS = c.remote, c.tls
	log := f.server.cfg.AccessLog
	var e logEntry
	if log != nil {
		e = newLogEntry(&x.request)
	}
	if !f.server.serveStored(x, &x.request) {
		return true, false, nil
	}
	c.hurry()
	err = x.send(c.Conn, c)
	if log != nil {
		e.write(context.Background(), log, x.status, int64(len(x.body)), x.answer, err == nil)
	}
	return true, true, err
}

// wait waits until no answer is under way. It is called when all connections are closed for new ones.
func (f *front) wait(ctx context.Context) error {
	if f == nil {
		return nil
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for f.answering.Load() > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
