package reprise

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/internal/rfc9111"
)

// holdBytes is how much of a body is held back, so that an entity tag, a length and a 304 can be made of it.
const holdBytes = 32 << 10

// recordMode says where the bytes that the handler writes go.
type recordMode uint8

const (
	holding   recordMode = iota // into a buffer: nothing has left yet
	sharing                     // into the fill, which every client reads at its own pace
	direct                      // to the client, on the handler's goroutine
	dropped                     // nowhere: the client has got another answer
	taken                       // the handler took the connection
	confirmed                   // nowhere: the handler was asked about the stored answer, and said 304
	astray                      // nowhere: the handler was asked for the rest of the stored answer, and gave something else
)

// recorder is the ResponseWriter that the handler of a fill sees. It supports what net/http's own does: Flush, ReadFrom,
// Hijack and, by Unwrap, everything that http.ResponseController reaches.
type recorder struct {
	f      *fill
	w      http.ResponseWriter // the first client's; nil in the background, and once that client has got something else
	header http.Header         // the handler's
	outer  http.Header         // what outer middleware had set before; nil if nothing
	status int                 // 0 until WriteHeader
	length int64               // the declared Content-Length, or -1
	n      int64               // bytes written, also those that were too many
	mode   recordMode
	noBody bool // the status has no body
	ownTag bool // the entity tag is the cache's, not the handler's
	frozen bool // the body is a stored one's
	held   *[]byte
	pump   *pump
	*scratch
}

// scratch is what a recorder needs until its answer is delivered.
type scratch struct {
	head  http.Header      // as it was at WriteHeader
	resp  rfc9111.Response // what head says
	lines chunk
	texts strings.Builder
}

var scratches = sync.Pool{New: func() any { return &scratch{head: make(http.Header)} }}

// line returns v as the lines of a field that nobody else has.
func (s *scratch) line(v string) []string { return s.lines.one(v) }

// textSize is what texts are cut from.
const textSize = 1 << 10

// text returns b as a string cut from a larger one, which saves an allocation: for what ends with the answer.
func (s *scratch) text(b []byte) string {
	n := s.texts.Len()
	if n+len(b) > s.texts.Cap() {
		s.texts.Reset() // who has a text keeps what it was cut from
		s.texts.Grow(max(textSize, len(b)))
		n = 0
	}
	s.texts.Write(b)
	return s.texts.String()[n:]
}

// snapshot makes head a copy of h, with the lines of one field together however it is spelled. What is no field name is left out, as
// net/http does, and what ends a line is a space: a record could not hold it.
func (s *scratch) snapshot(h http.Header) {
	for name, lines := range h {
		if !isToken(name) && !strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		if !header.Canonical(name) {
			// The handler has bypassed Set. Clients and this cache read the field all the same.
			c := http.CanonicalHeaderKey(name)
			for _, v := range lines {
				s.head[c] = append(slices.Clip(s.head[c]), unbroken(v))
			}
			continue
		}
		switch len(lines) {
		case 0:
			s.head[name] = lines // nil suppresses what net/http would add
		case 1:
			s.head[name] = append(s.line(unbroken(lines[0])), s.head[name]...)
		default:
			own := make([]string, len(lines), len(lines)+len(s.head[name]))
			for i, v := range lines {
				own[i] = unbroken(v)
			}
			s.head[name] = append(own, s.head[name]...)
		}
	}
}

// unbroken returns a field value without what would break its line: spaces, as any recipient may read it (RFC 9110 §5.5), and as
// net/http sends it.
func unbroken(v string) string {
	if strings.IndexByte(v, '\n') < 0 && strings.IndexByte(v, '\r') < 0 && strings.IndexByte(v, 0) < 0 {
		return v
	}
	b := []byte(v)
	for i, c := range b {
		if c == '\n' || c == '\r' || c == 0 {
			b[i] = ' '
		}
	}
	return string(bytes.Trim(b, " \t"))
}

func (rec *recorder) putScratch() {
	if rec.scratch != nil {
		clear(rec.head)
		rec.resp = rfc9111.Response{}
		scratches.Put(rec.scratch)
		rec.scratch = nil
	}
}

// buffers are holdBytes long. What is handed on as the beginning of a shared body never comes back.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, holdBytes)
	return &b
}}

func getBuffer() *[]byte { return buffers.Get().(*[]byte) }

func putBuffer(b *[]byte) {
	*b = (*b)[:0]
	buffers.Put(b)
}

func newRecorder(f *fill, w http.ResponseWriter) *recorder {
	rec := &f.recorder
	*rec = recorder{f: f, w: w, length: -1, scratch: scratches.Get().(*scratch)}
	if w != nil {
		if outer := w.Header(); len(outer) > 0 {
			rec.outer, rec.header = outer.Clone(), outer.Clone()
		}
	}
	if rec.header == nil {
		rec.header = make(http.Header)
	}
	return rec
}

// Unwrap returns the client's ResponseWriter, for http.ResponseController.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.w }

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	switch {
	case rec.mode == taken || rec.status != 0:
		return // net/http only logs it
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http does
	case status < 200 && status != http.StatusSwitchingProtocols:
		rec.inform(status)
		return
	}
	rec.status = status
	rec.snapshot(rec.header)
	rec.noBody = status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	if status == http.StatusNotModified && rec.f.asks && rec.mode == holding {
		rec.mode = confirmed
		return
	}
	if rec.f.completes && rec.mode == holding && rec.rest(status) {
		return
	}
	if cl := rec.head["Content-Length"]; cl != nil {
		n, err := int64(0), error(nil)
		if len(cl) == 1 {
			n, err = strconv.ParseInt(cl[0], 10, 64)
		}
		if err != nil || n < 0 || len(cl) != 1 {
			delete(rec.head, "Content-Length") // as net/http does
		} else {
			rec.length = n
		}
	}
	rec.f.classify(rec)
	if rec.mode == holding && (status < 200 || eventStream(rec.head)) {
		rec.release(nil) // its reader waits for the first event
	}
}

