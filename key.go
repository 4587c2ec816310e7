package reprise

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/store"
)

// A key reads
//
//	reprise:shop|GET|https://shop.test|/products/42|lang=en
//	namespace   |kind|scheme and host |path        |query, then more
//
// Parts are joined by '|'. A part that is not plain text begins with '~' and a letter that says what it is. Neither byte, nor '^', stands
// in a text for itself: it is written as '^' and two hexadecimal digits, and so is all that is not printable ASCII.
// So two lists of parts never make one key. A key of more than 200 bytes ends in "^^", which no part can contain,
// and its SHA-256.
const (
	partVary    = "~v:" // a declared field
	partVariant = "~w:" // a learned one
	partRaw     = "~r:" // a query that does not parse
	partCookie  = "~c:" // a digest
	partUser    = "~u:" // a digest
	partBody    = "~b:" // a digest
	partInt     = "~i:"
	partBool    = "~t:"
	partHeader  = "~h:"
	partQuery   = "~q:"
	partFunc    = "~f:" // kind: a function's result
	partValue   = "~a"  // kind: an application's value
	partOwn     = "~k"  // what follows is not a default key
	pathChanged = "~>"  // between the path of the request line and what an outer handler made of it
	hashMarker  = "^^"
)

// KeyFunc puts into b what the answer to r depends on. It must not change r.
type KeyFunc func(b *KeyBuilder, r *http.Request)

// KeyBuilder joins the parts of a key injectively: two different lists of parts never make the same key. It is not
// safe for concurrent use, and is valid only during the call it was made for.
type KeyBuilder struct {
	buf   []byte
	route *Route // for Default
	parts int
	err   error

	authorization, cookie bool // the key covers these fields

	host, path string // of a default key
	search     string // the rule of No-Vary-Search that it was made by
	url, end   int    // where host|path stands in buf, for what invalidation names
	length     int    // of buf before it was shortened
}

// Text adds a text. "a" and "b" are not "ab".
func (b *KeyBuilder) Text(s string) {
	b.part("")
	b.buf = appendEscaped(b.buf, s)
}

// Int adds a number. It differs from its text.
func (b *KeyBuilder) Int(n int64) {
	b.part(partInt)
	b.buf = strconv.AppendInt(b.buf, n, 10)
}

// Bool adds a truth value.
func (b *KeyBuilder) Bool(v bool) {
	b.part(partBool)
	b.buf = strconv.AppendBool(b.buf, v)
}

// Header adds request fields, each with all its lines; an absent one differs from an empty one. Authorization and
// Cookie enter as a digest, and a request that carries them is then no longer an identified one.
func (b *KeyBuilder) Header(r *http.Request, names ...string) {
	for _, name := range names {
		name = http.CanonicalHeaderKey(name)
		b.part(partHeader)
		b.field(name, r.Header[name], r.Host)
	}
}

// Query adds query parameters, each with all its values in their order; an absent one differs from an empty one. A
// query that does not parse is added as it stands.
func (b *KeyBuilder) Query(r *http.Request, names ...string) {
	b.part(partQuery)
	q := querySettings{allowSet: true, allow: names}
	b.buf = q.append(b.buf, r.URL.RawQuery)
}

// Default adds what the key is made of without the Key option: scheme and host, path and query.
func (b *KeyBuilder) Default(r *http.Request) {
	if b.route == nil {
		b.Fail(errors.New("reprise: KeyBuilder.Default outside a route"))
		return
	}
	b.defaultParts(r)
}

// Fail gives up: the request bypasses the cache, and an event carries err.
func (b *KeyBuilder) Fail(err error) {
	if b.err == nil && err != nil {
		b.err = err
	}
}

// KeyOf makes one key of parts, for [Cache.Delete], [Get] and [Set]. A function that fails or adds nothing makes "",
// which they refuse.
func KeyOf(fn func(b *KeyBuilder)) string {
	b := KeyBuilder{buf: []byte(partOwn)}
	fn(&b)
	if b.err != nil || b.parts == 0 {
		return ""
	}
	return string(finishKey(b.buf))
}

