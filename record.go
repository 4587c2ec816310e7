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
	dropped                   // nowhere: the client has got another answer
	taken                     // the handler took the connection
)

// recorder is the ResponseWriter that the handler of a fill sees. It supports what net/http's own does: Flush, ReadFrom,
// Hijack and, by Unwrap, everything that http.ResponseController reaches.
type recorder struct {
	f      *fill
	w      http.ResponseWriter // the first client's; nil in the background, and once that client has got something else
	header http.Header         // the handler's
	outer  http.Header         // what outer middleware had set before; nil if nothing
	head   http.Header         // header as it was at WriteHeader
	status int                 // 0 until WriteHeader
	length int64               // the declared Content-Length, or -1
	n      int64               // bytes written, also those that were too many
	mode   recordMode
	noBody bool // the status has no body
	held   *[]byte
	pump   *pump
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
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http does
	case status < 200 && status != http.StatusSwitchingProtocols:
		rec.inform(status)
		return
	}
	rec.status = status
	rec.head = rec.header.Clone()
	rec.noBody = status < 200 || status == http.StatusNoContent || status == http.StatusNotModified
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
	if rec.w == nil || rec.mode == sharing || rec.mode == dropped || !rec.f.claim() {
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

// release lets go of what was held back, because the handler flushed or wrote a lot. From here on the answer is on its
// way, and cannot get an entity tag any more. next is what comes after the held bytes.
func (rec *recorder) release(next []byte) {
	f := rec.f
	rec.sniff(next)
	if f.writes {
		f.invalidateWritten(rec)
	}
	if !f.claim() {
		rec.drop()
		return
	}
	stale := f.spare(rec.status)
	shared := f.shareable && f.joinable()
	switch {
	case rec.w == nil:
	case stale != nil:
		defer rec.instead(rec.w, stale)
		rec.w = nil
	case rec.precondition():
		rec.w = nil
	}
	switch {
	case shared:
		rec.mode = sharing
		f.publish(rec)
		if rec.w != nil {
			rec.pump = f.startPump(rec)
		}
	case rec.w == nil:
		rec.drop()
	default:
		rec.mode = direct
		rec.sendHead(nil)
		if b := rec.heldBytes(); len(b) > 0 && !f.head {
			_, _ = rec.w.Write(b)
		}
		rec.putHeld()
	}
}

// joinable reports whether others may follow, or the store may get the answer.
func (f *fill) joinable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.phase == pending && (f.key != "" || f.refused() == "")
}

func (rec *recorder) drop() {
	rec.mode = dropped
	rec.putHeld()
}

// instead serves stale in the place of an error.
func (rec *recorder) instead(w http.ResponseWriter, stale *entry) {
	rec.f.answered = true
	rec.f.q.serveStale(w, stale, ReasonInsteadOfError)
}

// precondition answers a conditional request by 304 where the handler, which was not shown the condition, answered in full.
func (rec *recorder) precondition() bool {
	f := rec.f
	if !f.stripped || rec.status != http.StatusOK || !notModified(rec.head, f.q) {
		return false
	}
	h := rec.w.Header()
	rec.apply(h, rec.head.Clone())
	for name := range h {
		if describesBody(name) {
			delete(h, name)
		}
	}
	f.decorate(h)
	rec.w.WriteHeader(http.StatusNotModified)
	return true
}

// sendHead writes the status and fields to the client; whole is the body where it is known.
func (rec *recorder) sendHead(whole []byte) {
	head := rec.head
	if rec.mode == sharing {
		head = head.Clone() // an outer middleware may change what it is given, and others read on
	}
	h := rec.w.Header()
	rec.apply(h, head)
	rec.f.decorate(h)
	if len(whole) > 0 && rec.length < 0 && !rec.noBody && h["Transfer-Encoding"] == nil && h["Trailer"] == nil {
		h["Content-Length"] = []string{strconv.Itoa(len(whole))}
	}
	rec.w.WriteHeader(rec.status)
}

