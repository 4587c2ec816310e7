package reprise

import (
	"context"
	"net/http"
)

// A body that has outgrown the buffer is shared: the handler appends to it, and every client, the first one too, reads it at its
// own pace. While it may still be stored it is kept as a whole. Once it will not be, what every reader has seen is
// forgotten, and readers may differ by a window at most: who lags behind it is cut off, and the handler waits for the
// fastest of them alone.

const (
	// pieceBytes is how much of a body that is not stored is taken from the handler, or given to a client, at once.
	pieceBytes = 32 << 10
	// aheadBytes is what the handler may be ahead of the fastest reader of a body that is not stored, and what a reader may lag
	// behind once the budget for bodies is used up.
	aheadBytes = 64 << 10
)

// reader is a client that reads a growing body.
type reader struct{ pos int64 }

// publish opens the fill to followers: the head is known, and what was held back is the beginning of the body.
func (f *fill) publish(rec *recorder) {
	response := rec.shared()
	f.mu.Lock()
	f.response, f.status = response, rec.status
	if !f.head {
		f.body = rec.heldBytes()
		rec.held = nil // it is the fill's now, and never goes back to the pool
	}
	f.phase = open
	over := f.charge(len(f.body))
	f.broadcast()
	refused := f.refused() != ""
	f.mu.Unlock()
	if over && !refused {
		f.refuse(ReasonBudget)
	}
	if over || refused {
		f.loosen()
	}
}

// charge counts bytes of the body against the budget of the cache and reports whether that is exceeded. f.mu is held.
func (f *fill) charge(n int) (over bool) {
	f.charged += int64(n)
	return f.engine.fillBytes.Add(int64(n)) > f.engine.config.Limits.FillBytes
}

// settle gives back what the body was charged once nobody reads it any more. f.mu is held.
func (f *fill) settle() {
	if f.closed && f.waiting == 0 && len(f.readers) == 0 {
		f.engine.fillBytes.Add(-f.charged)
		f.charged = 0
	}
}

// append adds what the handler wrote to the body. It waits only where nothing is stored: for the fastest reader.
func (f *fill) append(p []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(p) > 0 {
		n := len(p)
		stored := f.refused() == ""
		if !stored {
			n = min(n, pieceBytes)
		}
		over := f.charge(n)
		if tooLarge := f.end()+int64(n) > f.rt.maxBody; stored && (over || tooLarge) {
			f.charge(-n)
			f.veto = ReasonBudget
			if tooLarge {
				f.veto = ReasonTooLarge
			}
			f.mu.Unlock()
			f.loosen()
			f.mu.Lock()
			continue
		}
		f.body = append(f.body, p[:n]...)
		f.broadcast()
		p = p[n:]
		if stored {
			continue
		}
		if err := f.keepPace(); err != nil {
			return err
		}
	}
	return nil
}

// end is where the body ends for now. f.mu is held.
func (f *fill) end() int64 { return f.start + int64(len(f.body)) }

// keepPace forgets what need not be kept of a body that is not stored, and waits until one reader at least is near the end. f.mu
// is held, but not while it waits.
func (f *fill) keepPace() error {
	window := f.rt.maxBody
	if f.veto == ReasonBudget {
		window = min(window, aheadBytes)
	}
	for {
		if len(f.readers) == 0 && f.waiting == 0 {
			f.trim(f.end())
			return nil
		}
		fastest, slowest := f.start, f.end()
		if f.waiting > 0 { // about to read from the beginning
			slowest = f.start
		}
		for _, rd := range f.readers {
			fastest, slowest = max(fastest, rd.pos), min(slowest, rd.pos)
		}
		f.trim(max(slowest, fastest-window))
		if f.end()-fastest <= min(window, aheadBytes) {
			return nil
		}
		room := make(chan struct{})
		f.room = room
		f.mu.Unlock()
		select {
		case <-room:
			f.mu.Lock()
		case <-f.ctx.Done():
			f.mu.Lock()
			return context.Cause(f.ctx)
		}
	}
}

