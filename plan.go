package reprise

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/internal/rfc9111"
)

// query is what the cache makes of one request before it looks anything up. It is pooled: what outlives the request
// copies what it needs.
type query struct {
	rt    *Route
	r     *http.Request
	now   time.Time
	start time.Time // when the request was seen; now is later where it had to wait

	builder    KeyBuilder
	key        []byte // base key
	base       string // the same, once it is needed
	found      found
	asking     time.Duration // what the store has taken so far
	variant    []byte        // the key of the variant, where one was looked up
	chunk      chunk
	why        Reason // why the request was forwarded
	number     uint64 // the store's newest at the look-up
	unkept     Reason // why what is served is not stored
	failure    error  // for the event
	identified Reason // the credentials that keep the request from shared answers; "" is none
	cc         header.CacheControl
	directives bool // cc says something
	head       bool
	precise    bool // the request has a precondition or a range that the cache answers
	own        bool // the request has a precondition that only the handler can answer (RFC 9111 §4.3.2)
	spanned    bool // span is the one range that the request asks for, and this route keeps parts
	part       bool // the handler is to be shown it
	span       header.Range
}

var queries = sync.Pool{New: func() any { return new(query) }}

func getQuery() *query { return queries.Get().(*query) }

func (q *query) release() {
	const keep = 4 << 10 // bytes of a buffer that is worth keeping
	key, variant := q.builder.buf, q.variant
	if cap(key) > keep {
		key = nil
	}
	if cap(variant) > keep {
		variant = nil
	}
	*q = query{builder: KeyBuilder{buf: key[:0]}, variant: variant[:0], chunk: q.chunk}
	queries.Put(q)
}

// plan says how r is to be treated; a reason means that it bypasses the cache.
func (q *query) plan(rt *Route, r *http.Request) Reason {
	q.rt, q.r = rt, r
	if rt.skipIf != nil && q.skips() {
		return ReasonSkipped
	}
	if !slices.Contains(rt.methods, r.Method) {
		return ReasonMethod
	}
	q.head = r.Method == http.MethodHead
	safe := q.head || r.Method == http.MethodGet
	if safe && (r.ContentLength != 0 || len(r.TransferEncoding) > 0) {
		return ReasonRequestBody // RFC 9110 §9.3.1: it has no meaning, so nobody knows what it changes
	}
	h := r.Header
	if h["Upgrade"] != nil && upgrades(h) {
		return ReasonUpgrade
	}
	if s := r.URL.Scheme; s != "" && s != "http" && s != "https" {
		return ReasonRequestTarget
	}
	if !rt.ignoreReqCC && (h["Cache-Control"] != nil || h["Pragma"] != nil) {
		q.cc, q.directives = rfc9111.RequestDirectives(h), true
		if q.cc.NoStore {
			return ReasonRequestStore // RFC 9111 §5.2.1.5
		}
	}
	if reason := q.makeKey(safe); reason != "" {
		return reason
	}
	q.identified = q.identify()
	q.precise = h["If-None-Match"] != nil || h["If-Modified-Since"] != nil || h["Range"] != nil || h["If-Range"] != nil
	q.own = h["If-Match"] != nil || h["If-Unmodified-Since"] != nil
	if q.precise && !safe && r.Method != methodQuery {
		q.dropConditions()
	} else if q.precise {
		q.planRange()
	}
	return ""
}

// dropConditions takes off what has no meaning with a method that is neither GET, HEAD nor QUERY (RFC 9110 §13.1.3, §14.2), so that no
// handler gives it one. If-None-Match has one, which only the handler knows (§13.1.2).
func (q *query) dropConditions() {
	r := *q.r
	r.Header = r.Header.Clone()
	for _, name := range [...]string{"If-Modified-Since", "Range", "If-Range"} {
		delete(r.Header, name)
	}
	q.r, q.precise = &r, false
	q.own = q.own || r.Header["If-None-Match"] != nil
}

func upgrades(h http.Header) bool {
	for token := range header.List(h["Connection"]) {
		if strings.EqualFold(token, "upgrade") {
			return true
		}
	}
	return false
}