// applicationKey is the form of an application's own key: that of KeyOf, or of one text.
func applicationKey(key string) string {
	if strings.HasPrefix(key, partOwn+"|") && isKeyText(key) {
		return key
	}
	return string(appendEscaped([]byte(partOwn+"|"), key))
}

func isKeyText(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func (b *KeyBuilder) part(marker string) {
	b.parts++
	b.buf = append(b.buf, '|')
	b.buf = append(b.buf, marker...)
}

// field adds a field's name and normalised value; credentials as a digest.
func (b *KeyBuilder) field(name string, lines []string, host string) {
	b.buf = appendEscaped(b.buf, name)
	if name == "Host" && lines == nil && host != "" {
		lines = []string{host} // net/http keeps it apart from the other fields
	}
	if lines == nil {
		return
	}
	b.buf = append(b.buf, '=')
	switch name {
	case "Authorization", "Proxy-Authorization":
		b.authorization = b.authorization || name == "Authorization"
		b.buf = appendDigest(b.buf, lines...)
	case "Cookie":
		b.cookie = true
		b.buf = appendDigest(b.buf, lines...)
	default:
		n := len(b.buf)
		b.buf = escapeFrom(header.AppendNormal(b.buf, name, lines), n)
	}
}

// defaultParts adds origin, path and query.
func (b *KeyBuilder) defaultParts(r *http.Request) {
	rt := b.route
	b.part("")
	if rt.anyHost {
		b.buf = append(b.buf, '*')
	} else {
		scheme := rt.schemeOf(r)
		if scheme == "" {
			b.Fail(fmt.Errorf("reprise: the request's scheme is neither http nor https"))
			return
		}
		b.buf = append(b.buf, scheme...)
		b.buf = append(b.buf, "://"...)
		b.host = canonicalHost(r.Host, scheme)
		b.url = len(b.buf)
		b.buf = appendEscaped(b.buf, b.host)
	}

	line, changed := requestPath(r)
	b.part("")
	b.buf = appendEscaped(b.buf, line)
	b.path, b.end = line, len(b.buf)
	if changed != "" {
		// Who stripped a prefix may have more than one on the same handler; who answers by the request line sees that.
		b.buf = append(b.buf, pathChanged...)
		b.buf = appendEscaped(b.buf, changed)
	}

	if b.searchParts(r) {
		return
	}
	if r.URL.RawQuery != "" || len(rt.query.defaults) > 0 {
		b.part("")
		n := len(b.buf)
		b.buf = rt.query.append(b.buf, r.URL.RawQuery)
		if len(b.buf) == n {
			b.buf = b.buf[:n-1] // nothing of the query counts
			b.parts--
		}
	}
}

// schemeOf returns "http" or "https", "" for anything else that Scheme says.
func (rt *Route) schemeOf(r *http.Request) (scheme string) {
	if rt.scheme != nil {
		defer func() { _ = recover() }() // a function that panics has not said which
		switch s := rt.scheme(r); s {
		case "http", "https":
			return s
		default:
			return ""
		}
	}
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// requestPath returns the escaped path of the request line and, where an outer handler changed it, what is there now.
func requestPath(r *http.Request) (line, changed string) {
	line = originForm(r.RequestURI)
	if i := strings.IndexByte(line, '?'); i >= 0 {
		line = line[:i]
	}
	if !strings.HasPrefix(line, "/") {
		return orSlash(r.URL.EscapedPath()), "" // a request that came from no connection
	}
	switch r.URL.RawPath {
	case "":
		if r.URL.Path == line {
			return line, ""
		}
	case line: // net/url would escape it otherwise; an outer handler may have changed Path alone
		if path, err := url.PathUnescape(line); err == nil && path == r.URL.Path {
			return line, ""
		}
	}
	if now := r.URL.EscapedPath(); now != line {
		return line, orSlash(now)
	}
	return line, ""
}

// originForm returns a request target without scheme and authority (RFC 9112 §3.2.1): where a target in absolute form is
// meant, net/http has the host from it already.
func originForm(target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	_, rest, ok := strings.Cut(target, "://")
	if !ok {
		return target
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	}
	return rest[i:]
}

func orSlash(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// canonicalHost returns host in lower case and without the scheme's own port.
func canonicalHost(host, scheme string) string {
	switch {
	case scheme == "http":
		host = strings.TrimSuffix(host, ":80")
	case scheme == "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return lowerASCII(host)
}

// lowerASCII leaves alone what strings.ToLower would fold into ASCII, such as the sign for kelvin.
func lowerASCII(s string) string {
	isUpper := func(c byte) bool { return 'A' <= c && c <= 'Z' }
	i := 0
	for i < len(s) && !isUpper(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		if isUpper(b[i]) {
			b[i] += 'a' - 'A'
		}
	}
	return string(b)
}

// normalPath returns an escaped path with its percent-encodings in one form, so that an invalidation of /caf%C3%A9
// also means /caf%c3%a9, and the path of a client that does not encode at all. What a key holds stays as it came: a
// handler may tell them apart.
func normalPath(path string) string {
	if isNormalPath(path) {
		return path
	}
	b := make([]byte, 0, len(path)+16)
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case inPath(c):
			b = append(b, c)
			continue
		case c != '%':
		case i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]):
			b = append(b, c)
			continue
		default:
			c = unhex(path[i+1])<<4 | unhex(path[i+2])
			i += 2
			if unreserved(c) {
				b = append(b, c)
				continue
			}
		}
		b = append(b, '%', upperHex[c>>4], upperHex[c&15])
	}
	return string(b)
}