// inform passes a 1xx response on. It is the first client's alone and is never stored.
func (rec *recorder) inform(status int) {
	if rec.w == nil || rec.mode == dropped {
		return
	}
	rec.f.inform.Lock() // FillTimeout may want to answer the client meanwhile
	defer rec.f.inform.Unlock()
	if rec.f.isLate() {
		return
	}
	h := rec.w.Header()
	before := maps.Clone(h)
	rec.apply(h, rec.header.Clone())
	rec.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, before)
}

func (f *fill) isLate() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.phase == late
}

// admit says whether the handler may write n more bytes, as net/http would.
func (rec *recorder) admit(n int) error {
	if rec.mode == taken {
		return http.ErrHijacked
	}
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	switch {
	case n == 0:
		return nil
	case rec.noBody:
		return http.ErrBodyNotAllowed
	}
	rec.n += int64(n)
	if rec.length >= 0 && rec.n > rec.length {
		return http.ErrContentLength
	}
	return nil
}

// holds reports whether n more bytes are held back.
func (rec *recorder) holds(n int) bool {
	if rec.mode != holding {
		return false
	}
	if rec.held == nil {
		rec.held = getBuffer()
	}
	return len(*rec.held)+n <= holdBytes
}

func (rec *recorder) Write(p []byte) (int, error) {
	if err := rec.admit(len(p)); err != nil || len(p) == 0 {
		return 0, err
	}
	if rec.holds(len(p)) {
		*rec.held = append(*rec.held, p...)
		return len(p), nil
	}
	if rec.mode == holding {
		rec.release(p)
	}
	switch {
	case rec.f.head: // counted, as net/http does, and not sent
	case rec.mode == sharing:
		if err := rec.f.append(p); err != nil {
			return 0, err
		}
	case rec.mode == direct:
		return rec.w.Write(p)
	}
	return len(p), nil
}

// WriteString is Write for a string.
func (rec *recorder) WriteString(s string) (int, error) {
	if rec.mode != holding || rec.status == 0 || rec.noBody || !rec.holds(len(s)) {
		return rec.Write([]byte(s))
	}
	if err := rec.admit(len(s)); err != nil {
		return 0, err
	}
	*rec.held = append(*rec.held, s...)
	return len(s), nil
}

// ReadFrom copies from src. What is recorded must not slip past the recorder; what is not goes the shortest way, for
// net/http leaves the copying of files to the kernel.
func (rec *recorder) ReadFrom(src io.Reader) (n int64, err error) {
	buf := getBuffer()
	defer putBuffer(buf)
	w, piece := writerOnly{rec}, (*buf)[:holdBytes]
	for rec.mode == holding {
		m, err := io.CopyBuffer(w, io.LimitReader(src, holdBytes), piece)
		n += m
		if err != nil || m < holdBytes {
			return n, err
		}
	}
	var m int64
	if to, ok := rec.w.(io.ReaderFrom); ok && rec.mode == direct && !rec.f.head && !rec.noBody {
		m, err = to.ReadFrom(src)
		rec.n += m
	} else {
		m, err = io.CopyBuffer(w, src, piece)
	}
	return n + m, err
}

type writerOnly struct{ io.Writer }

// Flush sends what the handler has written so far.
func (rec *recorder) Flush() { _ = rec.FlushError() }

// FlushError is Flush for http.ResponseController.
func (rec *recorder) FlushError() error {
	if rec.mode == taken {
		return http.ErrHijacked
	}
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if rec.mode == holding {
		rec.release(nil)
	}
	if rec.mode == direct { // else readers flush whatever there is
		if err := http.NewResponseController(rec.w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			return err
		}
	}
	return nil
}

// EnableFullDuplex is what http.ResponseController calls. It must not meet what FillTimeout writes.
func (rec *recorder) EnableFullDuplex() error {
	if rec.w == nil || rec.mode != holding {
		return fmt.Errorf("reprise: EnableFullDuplex: %w", http.ErrNotSupported)
	}
	rec.f.inform.Lock()
	defer rec.f.inform.Unlock()
	return http.NewResponseController(rec.w).EnableFullDuplex()
}

// Hijack gives the connection to the handler. Nothing of it is recorded.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if rec.w == nil || rec.mode == sharing || rec.mode == dropped || rec.mode >= confirmed || !rec.f.claim() {
		return nil, nil, fmt.Errorf("reprise: Hijack: %w", http.ErrNotSupported)
	}
	conn, rw, err := http.NewResponseController(rec.w).Hijack()
	if err != nil {
		if rec.mode == holding {
			rec.f.unclaim()
		}
		return nil, nil, err
	}
	rec.mode = taken
	rec.putHeld()
	rec.f.refuse(ReasonHijacked)
	rec.f.goAlone()
	return conn, rw, nil
}

func (rec *recorder) putHeld() {
	if rec.held != nil {
		putBuffer(rec.held)
		rec.held = nil
	}
}

func (rec *recorder) heldBytes() []byte {
	if rec.held == nil {
		return nil
	}
	return *rec.held
}