// makeKey makes the base key.
func (q *query) makeKey(safe bool) Reason {
	rt, b := q.rt, &q.builder
	*b = KeyBuilder{buf: b.buf[:0], route: rt}
	if safe {
		b.buf = append(b.buf, rt.prefix...)
	} else {
		b.buf = append(b.buf, rt.prefix[:len(rt.prefix)-len("GET")]...)
		b.buf = appendEscaped(b.buf, q.r.Method)
	}
	if rt.key == nil {
		b.defaultParts(q.r)
	} else if err := q.ownKey(); err != nil {
		b.err = err
	}
	if b.err != nil {
		return ReasonKeyFailed
	}
	for _, name := range rt.vary {
		b.part(partVary)
		b.field(name, q.r.Header[name], q.r.Host)
	}
	for _, name := range rt.cookies {
		b.part(partCookie)
		b.buf = appendEscaped(b.buf, name)
		if values := cookieValues(q.r.Header, name); values != nil {
			b.buf = append(b.buf, '=')
			b.buf = appendDigest(b.buf, values...)
		}
	}
	if rt.perUser != nil {
		id, err := q.user()
		if err != nil || id == "" {
			b.err = err
			return ReasonNoUser
		}
		b.part(partUser)
		b.buf = appendDigest(b.buf, id)
	}
	if !safe {
		if reason := q.addBody(); reason != "" {
			return reason
		}
	}
	b.length = len(b.buf)
	b.buf = finishKey(b.buf)
	q.key = b.buf
	return ""
}

// ownKey runs the route's key function.
func (q *query) ownKey() (err error) {
	b := &q.builder
	b.buf = append(append(b.buf, '|'), partOwn...)
	defer panicked("Key", &err)
	q.rt.key(b, q.r)
	if b.err == nil && b.parts == 0 {
		return errors.New("reprise: the key function added nothing")
	}
	return b.err
}

// panicked makes a panic of an option's function an error. Deferred.
func panicked(option string, err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("reprise: the function of %s panicked: %v", option, v)
	}
}

// skips reports whether SkipIf takes the request out, which a panic does too.
func (q *query) skips() (skip bool) {
	defer func() { skip = skip || q.builder.err != nil }()
	defer panicked("SkipIf", &q.builder.err)
	return q.rt.skipIf(q.r)
}

// user returns what PerUser says.
func (q *query) user() (id string, err error) {
	defer panicked("PerUser", &err)
	return q.rt.perUser(q.r)
}

// cookieValues returns the values of a cookie as the client spelled them.
func cookieValues(h http.Header, name string) (values []string) {
	for _, line := range h["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			if n, v, _ := strings.Cut(pair, "="); textproto.TrimString(n) == name {
				values = append(values, textproto.TrimString(v))
			}
		}
	}
	return values
}

// addBody adds a digest of the request's body, with what says how to read it, and gives the handler the body anew.
func (q *query) addBody() Reason {
	r := q.r
	if r.ContentLength > maxRequestBody {
		return ReasonRequestBody
	}
	var body []byte
	if r.Body != nil {
		var err error
		body, err = io.ReadAll(io.LimitReader(r.Body, maxRequestBody+1))
		again := *r
		again.Body = &replayed{Reader: io.MultiReader(bytes.NewReader(body), errorReader{err}, r.Body), Closer: r.Body}
		q.r = &again
		if err != nil || len(body) > maxRequestBody {
			return ReasonRequestBody
		}
	}
	h := sha256.New()
	for _, name := range []string{"Content-Type", "Content-Encoding"} {
		_, _ = fmt.Fprintf(h, "%q", r.Header[name])
	}
	h.Write(body)
	var sum [sha256.Size]byte
	q.builder.part(partBody)
	q.builder.buf = hex.AppendEncode(q.builder.buf, h.Sum(sum[:0]))
	return ""
}

// replayed is a request body of which the cache has read the beginning.
type replayed struct {
	io.Reader
	io.Closer
}

// errorReader fails where the body did; a nil error is the end of what was read.
type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) {
	if e.err == nil {
		return 0, io.EOF
	}
	return 0, e.err
}

