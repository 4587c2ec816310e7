package reprise_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
)

// raw reads a request as a server reads it off the connection: a request line and fields, "GET /a | Host: shop.test".
// Without a Host it is shop.test.
func raw(t testing.TB, text string) *http.Request {
	t.Helper()
	line, fields, _ := strings.Cut(text, " | ")
	var b strings.Builder
	b.WriteString(line + " HTTP/1.1\r\n")
	if !strings.Contains(" | "+fields, " | Host: ") {
		b.WriteString("Host: shop.test\r\n")
	}
	if fields != "" {
		b.WriteString(strings.ReplaceAll(fields, " | ", "\r\n") + "\r\n")
	}
	b.WriteString("\r\n")
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(b.String())))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	r.RemoteAddr = "192.0.2.1:1234"
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// mirror answers with everything by which it could be told apart who asked for what: the worst of all handlers to cache.
func mirror(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s\nhost %s\nurl %s\ntarget %s\nquery %v\n", r.Method, r.Host, r.URL, r.RequestURI, r.URL.Query())
	for _, name := range []string{"Authorization", "Connection", "Cookie", "If-Match", "If-None-Match", "If-Range", "Range"} {
		if lines := r.Header[name]; lines != nil {
			fmt.Fprintf(w, "%s %q\n", name, lines)
		}
	}
}