// moved tells a handler that keeps pace that a reader has moved or left. f.mu is held.
func (f *fill) moved() {
	if f.room != nil {
		close(f.room)
		f.room = nil
	}
}

// trim forgets the body before pos. f.mu is held.
func (f *fill) trim(pos int64) {
	n := pos - f.start
	if n <= 0 {
		return
	}
	f.body = f.body[n:]
	f.start = pos
	f.charge(int(-n))
}

// finishBody is called when the handler of a fill with a growing body has returned: the body is whole, and may be stored.
func (f *fill) finishBody(rec *recorder) {
	f.land()
	tail := rec.tail()
	exact := rec.exact()
	f.mu.Lock()
	f.tail = tail
	f.phase = ended
	f.short = !exact && rec.n < rec.length
	if !exact && f.veto == "" {
		f.veto = ReasonShortBody
	}
	refused := f.refused() != ""
	body := f.body
	f.broadcast()
	f.mu.Unlock()
	if !refused {
		f.commit(rec, body)
	}
	if f.shareable {
		f.shared()
	} else { // it said so too late for those who follow already
		f.pass()
	}
	if !f.writing {
		f.endFlight() // a slow first client does not keep it open
	}
}

// pump delivers a growing body to the first client, on its own goroutine: a slow client holds up nobody.
type pump struct {
	done    chan struct{}
	err     error
	failure any
}

func (f *fill) startPump(rec *recorder) *pump {
	p := &pump{done: make(chan struct{})}
	rd := &reader{}
	rec.setHead(nil)
	f.mu.Lock()
	f.readers = append(f.readers, rd)
	f.mu.Unlock()
	go func() { // ends with the body, the client or the fill; the handler's goroutine waits for it
		defer close(p.done)
		defer f.leave(rd)
		defer func() { p.failure = recover() }()
		rec.w.WriteHeader(rec.status)
		p.err = f.copyTo(f.client, rec.w, rd)
	}()
	return p
}

// leave takes note that a reader has left.
func (f *fill) leave(rd *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range f.readers {
		if r == rd {
			f.readers[i] = f.readers[len(f.readers)-1]
			f.readers = f.readers[:len(f.readers)-1]
			break
		}
	}
	f.moved()
	f.settle()
	f.endIfDeserted()
}

// copyTo writes the body to w as it grows. The error says why w did not get all of it.
func (f *fill) copyTo(ctx context.Context, w http.ResponseWriter, rd *reader) error {
	var piece *[]byte
	defer func() {
		if piece != nil {
			putBuffer(piece)
		}
	}()
	unsent := true // the head, or what is behind a buffer of w
	for {
		f.mu.Lock()
		if rd.pos < f.start {
			f.mu.Unlock()
			return errLagging
		}
		data, p, short, tail := f.body[rd.pos-f.start:], f.phase, f.short, f.tail
		if len(data) > 0 && f.refused() != "" {
			// A copy, so that a client which never takes it holds on to a piece and not to the window.
			if piece == nil {
				piece = getBuffer()
			}
			data = append((*piece)[:0], data[:min(len(data), pieceBytes)]...)
		}
		var change <-chan struct{}
		if len(data) == 0 && p == open && !unsent {
			change = f.change()
		}
		f.mu.Unlock()

		switch {
		case len(data) > 0:
			if _, err := w.Write(data); err != nil {
				return errAbandoned
			}
			f.mu.Lock()
			rd.pos += int64(len(data))
			f.moved()
			f.mu.Unlock()
			unsent = true
		case p == ended && !short && (!unsent || tail == nil):
			return nil // what is left in a buffer of w goes with the end; trailers need the head to be gone
		case unsent:
			// Who waits for more, or gets no more, shall have what there is, whether the handler flushed it or wrote more than
			// is held back.
			_ = http.NewResponseController(w).Flush()
			unsent = false
		case p == ended && !short:
			return nil
		case p != open:
			return errTruncated
		default:
			select {
			case <-change:
			case <-ctx.Done():
				return errAbandoned
			}
		}
	}
}