// identify names the credentials that keep a request from what is shared (DESIGN: identified requests). Of several it names those that
// ask for more: what lets a cookie's answer be shared lets Authorization's be shared too, and not the other way round.
func (q *query) identify() Reason {
	rt, r := q.rt, q.r
	if rt.public || rt.perUser != nil {
		return ""
	}
	if !rt.standard || rt.byCookie { // RFC 9111 §3.5 knows Authorization alone
		if r.Header["Cookie"] != nil && !q.builder.cookie && !rt.cookiesSet {
			return ReasonCookie
		}
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			return ReasonClientCert
		}
	}
	if r.Header["Authorization"] != nil && !q.builder.authorization {
		return ReasonAuthorization
	}
	return ""
}

// forwarded returns the request that the handler of a fill gets: what is not in the key it is not shown, and what is in the
// key in one of several spellings it is shown in that one. Where strip says so, it is not shown either what would make the
// answer one for this client alone.
func (q *query) forwarded(ctx context.Context, strip bool) *http.Request {
	rt := q.rt
	r := q.r.WithContext(ctx) // a shallow copy
	strip = strip && q.precise
	connection := nominates(r.Header)
	if rt.public || rt.cookiesSet || strip || connection {
		r.Header = r.Header.Clone()
	}
	if connection {
		delete(r.Header, "Connection") // a proxy behind would take away what is in the key
	}
	if strip {
		for _, name := range [...]string{"If-None-Match", "If-Modified-Since", "Range", "If-Range"} {
			delete(r.Header, name)
		}
	}
	if rt.public {
		delete(r.Header, "Authorization")
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			state := *r.TLS
			state.PeerCertificates, state.VerifiedChains = nil, nil
			r.TLS = &state
		}
	}
	if rt.cookiesSet {
		keepCookies(r.Header, rt.cookies)
	} else if rt.public {
		delete(r.Header, "Cookie")
	}
	if host := q.builder.host; host != "" {
		r.Host = host
	}
	u := r.URL
	if query := rt.query.forward(u.RawQuery); query != u.RawQuery || u.ForceQuery || u.Scheme != "" || u.Host != "" {
		changed := *u
		changed.Scheme, changed.Host, changed.User = "", "", nil
		changed.RawQuery, changed.ForceQuery = query, false
		r.URL = &changed
		if r.RequestURI != "" {
			line, _, _ := strings.Cut(originForm(r.RequestURI), "?")
			if query != "" {
				line += "?" + query
			}
			r.RequestURI = line
		}
	}
	return r
}

// nominates reports whether Connection names fields, as only an attacker or a proxy does.
func nominates(h http.Header) bool {
	if h["Connection"] == nil {
		return false
	}
	for token := range header.List(h["Connection"]) {
		if !strings.EqualFold(token, "close") && !strings.EqualFold(token, "keep-alive") {
			return true
		}
	}
	return false
}

// keepCookies hides every cookie from h that is not named, and leaves the others in the order of names.
func keepCookies(h http.Header, names []string) {
	var kept []string
	for _, name := range names {
		for _, value := range cookieValues(h, name) {
			kept = append(kept, name+"="+value)
		}
	}
	delete(h, "Cookie")
	if len(kept) > 0 {
		h["Cookie"] = []string{strings.Join(kept, "; ")}
	}
}

// baseKey returns the base key as a string, made once.
func (q *query) baseKey() string {
	if q.base == "" {
		q.base = string(q.key)
	}
	return q.base
}

// urlInKey returns where host and path stand in the key, if they do as an invalidation names them.
func (q *query) urlInKey() (from, to int, ok bool) {
	b := &q.builder
	return b.url, b.end, b.url > 0 && len(q.key) == b.length && isNormalPath(b.path)
}

// names returns what an invalidation can name the answer by: host and path, and the path alone. Where they stand in the
// key as they are, they are cut from it.
func (q *query) names() (url, path string) {
	if from, to, ok := q.urlInKey(); ok {
		url = q.baseKey()[from:to]
		return url, url[strings.IndexByte(url, '|')+1:]
	}
	host, path := q.builder.host, q.builder.path
	if path == "" { // the key is the application's own, and so the same on every host
		path, _ = requestPath(q.r)
	}
	path = string(appendEscaped(nil, normalPath(path)))
	return string(appendEscaped(nil, host)) + "|" + path, path
}

func (q *query) directivesOrNil() *header.CacheControl {
	if q.directives {
		return &q.cc
	}
	return nil
}