// TestAttackKeys sends what an attacker sends, and then what the victim sends. The victim gets what it would get from
// the handler alone: nothing of the attacker's spelling.
func TestAttackKeys(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		name, attack, victim string
		opts                 []reprise.RouteOption
	}{
		// The host.
		{name: "host/other", attack: "GET /a | Host: evil.test", victim: "GET /a"},
		{name: "host/capitals", attack: "GET /a | Host: SHOP.Test", victim: "GET /a"},
		{name: "host/own port", attack: "GET /a | Host: shop.test:80", victim: "GET /a"},
		{name: "host/other port", attack: "GET /a | Host: shop.test:8080", victim: "GET /a"},
		{name: "host/port of the other scheme", attack: "GET /a | Host: shop.test:443", victim: "GET /a"},
		{name: "host/final dot", attack: "GET /a | Host: shop.test.", victim: "GET /a"},
		{name: "host/credentials", attack: "GET /a | Host: evil@shop.test", victim: "GET /a"},
		{name: "host/none", attack: "GET /a | Host: ", victim: "GET /a"},
		{name: "host/folds into ASCII", attack: "GET /a | Host: shop.\u212a", victim: "GET /a | Host: shop.k"},
		{name: "host/part of the key", attack: "GET /a | Host: shop.test|/b", victim: "GET /b|/a"},
		{name: "host/in the target", attack: "GET http://evil.test/a", victim: "GET /a"},

		// The form of the target.
		{name: "target/absolute", attack: "GET http://shop.test/a?b=1", victim: "GET /a?b=1"},
		{name: "target/absolute of the other scheme", attack: "GET https://shop.test/a", victim: "GET /a"},
		{name: "target/absolute with credentials", attack: "GET http://evil:word@shop.test/a", victim: "GET /a"},
		{name: "target/absolute in capitals", attack: "GET HTTP://SHOP.TEST/a", victim: "GET /a"},
		{name: "target/absolute without path", attack: "GET http://shop.test?b=1", victim: "GET /?b=1"},
		{name: "target/other scheme", attack: "GET gopher://shop.test/a", victim: "GET /a"},
		{name: "target/fragment", attack: "GET /a#evil", victim: "GET /a"},
		{name: "target/escaped fragment", attack: "GET /a#evil", victim: "GET /a%23evil"},
		{name: "target/two slashes", attack: "GET //evil.test/a", victim: "GET /a"},

		// The path.
		{name: "path/encoded slash", attack: "GET /a%2fb", victim: "GET /a/b"},
		{name: "path/encoded slash in capitals", attack: "GET /a%2Fb", victim: "GET /a%2fb"},
		{name: "path/encoded letter", attack: "GET /%61", victim: "GET /a"},
		{name: "path/encoded twice", attack: "GET /a%252fb", victim: "GET /a%2fb"},
		{name: "path/encoded question mark", attack: "GET /a%3Fb=1", victim: "GET /a?b=1"},
		{name: "path/dots", attack: "GET /b/../a", victim: "GET /a"},
		{name: "path/encoded dots", attack: "GET /b/%2e%2e/a", victim: "GET /b/../a"},
		{name: "path/capitals", attack: "GET /A", victim: "GET /a"},
		{name: "path/final slash", attack: "GET /a/", victim: "GET /a"},
		{name: "path/double slash", attack: "GET /a//b", victim: "GET /a/b"},
		{name: "path/backslash", attack: `GET /a\b`, victim: "GET /a/b"},
		{name: "path/parameters", attack: "GET /a;evil=1", victim: "GET /a"},
		{name: "path/nul", attack: "GET /a%00.css", victim: "GET /a"},
		{name: "path/line end", attack: "GET /a%0d%0aX:1", victim: "GET /a"},
		{name: "path/not UTF-8", attack: "GET /a%ff", victim: "GET /a%fe"},
		{name: "path/forged key", attack: "GET /a|b=1", victim: "GET /a?b=1"},
		{name: "path/forged escape", attack: "GET /a^7Cb", victim: "GET /a|b"},
		{name: "path/forged variant", attack: "GET /a|~w:Accept=x", victim: "GET /a | Accept: x"},
		{name: "path/long", attack: "GET /" + long + "a", victim: "GET /" + long + "b"},
		{name: "path/ends like a hash", attack: "GET /" + long[:150] + "^^aaaa", victim: "GET /" + long[:150]},

		// The query.
		{name: "query/raw markup", attack: "GET /a?q=<script>", victim: "GET /a?q=%3Cscript%3E"},
		{name: "query/small escapes", attack: "GET /a?q=%3cb%3e", victim: "GET /a?q=%3Cb%3E"},
		{name: "query/escaped letter", attack: "GET /a?%71=1", victim: "GET /a?q=1"},
		{name: "query/order", attack: "GET /a?b=2&a=1", victim: "GET /a?a=1&b=2"},
		{name: "query/no value", attack: "GET /a?q", victim: "GET /a?q="},
		{name: "query/empty pairs", attack: "GET /a?&&q=1&", victim: "GET /a?q=1"},
		{name: "query/empty", attack: "GET /a?", victim: "GET /a"},
		{name: "query/empty in absolute form", attack: "GET http://shop.test/a?", victim: "GET /a"},
		{name: "query/semicolon", attack: "GET /a?q=1;evil=1", victim: "GET /a?q=1"},
		{name: "query/bad escape", attack: "GET /a?q=1&evil=%zz", victim: "GET /a?q=1"},
		{name: "query/bad escape like a raw one", attack: "GET /a?q=%zz", victim: "GET /a?q=%25zz"},
		{name: "query/marked as raw", attack: "GET /a?~r:q=%zz", victim: "GET /a?q=%zz"},
		{name: "query/order of values", attack: "GET /a?q=2&q=1", victim: "GET /a?q=1&q=2"},
		{name: "query/more values", attack: "GET /a?q=1&q=evil", victim: "GET /a?q=1"},
		{name: "query/escaped separator", attack: "GET /a?q=1%26b=2", victim: "GET /a?b=2&q=1"},
		{name: "query/plus", attack: "GET /a?q=x%2By", victim: "GET /a?q=x%20y"},
		{name: "query/forged key", attack: "GET /a?q=1|~u:x", victim: "GET /a?q=1"},
		{name: "query/long", attack: "GET /a?q=" + long + "1", victim: "GET /a?q=" + long + "2"},
		{
			name: "query/ignored", attack: "GET /a?utm_source=<evil>", victim: "GET /a",
			opts: []reprise.RouteOption{reprise.IgnoreQueryParams("utm_*")},
		},
		{
			name: "query/not allowed", attack: "GET /a?evil=1&q=1", victim: "GET /a?q=1",
			opts: []reprise.RouteOption{reprise.QueryParams("q")},
		},
		{
			name: "query/not allowed, in absolute form", attack: "GET http://shop.test/a?evil=1&q=1", victim: "GET /a?q=1",
			opts: []reprise.RouteOption{reprise.QueryParams("q")},
		},
		{
			name: "query/not allowed beside a broken one", attack: "GET /a?q=1&evil=%zz", victim: "GET /a?q=1",
			opts: []reprise.RouteOption{reprise.QueryParams("q")},
		},

		// Fields that the cache answers itself, and those that steer a proxy behind it.
		{name: "range", attack: "GET /a | Range: bytes=0-0", victim: "GET /a"},
		{name: "range with If-Range", attack: `GET /a | Range: bytes=0-0 | If-Range: "x"`, victim: "GET /a"},
		{name: "If-Range alone", attack: `GET /a | If-Range: "x"`, victim: "GET /a"},
		{name: "If-None-Match", attack: "GET /a | If-None-Match: *", victim: "GET /a"},
		{name: "If-Match", attack: `GET /a | If-Match: "x"`, victim: "GET /a"},
		{name: "Connection", attack: "GET /a | Connection: keep-alive, Accept-Language", victim: "GET /a"},
		{name: "method/HEAD", attack: "HEAD /a", victim: "GET /a"},
		{name: "method/small letters", attack: "get /a", victim: "GET /a"},
		{name: "method/unknown", attack: "EVIL /a", victim: "GET /a"},
		{name: "method/part of the key", attack: "GET|x /a", victim: "GET /a"},
		{name: "body", attack: "GET /a | Content-Length: 4", victim: "GET /a"},
		{name: "chunked body", attack: "GET /a | Transfer-Encoding: chunked", victim: "GET /a"},

		// Who asks.
		{name: "Authorization", attack: "GET /a | Authorization: Bearer evil", victim: "GET /a"},
		{name: "empty Authorization", attack: "GET /a | Authorization: ", victim: "GET /a"},
		{name: "cookie", attack: "GET /a | Cookie: session=evil", victim: "GET /a"},
		{name: "broken cookie", attack: "GET /a | Cookie: ;=;\\", victim: "GET /a"},
		{
			name: "public", attack: "GET /a | Cookie: session=evil | Authorization: Bearer evil", victim: "GET /a",
			opts: []reprise.RouteOption{reprise.Public()},
		},
		{
			name: "cookies/other", attack: "GET /a | Cookie: evil=1; theme=dark", victim: "GET /a | Cookie: theme=dark",
			opts: []reprise.RouteOption{reprise.Cookies("theme")},
		},
		{
			name: "cookies/unparsable", attack: `GET /a | Cookie: theme="da\rk`, victim: "GET /a",
			opts: []reprise.RouteOption{reprise.Cookies("theme")},
		},
		{
			name: "cookies/quoted", attack: `GET /a | Cookie: theme="dark"`, victim: "GET /a | Cookie: theme=dark",
			opts: []reprise.RouteOption{reprise.Cookies("theme")},
		},
		{
			name: "cookies/twice", attack: "GET /a | Cookie: theme=dark; theme=evil", victim: "GET /a | Cookie: theme=dark",
			opts: []reprise.RouteOption{reprise.Cookies("theme")},
		},
		{
			name: "cookies/order", attack: "GET /a | Cookie: size=1; theme=dark", victim: "GET /a | Cookie: theme=dark; size=1",
			opts: []reprise.RouteOption{reprise.Cookies("theme", "size")},
		},
		{
			name: "cookies/with Authorization", attack: "GET /a | Cookie: theme=dark | Authorization: Bearer evil", victim: "GET /a | Cookie: theme=dark",
			opts: []reprise.RouteOption{reprise.Cookies("theme")},
		},
		{
			name: "per user", attack: "GET /a | Authorization: Bearer evil", victim: "GET /a | Authorization: Bearer me",
			opts: []reprise.RouteOption{reprise.PerUser(bearer)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := open(t, reprise.Config{})
			h := c.WrapFunc(mirror, tt.opts...)
			// The victim's own request, as a handler sees it that nobody was at before.
			want := serve(open(t, reprise.Config{}).WrapFunc(mirror, tt.opts...), raw(t, tt.victim))
			bare := serve(http.HandlerFunc(mirror), raw(t, tt.victim))
			if tt.opts == nil && want.Body.String() != bare.Body.String() {
				t.Errorf("%s: the handler saw\n%swithout the cache\n%s", tt.victim, want.Body, bare.Body)
			}
			for range 2 {
				if w := serve(h, raw(t, tt.attack)); w.Code >= 500 {
					t.Errorf("%s: status %d", tt.attack, w.Code)
				}
			}
			for range 2 {
				if w := serve(h, raw(t, tt.victim)); w.Code != want.Code || w.Body.String() != want.Body.String() {
					t.Errorf("after %s, %s got %d\n%s\nwant %d\n%s", tt.attack, tt.victim, w.Code, w.Body, want.Code, want.Body)
				}
			}
			if w := serve(h, raw(t, tt.victim)); strings.HasPrefix(tt.victim, "GET /") && w.Header().Get("X-Cache") != "HIT" {
				t.Errorf("%s: not a hit (%s): the test tests nothing", tt.victim, w.Header().Get("Cache-Status"))
			}
		})
	}
}

