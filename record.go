package reprise

import (
	"bufio"
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
	holding recordMode = iota // into a buffer: nothing has left yet
	sharing                   // into the fill, which every client reads at its own pace
	direct                    // to the client, on the handler's goroutine
	dropped                   // nowhere: the clients have got another answer
	taken                     // the handler took the connection
)

// recorder is the ResponseWriter that the handler of a fill sees. It supports what net/http's own does: Flush, ReadFrom,
// Hijack and, by Unwrap, everything that http.ResponseController reaches.
type recorder struct {
	f      *fill
	w      http.ResponseWriter // the first client's; nil in the background
	header http.Header         // the handler's
	outer  http.Header         // what outer middleware had set before; nil if nothing
	head   http.Header         // header as it was at WriteHeader
	status int                 // 0 until WriteHeader
	length int64               // the declared Content-Length, or -1
	n      int64               // bytes written
	mode   recordMode
	noBody bool // the status has no body, or the method is HEAD
	held   *[]byte
	pump   *pump
}

var heldBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, holdBytes)
	return &b
}}

func newRecorder(f *fill, w http.ResponseWriter) *recorder {
	rec := &f.recorder
	*rec = recorder{f: f, w: w, length: -1}
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
		panic(fmt.Sprintf("reprise: WriteHeader(%d): not a status", status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		rec.inform(status)
		return
	}
	rec.status = status
	rec.head = rec.header.Clone()
	rec.noBody = status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
	if cl := rec.head["Content-Length"]; cl != nil {
		n, err := strconv.ParseInt(strings.TrimSpace(cl[0]), 10, 64)
		if err != nil || n < 0 || len(cl) > 1 {
			delete(rec.head, "Content-Length") // as net/http does
		} else {
			rec.length = n
		}
	}
	rec.f.classify(rec)
	if rec.mode == holding && (rec.status < 200 || eventStream(rec.head)) {
		rec.release(nil) // its reader waits for the first event
	}
}

// inform passes a 1xx response on. It is the first client's alone and is never stored.
func (rec *recorder) inform(status int) {
	if rec.w == nil || rec.mode == dropped {
		return
	}
	rec.f.delivery.Lock() // FillTimeout may answer the client meanwhile
	defer rec.f.delivery.Unlock()
	if rec.f.isLate() {
		return
	}
	h := rec.w.Header()
	before := maps.Clone(h)
	rec.apply(h, rec.header)
	rec.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, before)
}

func (rec *recorder) Write(p []byte) (int, error) {
	if rec.mode == taken {
		return 0, http.ErrHijacked
	}
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if rec.noBody {
		return 0, http.ErrBodyNotAllowed
	}
	if rec.length >= 0 && rec.n+int64(len(p)) > rec.length {
		return 0, http.ErrContentLength
	}
	rec.n += int64(len(p))
	if rec.f.head { // counted, as net/http does, and not sent
		return len(p), nil
	}
	if rec.mode == holding {
		if rec.held == nil {
			rec.held = heldBuffers.Get().(*[]byte)
		}
		if len(*rec.held)+len(p) <= holdBytes {
			*rec.held = append(*rec.held, p...)
			return len(p), nil
		}
		rec.release(p)
	}
	switch rec.mode {
	case sharing:
		if err := rec.f.append(p); err != nil {
			return 0, err
		}
		return len(p), nil
	case direct:
		return rec.w.Write(p)
	default:
		return len(p), nil
	}
}

// sniff sets the Content-Type as net/http would, from the bytes that are held or, if there are none, from next.
func (rec *recorder) sniff(next []byte) {
	if b := rec.heldBytes(); len(b) > 0 {
		next = b
	}
	if len(next) > 0 && !rec.noBody && needsType(rec.head) {
		rec.head["Content-Type"] = []string{http.DetectContentType(next)}
	}
}

func needsType(h http.Header) bool {
	_, typed := h["Content-Type"]
	return !typed && h.Get("Content-Encoding") == "" && h["Transfer-Encoding"] == nil
}

// WriteString is Write for a string.
func (rec *recorder) WriteString(s string) (int, error) {
	if rec.mode == direct && rec.n > 0 && rec.length < 0 && !rec.f.head && !rec.noBody {
		rec.n += int64(len(s))
		return io.WriteString(rec.w, s)
	}
	return rec.Write([]byte(s))
}

// ReadFrom copies from src. A handler that hands its source over must not slip past the recorder.
func (rec *recorder) ReadFrom(src io.Reader) (n int64, err error) {
	buf := heldBuffers.Get().(*[]byte)
	defer heldBuffers.Put(buf)
	return io.CopyBuffer(writerOnly{rec}, src, (*buf)[:cap(*buf)])
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

// Hijack gives the connection to the handler. Nothing of it is recorded.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if rec.w == nil || rec.mode == sharing || rec.mode == dropped {
		return nil, nil, fmt.Errorf("reprise: Hijack: %w", http.ErrNotSupported)
	}
	if !rec.f.claim() {
		rec.mode = dropped
		return nil, nil, fmt.Errorf("reprise: Hijack: %w", http.ErrNotSupported)
	}
	conn, rw, err := http.NewResponseController(rec.w).Hijack()
	if err != nil {
		rec.f.unclaim()
		return nil, nil, err
	}
	rec.mode = taken
	rec.putHeld()
	rec.f.goAlone(ReasonHijacked)
	return conn, rw, nil
}

func (rec *recorder) putHeld() {
	if rec.held != nil {
		*rec.held = (*rec.held)[:0]
		heldBuffers.Put(rec.held)
		rec.held = nil
	}
}

