//go:build linux

package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise"
)

// Work is the main function of a worker: it does what the driver says over in, answers over out, and returns when in
// ends. breakage, which may be nil, puts a fault into the store.
func Work(spec Spec, in io.Reader, out io.Writer, breakage func(Remote) Remote) error {
	w := &worker{link: newLink(in, out), asked: make(map[uint64]chan uint64), slow: spec.Slow}
	s, err := open(spec, &w.dialer, breakage)
	if err != nil {
		return err
	}
	w.cache, err = reprise.New(reprise.Config{
		Store: s, Namespace: "history", Logger: slog.New(slog.DiscardHandler),
		// On a machine that is busy with other tests, a store that is slow is not what is to be shown.
		Limits: reprise.Limits{StoreTimeout: time.Second},
	})
	if err != nil {
		return err
	}
	if err := w.wrap(); err != nil {
		return err
	}
	for {
		m, err := w.link.receive()
		if errors.Is(err, io.EOF) {
			return nil // the process ends, and whatever it does with it
		}
		if err != nil {
			return err
		}
		if m.Verb == askVersion {
			w.told(m)
			continue
		}
		go func() { // ends when it is done, or with the process
			if err := w.link.send(w.obey(m)); err != nil {
				panic(err) // the driver is gone
			}
		}()
	}
}

type worker struct {
	link     *link
	dialer   dialer
	cache    *reprise.Cache
	routes   [kinds]*reprise.Route
	handlers [kinds]http.Handler
	product  *reprise.Func[int32, body]
	report   *reprise.Func[int32, body]
	node     *reprise.Func[int32, body]
	slow     float64

	questions atomic.Uint64
	mu        sync.Mutex
	asked     map[uint64]chan uint64
}

const (
	host    = "https://shop.test"
	longTTL = time.Hour // longer than any two clocks are apart
	// Shorter than that: what one process has just stored is stale to another.
	shortTTL = 4 * time.Minute
	opTime   = 5 * time.Second
)

func (w *worker) wrap() error {
	byRequest := reprise.TagsFunc(func(r *http.Request) []string {
		t, err := thingOf(r)
		if err != nil {
			return nil
		}
		return tagsOf(t.Object)
	})
	options := [kinds][]reprise.RouteOption{
		page:     {reprise.TTL(longTTL), byRequest},
		varied:   {reprise.TTL(longTTL)},
		stream:   {reprise.TTL(longTTL)},
		stale:    {reprise.TTL(shortTTL), reprise.StaleWhileRevalidate(longTTL), reprise.StaleIfError(longTTL), byRequest},
		composed: {reprise.TTL(longTTL), byRequest},
	}
	for k, o := range options {
		if !catalog[k].route {
			continue
		}
		c := w.below(catalog[k].levels)
		route, err := c.NewRoute(o...)
		if err != nil {
			return err
		}
		w.routes[k], w.handlers[k] = route, route.Wrap(http.HandlerFunc(w.serve))
	}
	var err, err2, err3 error
	w.product, err = reprise.NewFunc(w.below(catalog[product].levels), "product", w.loadProduct, reprise.TTL(longTTL))
	w.report, err2 = reprise.NewFunc(w.below(catalog[report].levels), "report", w.loadReport, reprise.TTL(longTTL))
	w.node, err3 = reprise.NewFunc(w.below(catalog[node].levels), "node", w.loadNode, reprise.TTL(longTTL))
	return errors.Join(err, err2, err3)
}

func (w *worker) below(levels []string) *reprise.Cache {
	c := w.cache
	for _, l := range levels {
		c = c.Namespace(l)
	}
	return c
}

// fill is what every handler and loader begins with: it takes its time, and what it says is what the database had when it
// began.
func (w *worker) fill(t thing) part {
	p := part{Thing: t, Begin: now()}
	p.Version = w.ask(t)
	w.linger()
	return p
}

// linger takes the time of a fill: often none, else up to 50 ms, sometimes 2 s.
func (w *worker) linger() {
	switch f := rand.Float64(); { //nolint:gosec // no secret
	case f < w.slow/200:
		time.Sleep(2 * time.Second)
	case f < w.slow:
		f /= w.slow
		time.Sleep(time.Duration(f * f * float64(50*time.Millisecond)))
	}
}

func (w *worker) ask(t thing) uint64 {
	id, answer := w.questions.Add(1), make(chan uint64, 1)
	w.mu.Lock()
	w.asked[id] = answer
	w.mu.Unlock()
	if err := w.link.send(&message{ID: id, Verb: askVersion, Thing: t}); err != nil {
		panic(err) // the driver is gone
	}
	return <-answer
}

func (w *worker) told(m *message) {
	w.mu.Lock()
	answer := w.asked[m.ID]
	delete(w.asked, m.ID)
	w.mu.Unlock()
	answer <- m.Version
}

// body is what handlers write and functions return.
type body struct {
	Parts []part `json:"parts"`
}

func (w *worker) loadProduct(ctx context.Context, object int32) (body, error) {
	reprise.AddTags(ctx, tagsOf(object)...)
	return body{Parts: []part{w.fill(thing{Kind: product, Object: object})}}, nil
}

func (w *worker) loadReport(ctx context.Context, object int32) (body, error) {
	reprise.AddTags(ctx, tagsOf(object)...)
	b := body{Parts: []part{w.fill(thing{Kind: report, Object: object})}}
	for _, other := range []int32{object, object / 2} {
		p, err := w.product.Get(ctx, other)
		if err != nil {
			return b, err
		}
		b.Parts = append(b.Parts, p.Parts...)
	}
	return b, nil
}