func bearer(r *http.Request) (string, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errors.New("no token")
	}
	return token, nil
}

// TestAttackStrippedPrefix asks one handler below two prefixes, by its absolute form too.
func TestAttackStrippedPrefix(t *testing.T) {
	c := open(t, reprise.Config{})
	h := c.WrapFunc(mirror)
	mux := http.NewServeMux()
	mux.Handle("/v1/", http.StripPrefix("/v1", h))
	mux.Handle("/v2/", http.StripPrefix("/v2", h))
	mux.Handle("/", h)
	seen := map[string]string{}
	for _, target := range []string{"/v1/a", "/v2/a", "/a"} {
		for _, form := range []string{"http://shop.test", ""} {
			w := serve(mux, raw(t, "GET "+form+target))
			if !strings.Contains(w.Body.String(), "target "+target+"\n") {
				t.Errorf("%s%s got %s", form, target, w.Body)
			}
			if other := seen[w.Body.String()]; other != "" && other != target {
				t.Errorf("%s and %s have one answer", other, target)
			}
			seen[w.Body.String()] = target
		}
	}
	if n := c.Stats().Misses; n != 3 {
		t.Errorf("%d misses; want 3, one for each path", n)
	}
}

// TestAttackUnkeyed holds what is promised of fields that a handler reads and nobody declares, and what is not.
func TestAttackUnkeyed(t *testing.T) {
	for _, name := range []string{
		"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "Forwarded", "X-Host", "X-Original-Url", "X-Rewrite-Url",
		"X-Http-Method-Override", "Origin", "Referer", "User-Agent", "Accept", "Accept-Language", "X-Tenant",
	} {
		reflect := func(vary bool) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if vary {
					w.Header().Set("Vary", name)
				}
				_, _ = io.WriteString(w, "link "+r.Header.Get(name))
			}
		}
		attack, victim := "GET /a | "+name+": evil", "GET /a"
		t.Run(name, func(t *testing.T) {
			c := open(t, reprise.Config{})
			for what, h := range map[string]http.Handler{
				"Vary in the response": c.Namespace("response").Wrap(reflect(true)),
				"Vary on the route":    c.Namespace("route").Wrap(reflect(false), reprise.Vary(name)),
				"Key": c.Namespace("key").Wrap(reflect(false), reprise.Key(func(b *reprise.KeyBuilder, r *http.Request) {
					b.Default(r)
					b.Header(r, name)
				})),
			} {
				for range 2 {
					if got := serve(h, raw(t, attack)).Body.String(); got != "link evil" {
						t.Errorf("%s: the client got %q", what, got)
					}
					if got := serve(h, raw(t, victim)).Body.String(); got != "link " {
						t.Errorf("%s: the victim got %q", what, got)
					}
				}
			}
			// Not promised: a handler that reads a field and says so nowhere is as poisonable as behind any cache. The
			// guide says so (docs/keys.md), and this line notices when it is no longer true.
			h := c.Namespace("unkeyed").Wrap(reflect(false))
			serve(h, raw(t, attack))
			if got := serve(h, raw(t, victim)).Body.String(); got != "link evil" {
				t.Errorf("unkeyed: got %q; correct docs/keys.md", got)
			}
		})
	}
}

