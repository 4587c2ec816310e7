package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A request holds one of a bounded number of places at the origin until its body has been sent and that of the answer read. Who
// stops doing either, for as long as a connection may be idle, is cut off: else a few clients would keep all places for
// good. Of HTTP/1 strictConn sees to the answer; here is the request's body, and what a stream of HTTP/2 needs for itself.

// patience bounds how long a client may take for one step.
type patience struct {
	idle  time.Duration
	timer *time.Timer

	mu   sync.Mutex
	over bool // the request is; its connection serves another
}

// newPatience calls cut when a step takes too long.
func newPatience(idle time.Duration, cut func()) *patience {
	p := &patience{idle: idle}
	p.timer = time.AfterFunc(idle, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.over {
			cut()
		}
	})
	p.timer.Stop()
	return p
}

func (p *patience) begin() { p.timer.Reset(p.idle) }
func (p *patience) end()   { p.timer.Stop() }

// close ends it before the response does.
func (p *patience) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}

// clientBody takes note that it was the client who did not send what it had announced.
type clientBody struct {
	io.ReadCloser
	control  *http.ResponseController
	patience *patience
	whole    atomic.Bool // it has been read to its end
	broken   atomic.Bool
	late     atomic.Bool
}

// bodyKey is under what a request's clientBody is found.
type bodyKey struct{}

func newClientBody(w http.ResponseWriter, body io.ReadCloser, idle time.Duration) *clientBody {
	b := &clientBody{ReadCloser: body, control: http.NewResponseController(w)}
	b.patience = newPatience(idle, func() {
		b.late.Store(true)
		_ = b.control.SetReadDeadline(time.Unix(1, 0))
	})
	return b
}

func (b *clientBody) Read(p []byte) (int, error) {
	b.patience.begin()
	n, err := b.ReadCloser.Read(p)
	b.patience.end()
	switch {
	case errors.Is(err, io.EOF):
		b.whole.Store(true)
	case err != nil && !errors.Is(err, http.ErrBodyReadAfterClose):
		b.broken.Store(true)
	}
	return n, err
}

// leave is called when the request has been answered. net/http reads what is left of a short body, to use the connection again.
func (b *clientBody) leave() {
	b.patience.close()
	if !b.whole.Load() {
		_ = b.control.SetReadDeadline(time.Now().Add(b.patience.idle))
	}
}

// streamWriter writes the answer of a stream of HTTP/2. The client may read others, and not this one.
type streamWriter struct {
	http.ResponseWriter
	patience *patience
}

func newStreamWriter(w http.ResponseWriter, idle time.Duration) *streamWriter {
	control := http.NewResponseController(w)
	return &streamWriter{w, newPatience(idle, func() { _ = control.SetWriteDeadline(time.Unix(1, 0)) })}
}

// Unwrap is for http.ResponseController.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write gives the client its time for each piece, as strictConn does.
func (w *streamWriter) Write(p []byte) (n int, err error) {
	for {
		w.patience.begin()
		m, err := w.ResponseWriter.Write(p[n:min(len(p), n+maxPiece)])
		w.patience.end()
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// FlushError implements what http.ResponseController looks for.
func (w *streamWriter) FlushError() error {
	w.patience.begin()
	defer w.patience.end()
	return http.NewResponseController(w.ResponseWriter).Flush()
}
