package main

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"
)

// reusable is a ResponseWriter that costs nothing between requests.
type reusable struct {
	h      http.Header
	status int
	n      int
}

func newReusable() *reusable { return &reusable{h: make(http.Header)} }

func (w *reusable) Header() http.Header { return w.h }
func (w *reusable) WriteHeader(s int)   { w.status = s }
func (w *reusable) Write(p []byte) (int, error) {
	w.n += len(p)
	return len(p), nil
}

func (w *reusable) reset() {
	clear(w.h)
	w.status, w.n = 0, 0
}

// answer is what a handler once said.
type answer struct {
	status int
	fields [][2]string // one line each
	body   []byte
}

// record asks h and keeps what it says.
func record(h http.Handler, r *http.Request) answer {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	a := answer{status: w.Code, body: w.Body.Bytes()}
	for name, lines := range w.Header() {
		for _, line := range lines {
			a.fields = append(a.fields, [2]string{name, line})
		}
	}
	return a
}

// bare is a handler that sets every field of a and writes the same body: what there would be without a cache if the
// answer were known.
func bare(a answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		for _, f := range a.fields {
			h.Set(f[0], f[1])
		}
		w.WriteHeader(a.status)
		if len(a.body) > 0 {
			_, _ = w.Write(a.body)
		}
	})
}

// origin is a handler with a body and its type, as applications have.
func origin(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	}
}

func text(size int) []byte { return []byte(strings.Repeat("x", size)) }

// get is a request as net/http's server makes it.
func get(target string, fields ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = "shop.test"
	r.Header = http.Header{"User-Agent": {"bench"}, "Accept": {"*/*"}, "Accept-Encoding": {"gzip"}}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	return r
}

// targets are the URLs that are asked for. All have the same length, so that all entries do.
func targets(from, n int) []string {
	ts := make([]string, n)
	for i := range ts {
		ts[i] = target(from + i)
	}
	return ts
}

func target(i int) string {
	id := strconv.Itoa(i)
	return "/products/" + "000000000"[:9-len(id)] + id + "?lang=en"
}

// order is in which order keys are asked for: the n most popular of a Zipf distribution.
func order(n int) []int {
	const length = 1 << 14 // a power of two
	order := make([]int, length)
	if n == 1 {
		return order
	}
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(n-1))
	for i := range order {
		order[i] = int(zipf.Uint64())
	}
	return order
}

// asker asks the same handler for the i-th of its URLs, as a server does, but without a network. It is for one goroutine.
type asker struct {
	ask func(i int)
	got func() (status, bytes int) // of the last answer
}

// said is what net/http's server makes of it.
func (w *reusable) said() (status, bytes int) {
	if w.status == 0 {
		return http.StatusOK, w.n
	}
	return w.status, w.n
}

// requests are GETs of the targets. Contenders take turns, so those of a contest can share them; workers cannot, for some
// peers write to a request.
func requests(targets []string, fields ...string) []*http.Request {
	return each(targets, func(t string) *http.Request { return get(t, fields...) })
}

// askHTTP makes an asker of a net/http handler.
func askHTTP(h http.Handler, rs []*http.Request) asker {
	w := newReusable()
	return asker{
		ask: func(i int) {
			w.reset()
			h.ServeHTTP(w, rs[i])
		},
		got: w.said,
	}
}

// fastRequests are the same for fasthttp.
func fastRequests(targets []string) []*fasthttp.RequestCtx {
	return each(targets, func(t string) *fasthttp.RequestCtx {
		c := new(fasthttp.RequestCtx)
		c.Init(&fasthttp.Request{}, nil, nil)
		c.Request.SetRequestURI(t)
		c.Request.Header.SetHost("shop.test")
		c.Request.Header.SetUserAgent("bench")
		c.Request.Header.Set("Accept", "*/*")
		c.Request.Header.Set("Accept-Encoding", "gzip")
		return c
	})
}

// askFast makes an asker of a fasthttp handler.
func askFast(h fasthttp.RequestHandler, cs []*fasthttp.RequestCtx) asker {
	var last *fasthttp.RequestCtx
	return asker{
		ask: func(i int) {
			last = cs[i]
			last.Response.Reset()
			h(last)
		},
		got: func() (int, int) { return last.Response.StatusCode(), len(last.Response.Body()) },
	}
}

// askNew asks h for URLs that nobody has asked for, in one request whose URL changes. It makes the URLs beforehand.
type askNew struct {
	h    http.Handler
	w    *reusable
	r    *http.Request
	next int      // number of the next URL to make
	urls []string // made and not yet asked for
}

func newAskNew(h http.Handler) *askNew {
	return &askNew{h: h, w: newReusable(), r: get(target(0))}
}

func (a *askNew) prepare(n int) {
	a.urls = targets(a.next, n)
	a.next += n
}

func (a *askNew) run(n int) {
	for _, t := range a.urls[:n] {
		a.one(t)
	}
	a.urls = a.urls[n:]
}

// many prepares and asks, a part at a time so that the URLs take little memory.
func (a *askNew) many(n int) {
	for n > 0 {
		part := min(n, 10_000)
		a.prepare(part)
		a.run(part)
		n -= part
	}
}

func (a *askNew) one(target string) {
	a.w.reset()
	*a.r.URL = url.URL{Path: target[:len(target)-len("?lang=en")], RawQuery: "lang=en"}
	a.r.RequestURI = target
	a.h.ServeHTTP(a.w, a.r)
}

// missing is h with a call of miss before each run.
func missing(miss func(), h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		miss()
		h.ServeHTTP(w, r)
	})
}