// TestAttackCredentials lets Alice ask, and then those who are not she: after her, and at the same time.
func TestAttackCredentials(t *testing.T) {
	certified := func(r *http.Request, name string) *http.Request {
		cert := &x509.Certificate{}
		cert.Subject.CommonName = name
		r.TLS = &tls.ConnectionState{HandshakeComplete: true, PeerCertificates: []*x509.Certificate{cert}}
		return r
	}
	who := func(r *http.Request) string {
		if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
			return r.TLS.PeerCertificates[0].Subject.CommonName
		}
		return r.Header.Get("Authorization") + r.Header.Get("Cookie")
	}
	credentials := map[string]func(t *testing.T, name string) *http.Request{
		"Authorization": func(t *testing.T, name string) *http.Request {
			t.Helper()
			return raw(t, "GET /me | Authorization: "+name)
		},
		"Cookie": func(t *testing.T, name string) *http.Request { t.Helper(); return raw(t, "GET /me | Cookie: "+name) },
		"client certificate": func(t *testing.T, name string) *http.Request {
			t.Helper()
			return certified(raw(t, "GET /me"), name)
		},
	}
	answers := map[string]http.Header{
		"plain":            {},
		"max-age":          {"Cache-Control": {"max-age=60"}},
		"private":          {"Cache-Control": {"private, max-age=60"}},
		"no-store":         {"Cache-Control": {"no-store"}},
		"Set-Cookie":       {"Set-Cookie": {"session=1"}, "Cache-Control": {"max-age=60"}},
		"public, private":  {"Cache-Control": {"public, private, max-age=60"}},
		"must-understand":  {"Cache-Control": {"must-understand, private, max-age=60"}},
		"on several lines": {"Cache-Control": {"max-age=60", "PRIVATE"}},
		"Vary: *":          {"Vary": {"*"}, "Cache-Control": {"public, max-age=60"}},
	}
	for kind, request := range credentials {
		for answer, fields := range answers {
			t.Run(kind+"/"+answer, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := open(t, reprise.Config{})
					h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
						name := who(r)
						time.Sleep(50 * time.Millisecond)
						maps.Copy(w.Header(), fields)
						_, _ = io.WriteString(w, "for "+name)
					})
					ask := func(name string) {
						r := raw(t, "GET /me")
						if name != "" {
							r = request(t, name)
						}
						if got := serve(h, r).Body.String(); got != "for "+name {
							t.Errorf("%q got %q", name, got)
						}
					}
					ask("alice")
					ask("")
					ask("bob")
					ask("alice")
					var wg sync.WaitGroup
					for _, name := range []string{"alice", "", "bob", "carol", "", "alice"} {
						wg.Go(func() { ask(name) })
					}
					wg.Wait()
				})
			})
		}
		t.Run(kind+"/Public", func(t *testing.T) {
			h := open(t, reprise.Config{}).WrapFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "for "+who(r))
			}, reprise.Public())
			for range 2 {
				if got := serve(h, request(t, "alice")).Body.String(); got != "for " {
					t.Errorf("Public: the handler was shown who asks: %q", got)
				}
			}
		})
	}
}

