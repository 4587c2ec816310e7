package reprise

import (
	"context"
	"net/http"

	"github.com/reprise-go/reprise/internal/rfc9111"
	"github.com/reprise-go/reprise/internal/wire"
	"github.com/reprise-go/reprise/store"
)

// What answers to HEAD and POST say of what is stored for GET.

// updateByHead updates the stored answer to GET by one to HEAD (RFC 9111 §4.3.5): it is freshened where what both say of
// the content is the same, and else is stale for certain. Without Standard a HEAD that says nothing of the content says nothing of
// what is stored: handlers that answer HEAD by fewer fields than GET are many.
func (f *fill) updateByHead(rec *recorder) {
	if f.old == nil || rec.status != http.StatusOK || f.old.Status != http.StatusOK {
		return
	}
	own, stored := rec.own(), f.old.Header()
	if own["Etag"] == nil && own["Last-Modified"] == nil && !f.rt.standard {
		return
	}
	if f.old.Flags&wire.OriginTag == 0 {
		delete(stored, "Etag")
	}
	if !rfc9111.SameHead(stored, own) {
		f.forget()
		return
	}
	g := f.q.prepare(f.next, &found{entry: f.old, names: f.names, number: f.number, incarnation: f.incarnation})
	g.head, g.began = false, f.began
	g.standIn(f, own)
	g.freshen(&g.recorder)
}

// standIn makes f, which runs no handler, a fill whose handler has answered by these fields in another's run.
func (f *fill) standIn(run *fill, own http.Header) {
	f.ctx, f.cancel = run.ctx, func(error) {}
	f.scope.said = run.scope.close()
	f.recorder = recorder{f: f, status: http.StatusOK, length: -1, scratch: &scratch{head: own}}
}

// forget removes what the fill found stored.
func (f *fill) forget() {
	b, key := &f.engine.store, []string{f.old.Key()}
	if b.local != nil {
		_ = b.remove(context.Background(), key) // it is in this process, and cannot fail
		return
	}
	if !f.engine.begin() {
		return // closed
	}
	go func() { // ends with the store's deadline
		defer f.engine.work.Done()
		ctx, cancel := b.writeContext()
		defer cancel()
		if err := b.remove(ctx, key); err != nil {
			f.failedWrite(ReasonStoreFailed, err)
		}
	}()
}

// fence takes the store's number before the handler of a POST runs, whose answer may be kept.
func (f *fill) fence() {
	b := &f.engine.store
	switch {
	case b.local != nil:
		f.number = b.seq.Newest()
	case b.numbers != nil:
		b.within(f.ctx, &f.q.asking, func(ctx context.Context) {
			_ = b.do(ctx, "marks", func(ctx context.Context) error { // without a number nothing is kept
				m, err := b.numbers.Marks(ctx, string(nameNamespace)+f.rt.namespace)
				f.number, f.incarnation = m.Newest, m.Incarnation
				return err
			})
		})
	}
}

// posted returns a fill for the answer to a POST that says it is what a GET of its own URL would get, and for how long (RFC 9110
// §9.3.3); nil for any other.
func (f *fill) posted(rec *recorder, body []byte) *fill {
	r := f.q.r
	where := rec.head["Content-Location"]
	if !f.rt.standard || r.Method != http.MethodPost || rec.status != http.StatusOK || len(where) != 1 ||
		f.engine.store.blind(&found{incarnation: f.incarnation}) || !rfc9111.SameURL(r.URL, r.Host, where[0]) {
		return nil
	}
	own := rec.own()
	resp := rfc9111.Parse(rec.status, own, f.rt.targeted)
	if resp.Storable(rfc9111.Request{Method: http.MethodPost}, rfc9111.Rules{Standard: true, SetCookie: true}) != "" {
		return nil
	}
	get := r.Clone(f.ctx)
	get.Method, get.Body, get.ContentLength, get.TransferEncoding = http.MethodGet, http.NoBody, 0, nil
	q := getQuery()
	defer q.release()
	q.now = f.q.now
	if why := q.plan(f.rt, get); why != "" {
		return nil
	}
	g := q.prepare(f.next, &found{number: f.number, incarnation: f.incarnation})
	g.standIn(f, own)
	g.recorder.n = int64(len(body))
	j := g.judge(rec.status, own, g.recorder.n, g.scope.sofar())
	if j.reason != "" {
		return nil
	}
	g.decide(j)
	var bad Reason
	if g.tags, bad = g.tagsOf(g.scope.sofar(), own); bad != "" {
		return nil
	}
	return g
}

// raiseAfter raises ns, and reports whether nothing that names the answer of f was raised since the number that f has: then f
// gets the number of this invalidation, which it is not subject to.
func (f *fill) raiseAfter(ctx context.Context, ns []string) (alone bool, err error) {
	var mine names
	eachName(f.base, f.url, f.path, mine.add)
	for _, tag := range f.tags {
		mine.add(nameTag, tag)
	}
	b := &f.engine.store
	// Between reading and raising nobody else raises: the marks that this sets would hide theirs. In other processes somebody may; then the
	// numbers are not consecutive.
	b.raising.Lock()
	defer b.raising.Unlock()
	if b.numbers == nil {
		alone = eachName(f.base, f.url, f.path, func(kind byte, name string) bool { return b.seq.Mark(kind, name) <= f.number })
		for _, tag := range f.tags {
			alone = alone && b.seq.Mark(nameTag, tag) <= f.number
		}
		f.number = b.seq.Raise(ns...)
		return alone, nil
	}
	var m store.Marks
	if err := b.do(ctx, "marks", func(ctx context.Context) (err error) {
		m, err = b.numbers.Marks(ctx, mine...)
		return err
	}); err == nil {
		usable, _ := mine.verdict(m, f.number)
		alone = usable && m.Incarnation == f.incarnation
	}
	n, err := b.raiseRemote(ctx, ns)
	alone = alone && err == nil && n == m.Newest+1
	f.number = n
	return alone, err
}