func (w *worker) loadNode(ctx context.Context, object int32) (body, error) {
	reprise.AddTags(ctx, tagsOf(object)...)
	b := body{Parts: []part{w.fill(thing{Kind: node, Object: object})}}
	for _, other := range below(object) {
		p, err := w.node.Get(ctx, other)
		if err != nil {
			return b, err
		}
		b.Parts = append(b.Parts, p.Parts...)
	}
	return b, nil
}

// function returns the one of a kind that is no route, else nil.
func (w *worker) function(k kind) *reprise.Func[int32, body] {
	switch k {
	case product:
		return w.product
	case report:
		return w.report
	case node:
		return w.node
	default:
		return nil
	}
}

const streamBytes = 40 << 10 // beyond what is held back

// serve is the handler of all kinds.
func (w *worker) serve(rw http.ResponseWriter, r *http.Request) {
	t, err := thingOf(r)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	b := body{Parts: []part{w.fill(t)}}
	if t.Kind == stale && rand.IntN(20) == 0 { //nolint:gosec // no secret
		http.Error(rw, "down", http.StatusInternalServerError)
		return
	}
	if t.Kind == varied {
		rw.Header().Set("Vary", "Accept-Language")
		reprise.AddTags(r.Context(), tagsOf(t.Object)...)
	}
	if t.Kind == composed {
		whole, err := w.report.Get(r.Context(), t.Object)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		one, err := w.product.Get(r.Context(), t.Object/3)
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		b.Parts = append(append(b.Parts, whole.Parts...), one.Parts...)
	}
	text, err := json.Marshal(b)
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "application/json")
	_, _ = rw.Write(text)
	_, _ = io.WriteString(rw, strings.Repeat(" ", 1000)) // so that it takes some room
	if t.Kind == stream {
		_, _ = io.WriteString(rw, strings.Repeat(" ", streamBytes))
		w.linger()
		reprise.AddTags(r.Context(), tagsOf(t.Object)...)
	}
}

// request returns the one that asks for t.
func (t thing) request(ctx context.Context) *http.Request {
	target := fmt.Sprintf("%s/%s/%d", host, catalog[t.Kind].name, t.Object)
	if t.Kind == page {
		target += "?v=" + strconv.Itoa(int(t.Variant))
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if t.Kind == varied {
		r.Header.Set("Accept-Language", [...]string{"en", "de"}[t.Variant])
	}
	return r
}

// thingOf is the reverse of request.
func thingOf(r *http.Request) (thing, error) {
	name, number, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	for k := range kinds {
		if catalog[k].name != name {
			continue
		}
		object, err := strconv.ParseInt(number, 10, 32)
		t := thing{Kind: k, Object: int32(object)}
		if r.URL.RawQuery == "v=1" || r.Header.Get("Accept-Language") == "de" {
			t.Variant = 1
		}
		return t, err
	}
	return thing{}, fmt.Errorf("history: no handler for %s", r.URL)
}

// obey does what the driver says and returns what came of it.
func (w *worker) obey(m *message) *message {
	ctx, cancel := context.WithTimeout(context.Background(), opTime)
	defer cancel()
	reply := &message{ID: m.ID}
	var err error
	switch m.Verb {
	case doRead:
		reply.Answer, reply.Garbled, err = w.read(m.Thing)
	case doDropKey:
		err = w.dropKey(ctx, m.Thing)
	case doDropTag:
		err = w.cache.InvalidateTags(ctx, m.Text)
	case doDropURL:
		target := m.Thing.request(ctx).URL
		if target.RawQuery = ""; m.Text == "path" {
			err = w.cache.InvalidateURLs(ctx, target.Path)
		} else {
			err = w.cache.InvalidateURLs(ctx, target.String())
		}
	case doDropNamespace:
		err = w.below(m.Levels).Clear(ctx)
	case doReset:
		err = w.dialer.reset()
	case doCount:
		s := w.cache.Stats()
		reply.Hits = s.Hits + s.Stales + s.Collapsed
	default:
		err = fmt.Errorf("history: unknown verb %d", m.Verb)
	}
	if err != nil {
		reply.Err = err.Error()
	}
	return reply
}

func (w *worker) dropKey(ctx context.Context, t thing) error {
	if f := w.function(t.Kind); f != nil {
		_, err := f.Delete(ctx, t.Object)
		return err
	}
	key, err := w.routes[t.Kind].Key(t.request(ctx))
	if err != nil {
		return err
	}
	_, err = w.cache.Delete(ctx, key)
	return err
}

// read asks for t. garbled says that the answer was whole and made no sense.
func (w *worker) read(t thing) (parts []part, garbled bool, err error) {
	defer func() {
		if v := recover(); v != nil { // as net/http would: the client sees that its answer is cut off
			err = fmt.Errorf("history: aborted: %v", v)
		}
	}()
	if f := w.function(t.Kind); f != nil {
		b, err := f.Get(context.Background(), t.Object)
		return b.Parts, false, err
	}
	rec := httptest.NewRecorder()
	w.handlers[t.Kind].ServeHTTP(rec, t.request(context.Background()))
	if rec.Code != http.StatusOK {
		return nil, false, fmt.Errorf("history: status %d", rec.Code)
	}
	var b body
	if err := json.Unmarshal(rec.Body.Bytes(), &b); err != nil || len(b.Parts) == 0 {
		return nil, true, fmt.Errorf("history: an answer of %d bytes: %w", rec.Body.Len(), err)
	}
	if first := b.Parts[0].Thing; first != t {
		return b.Parts, true, fmt.Errorf("history: asked for %v, got %v", t, first)
	}
	return b.Parts, false, nil
}