// TestAttackResponses holds answers that must not be stored, in the spellings in which they come: two clients get an answer
// each. The last ones are the counter-proof.
func TestAttackResponses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		fields []string
		stored bool
	}{
		{"vary/star", []string{"Vary: *"}, false},
		{"vary/star in a list", []string{"Vary: Accept, *"}, false},
		{"vary/star on its own line", []string{"Vary: Accept", "Vary: *"}, false},
		{"vary/star with blanks", []string{"Vary: \t * "}, false},
		{"vary/star and a comma", []string{"Vary: ,*,"}, false},
		{"vary/quoted star", []string{`Vary: "*"`}, false},
		{"vary/no field name", []string{"Vary: a b"}, false},
		{"vary/star beside max-age", []string{"Vary: *", "Cache-Control: public, max-age=60"}, false},
		{"vary/small field name", []string{"vary: *"}, false},
		{"set-cookie", []string{"Set-Cookie: a=1"}, false},
		{"set-cookie/beside public", []string{"Set-Cookie: a=1", "Cache-Control: public, s-maxage=60"}, false},
		{"set-cookie/empty", []string{"Set-Cookie: "}, false},
		{"set-cookie/small letters", []string{"set-cookie: a=1"}, false},
		{"set-cookie2", []string{"Set-Cookie2: a=1"}, false},
		{"no-store", []string{"Cache-Control: no-store"}, false},
		{"no-store/capitals", []string{"Cache-Control: NO-STORE, max-age=60"}, false},
		{"no-store/with argument", []string{`Cache-Control: no-store="x", max-age=60`}, false},
		{"no-store/behind an open quote", []string{`Cache-Control: foo="bar, no-store`, "Cache-Control: max-age=60"}, false},
		{"no-store/second line", []string{"Cache-Control: max-age=60", "Cache-Control: no-store"}, false},
		{"no-store/small field name", []string{"cache-control: no-store"}, false},
		{"private", []string{"Cache-Control: private"}, false},
		{"private/beside public", []string{"Cache-Control: public, max-age=60, private"}, false},
		{"private/unknown status", []string{"Cache-Control: private, must-understand"}, false},
		{"no-cache", []string{"Cache-Control: no-cache"}, false},
		{"max-age/0", []string{"Cache-Control: max-age=0"}, false},
		{"max-age/negative", []string{"Cache-Control: max-age=-1"}, false},
		{"max-age/no number", []string{"Cache-Control: max-age=soon"}, false},
		{"max-age/twice", []string{"Cache-Control: max-age=0, max-age=60"}, false}, // the first counts
		{"expires/0", []string{"Expires: 0"}, false},
		{"expires/past", []string{"Expires: Thu, 01 Jan 1970 00:00:00 GMT"}, false},
		{"event stream", []string{"Content-Type: text/event-stream"}, false},
		{"event stream/capitals", []string{"Content-Type: Text/Event-Stream; charset=utf-8"}, false},
		{"trailers", []string{"Trailer: X-Sum"}, false},
		{"length/short", []string{"Content-Length: 100"}, false},
		{"length/twice", []string{"Content-Length: 2", "Content-Length: 100"}, true}, // net/http deletes it
		{"plain", nil, true},
		{"max-age/overflow", []string{"Cache-Control: max-age=99999999999999999999"}, true},
		{"quoted private", []string{`Cache-Control: max-age=60, x="private, no-store"`}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n atomic.Int64
			h := open(t, reprise.Config{}).WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
				for _, f := range tt.fields {
					name, value, _ := strings.Cut(f, ": ")
					w.Header()[name] = append(w.Header()[name], value) // as it stands, not canonical
				}
				fmt.Fprintf(w, "v%d", n.Add(1))
			})
			serve(h, raw(t, "GET /a"))
			time.Sleep(time.Millisecond)
			serve(h, raw(t, "GET /a"))
			if stored := n.Load() == 1; stored != tt.stored {
				t.Errorf("%q: stored %v; want %v", tt.fields, stored, tt.stored)
			}
		})
	}
}