// isNormalPath reports whether nothing in path is encoded, or should be.
func isNormalPath(path string) bool {
	for i := range len(path) {
		if !inPath(path[i]) {
			return false
		}
	}
	return true
}

// inPath reports whether c stands for itself in a path (RFC 3986 §3.3).
func inPath(c byte) bool {
	return unreserved(c) || c == '/' || strings.IndexByte("!$&'()*+,;=:@", c) >= 0
}

const upperHex = "0123456789ABCDEF"

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}

func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
}

// appendEscaped appends s with '|', '~', '^' and all that is not printable ASCII escaped.
func appendEscaped(b []byte, s string) []byte {
	start := 0
	for i := range len(s) {
		c := s[i]
		if !escaped(c) {
			continue
		}
		b = append(b, s[start:i]...)
		b = append(b, '^', upperHex[c>>4], upperHex[c&15])
		start = i + 1
	}
	return append(b, s[start:]...)
}

// escaped reports whether c stands in a text as '^' and two digits.
func escaped(c byte) bool {
	return c-'!' > '}'-'!' || c == '|' || c == '^'
}

// escapeFrom does in place, from b[n] on, what appendEscaped does.
func escapeFrom(b []byte, n int) []byte {
	more := 0
	for _, c := range b[n:] {
		if escaped(c) {
			more += 2
		}
	}
	if more == 0 {
		return b
	}
	i := len(b)
	b = append(b, make([]byte, more)...)
	for j := len(b); i > n; {
		i--
		c := b[i]
		if !escaped(c) {
			j--
			b[j] = c
			continue
		}
		j -= 3
		b[j], b[j+1], b[j+2] = '^', upperHex[c>>4], upperHex[c&15]
	}
	return b
}

// appendDigest appends the SHA-256 of lines, each set apart from the next.
func appendDigest(b []byte, lines ...string) []byte {
	h := sha256.New()
	for _, l := range lines {
		h.Write([]byte(strconv.Itoa(len(l))))
		h.Write([]byte{':'})
		h.Write([]byte(l))
	}
	var sum [sha256.Size]byte
	return hex.AppendEncode(b, h.Sum(sum[:0]))
}

const digestBytes = 43 // of 32 in base64 without padding

// finishKey shortens a key that is longer than a store takes, in place.
func finishKey(b []byte) []byte {
	if len(b) <= store.MaxKey {
		return b
	}
	sum := sha256.Sum256(b)
	b = append(b[:store.MaxKey-digestBytes-len(hashMarker)], hashMarker...)
	return base64.RawURLEncoding.AppendEncode(b, sum[:])
}