// apply makes h, the client's fields, what the handler made of them.
func (rec *recorder) apply(h, handlers http.Header) {
	for name, lines := range handlers {
		if outer, ok := rec.outer[name]; !ok || !slices.Equal(outer, lines) {
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
		switch {
		case slices.Equal(h[name], lines):
			delete(h, name)
		case listed(name) && len(h[name]) > len(lines) && slices.Equal(h[name][:len(lines)], lines):
			h[name] = h[name][len(lines):] // the handler added to them, as serveStored will
		}
	}
	return h
}

// listed reports whether lines of that field that an outer middleware has set stay beside those of a stored response.
func listed(name string) bool {
	return name == "Vary" || name == "Set-Cookie" || name == "Cache-Status"
}

// shared returns the fields for those who follow the growing body: a copy, for the first client's may be changed.
func (rec *recorder) shared() http.Header {
	h := rec.own()
	nominated := slices.Collect(header.Nominated(h))
	for name := range h {
		if header.HopByHop(name) && name != "Trailer" || slices.Contains(nominated, name) {
			delete(h, name)
		}
	}
	return h.Clone()
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
		rec.f.finishBody(rec)
	case direct:
		maps.Copy(rec.w.Header(), rec.tail())
		if rec.f.writes { // once more, for what the handler did after its answer had left
			rec.f.invalidateWritten(rec)
		}
	}
}

// exact reports whether the handler wrote what it had declared.
func (rec *recorder) exact() bool {
	return rec.noBody || rec.f.head || rec.length < 0 || rec.length == rec.n
}

// finishWhole delivers an answer that was held back to its end.
func (rec *recorder) finishWhole() {
	f := rec.f
	defer rec.putHeld()
	rec.sniff(nil)
	if f.writes {
		f.invalidateWritten(rec)
	}
	if f.land() { // too late
		rec.mode = dropped
		return
	}
	stale := f.spare(rec.status)
	body := rec.heldBytes()
	f.complete(rec, body)
	if rec.w == nil {
		return
	}
	rec.mode = direct
	full := f.stripped && rec.status == http.StatusOK && rec.exact()
	switch {
	case stale != nil:
		rec.instead(rec.w, stale)
	case full && rec.precondition():
	case full && !f.head && ranged(rec.head, f.q):
		h := rec.w.Header()
		rec.apply(h, rec.head)
		f.decorate(h)
		f.q.serveRange(rec.w, h, body)
	default:
		rec.sendHead(body)
		if len(body) > 0 && !f.head {
			_, _ = rec.w.Write(body)
		}
		maps.Copy(rec.w.Header(), rec.tail())
	}
}

// drain waits until the first client has got what is shared, and passes on what a foreign ResponseWriter panicked with.
func (rec *recorder) drain() {
	p := rec.pump
	if p == nil {
		return
	}
	<-p.done
	switch {
	case p.failure != nil:
		panic(p.failure)
	case errors.Is(p.err, errLagging):
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
	maps.Copy(rec.w.Header(), rec.tail())
}

// tail returns what the handler said after the body: fields that it announced, and those with http.TrailerPrefix.
func (rec *recorder) tail() http.Header {
	if rec.head["Trailer"] == nil && !hasTrailers(rec.header) {
		return nil
	}
	t := make(http.Header)
	for name := range header.List(rec.head["Trailer"]) {
		name = http.CanonicalHeaderKey(name)
		if lines, ok := rec.header[name]; ok {
			t[name] = slices.Clone(lines)
		}
	}
	for name, lines := range rec.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			t[name] = slices.Clone(lines)
		}
	}
	return t
}

func hasTrailers(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// sniffBytes is what http.DetectContentType looks at.
const sniffBytes = 512

// sniff sets the Content-Type as net/http would, from the bytes that are held and those that come next.
func (rec *recorder) sniff(next []byte) {
	if rec.noBody || !needsType(rec.head) {
		return
	}
	b := rec.heldBytes()
	if len(b) < sniffBytes && len(next) > 0 {
		b = append(b[:len(b):len(b)], next[:min(len(next), sniffBytes-len(b))]...)
	}
	if len(b) > 0 {
		rec.head["Content-Type"] = []string{http.DetectContentType(b)}
	}
}

func needsType(h http.Header) bool {
	_, typed := h["Content-Type"]
	return !typed && h.Get("Content-Encoding") == "" && h["Transfer-Encoding"] == nil
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