func (rec *recorder) heldBytes() []byte {
	if rec.held == nil {
		return nil
	}
	return *rec.held
}

// release lets go of what was held back, because the handler flushed or wrote a lot. From here on the answer is on its
// way, and cannot get an entity tag any more. next is what comes after the held bytes.
func (rec *recorder) release(next []byte) {
	f := rec.f
	rec.sniff(next)
	if !f.claim() {
		rec.mode = dropped
		rec.putHeld()
		return
	}
	if rec.f.insteadOfError(rec.status) {
		rec.mode = dropped
		rec.putHeld()
		return
	}
	if f.shareable && !f.alone() {
		rec.mode = sharing
		f.publish(rec)
		if rec.w != nil {
			rec.pump = f.startPump(rec)
		}
		return
	}
	if rec.w == nil { // a background refresh of what turned out to be nobody else's
		rec.mode = dropped
		rec.putHeld()
		return
	}
	rec.mode = direct
	if f.writes {
		f.invalidateWritten(rec)
	}
	if rec.precondition() {
		rec.mode = dropped
		rec.putHeld()
		return
	}
	rec.sendHead(nil)
	if b := rec.heldBytes(); len(b) > 0 && !f.head {
		_, _ = rec.w.Write(b)
	}
	rec.putHeld()
}

// precondition answers a conditional request by 304 where the handler, which was not shown the condition, answered in full.
func (rec *recorder) precondition() bool {
	f := rec.f
	if !f.stripped || rec.status != http.StatusOK || !notModified(rec.head, f.q) {
		return false
	}
	rec.sendNotModified()
	return true
}

func (rec *recorder) sendNotModified() {
	h := rec.w.Header()
	rec.apply(h, rec.head)
	for name := range h {
		if describesBody(name) {
			delete(h, name)
		}
	}
	rec.f.decorate(h)
	rec.w.WriteHeader(http.StatusNotModified)
}

// sendHead writes the status and fields to the client; whole is the body where it is known.
func (rec *recorder) sendHead(whole []byte) {
	h := rec.w.Header()
	rec.apply(h, rec.head)
	rec.f.decorate(h)
	if whole != nil && rec.length < 0 && !rec.noBody && !rec.f.head && h["Transfer-Encoding"] == nil && h["Trailer"] == nil {
		h["Content-Length"] = []string{strconv.Itoa(len(whole))}
	}
	rec.w.WriteHeader(rec.status)
}

// apply makes h, the client's fields, what the handler made of them.
func (rec *recorder) apply(h, handlers http.Header) {
	for name, lines := range handlers {
		if rec.outer == nil || !slices.Equal(rec.outer[name], lines) {
			h[name] = lines
		}
	}
	for name := range rec.outer {
		if _, ok := handlers[name]; !ok {
			delete(h, name)
		}
	}
}

// own returns the fields of head that are the handler's, not an outer middleware's: those are set anew for each client.
func (rec *recorder) own() http.Header {
	h := maps.Clone(rec.head)
	for name, lines := range rec.outer {
		if slices.Equal(h[name], lines) {
			delete(h, name)
		}
	}
	return h
}

// finish is called when the handler has returned.
func (rec *recorder) finish() {
	if rec.mode == taken {
		return
	}
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	switch rec.mode {
	case holding:
		rec.finishWhole()
	case sharing:
		rec.f.end(rec)
	case direct:
		rec.trailers(rec.w.Header())
		if rec.f.writes { // once more, for what the handler did after its answer had left
			rec.f.invalidateWritten(rec)
		}
	}
}

// finishWhole delivers an answer that was held back to its end.
func (rec *recorder) finishWhole() {
	f := rec.f
	defer rec.putHeld()
	rec.sniff(nil)
	if !f.claim() {
		rec.mode = dropped
		return
	}
	body := rec.heldBytes()
	whole := rec.noBody || f.head || rec.length < 0 || rec.length == rec.n
	if f.writes {
		f.invalidateWritten(rec)
	}
	if f.insteadOfError(rec.status) {
		rec.mode = dropped
		return
	}
	f.complete(rec, body, whole)
	if rec.w == nil {
		return
	}
	rec.mode = direct
	ok := f.stripped && rec.status == http.StatusOK && whole
	switch {
	case ok && notModified(rec.head, f.q):
		rec.sendNotModified()
	case ok && !f.head && ranged(rec.head, f.q):
		h := rec.w.Header()
		rec.apply(h, rec.head)
		f.decorate(h)
		f.q.serveRange(rec.w, h, body)
	default:
		rec.sendHead(body)
		if len(body) > 0 {
			_, _ = rec.w.Write(body)
		}
		rec.trailers(rec.w.Header())
	}
}

// trailers copies what the handler said after the body: fields that it announced, and those with http.TrailerPrefix.
func (rec *recorder) trailers(h http.Header) {
	for name := range header.List(rec.head["Trailer"]) {
		name = http.CanonicalHeaderKey(name)
		if lines, ok := rec.header[name]; ok {
			h[name] = lines
		}
	}
	for name, lines := range rec.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			h[name] = lines
		}
	}
}

func notModified(h http.Header, q *query) bool {
	req := q.r.Header
	return (req["If-None-Match"] != nil || req["If-Modified-Since"] != nil) && validatorsOf(h).NotModified(req)
}

func ranged(h http.Header, q *query) bool {
	return q.r.Header["Range"] != nil && q.fewRanges() && validatorsOf(h).IfRange(q.r.Header)
}

func validatorsOf(h http.Header) rfc9111.Validators {
	return rfc9111.Validators{ETag: h.Get("Etag"), LastModified: h.Get("Last-Modified"), Date: h.Get("Date")}
}