// appendVariant makes the key of a variant: base and, for each name in its order, the request's value.
func appendVariant(b, base []byte, names []string, r *http.Request) []byte {
	kb := KeyBuilder{buf: append(b[:0], base...)}
	for _, name := range names {
		kb.part(partVariant)
		kb.field(name, r.Header[name], r.Host)
	}
	return finishKey(kb.buf)
}

type queryDefault struct{ name, value string }

// querySettings says which query parameters count.
type querySettings struct {
	allowSet             bool
	allow                []string
	defaults             []queryDefault
	ignore, ignorePrefix []string
}

func (q *querySettings) all() bool {
	return !q.allowSet && len(q.defaults) == 0 && len(q.ignore) == 0 && len(q.ignorePrefix) == 0
}

func (q *querySettings) counts(name string) bool {
	if q.allowSet {
		return slices.Contains(q.allow, name)
	}
	if slices.Contains(q.ignore, name) {
		return false
	}
	return !slices.ContainsFunc(q.ignorePrefix, func(p string) bool { return strings.HasPrefix(name, p) })
}

type queryPair struct{ name, value string }

// append appends the normal form of a query: what counts of it, sorted by name, the order of values kept. A query that does not
// parse counts as a whole.
func (q *querySettings) append(b []byte, raw string) []byte {
	if q.all() && plainQuery(raw) {
		return append(b, raw...)
	}
	pairs, ok := q.normal(raw)
	if !ok {
		return appendEscaped(append(b, partRaw...), raw)
	}
	pairs = q.filled(pairs)
	sortPairs(pairs)
	return appendPairs(b, pairs)
}

// filled returns pairs with the defaults of what is not among them.
func (q *querySettings) filled(pairs []queryPair) []queryPair {
	for _, d := range q.defaults {
		if !slices.ContainsFunc(pairs, func(p queryPair) bool { return p.name == d.name }) {
			pairs = append(pairs, queryPair(d))
		}
	}
	return pairs
}

// forward returns what a handler may see of a query: what is in the key, in the spelling of the key, so that no spelling
// of one client reaches another in what the handler makes of it.
func (q *querySettings) forward(raw string) string {
	if q.all() && plainQuery(raw) {
		return raw
	}
	pairs, ok := q.normal(raw)
	if !ok {
		return raw
	}
	sortPairs(pairs)
	return string(appendPairs(nil, pairs))
}

// normal returns what counts of a query; ok is false where it does not parse.
func (q *querySettings) normal(raw string) (pairs []queryPair, ok bool) {
	pairs, ok = parseQuery(raw)
	return slices.DeleteFunc(pairs, func(p queryPair) bool { return !q.counts(p.name) }), ok
}

func sortPairs(pairs []queryPair) {
	slices.SortStableFunc(pairs, func(x, y queryPair) int { return strings.Compare(x.name, y.name) })
}

func appendPairs(b []byte, pairs []queryPair) []byte {
	for i, p := range pairs {
		if i > 0 {
			b = append(b, '&')
		}
		b = append(appendQueryEscaped(b, p.name), '=')
		b = appendQueryEscaped(b, p.value)
	}
	return b
}

// parseQuery splits a query as net/url does; ok is false where that reports an error.
func parseQuery(raw string) (pairs []queryPair, ok bool) {
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if part == "" {
			continue
		}
		if strings.Contains(part, ";") {
			return nil, false
		}
		name, value, _ := strings.Cut(part, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return nil, false
		}
		pairs = append(pairs, queryPair{name, value})
	}
	return pairs, true
}

// plainQuery reports whether raw already is its own normal form: name=value pairs of plain bytes, names in order.
func plainQuery(raw string) bool {
	prev, start, eq := "", 0, -1
	for i := 0; i <= len(raw); i++ {
		if i < len(raw) && raw[i] != '&' {
			switch c := raw[i]; {
			case c == '=':
				if eq >= 0 {
					return false
				}
				eq = i
			case c == '~' || !unreserved(c):
				return false
			}
			continue
		}
		if eq < 0 {
			return false // an empty pair, or a name without '='
		}
		name := raw[start:eq]
		if name < prev {
			return false
		}
		prev, start, eq = name, i+1, -1
	}
	return true
}

func appendQueryEscaped(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c != '~' && unreserved(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}
