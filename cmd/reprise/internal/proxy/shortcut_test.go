package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// FuzzShortcut: what it reads, net/http reads alike and to the last byte, and the scanner finds nothing amiss.
func FuzzShortcut(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD /a%20b/?q=%zz&r HTTP/1.1\r\nhost: shop.test:80\r\nAccept: */*\r\naccept:\ttext/html \r\nCookie: a=b\r\n\r\n",
		"GET //x/../y HTTP/1.1\r\nConnection: Keep-Alive\r\nHost: [::1]:8080\r\nPragma: no-cache\r\nRange: bytes=0-1\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
		"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		x := new(shortcut)
		x.fields = make(http.Header)
		if !x.read(head) {
			return
		}
		br := bufio.NewReader(bytes.NewReader(head))
		want, err := http.ReadRequest(br)
		if err != nil {
			t.Fatalf("%q: net/http reads %v", head, err)
		}
		if left := br.Buffered(); left > 0 {
			t.Fatalf("%q: net/http leaves %d bytes", head, left)
		}
		got := &x.request
		if want.Header.Get("Pragma") != "" { // net/http adds what it means
			want.Header.Del("Cache-Control")
			got.Header.Del("Cache-Control")
		}
		if got.Method != want.Method || got.RequestURI != want.RequestURI || *got.URL != *want.URL || got.Host != want.Host || got.Proto != want.Proto ||
			got.ProtoMajor != want.ProtoMajor || got.ProtoMinor != want.ProtoMinor || want.Body != http.NoBody || want.ContentLength != 0 || want.Close ||
			!maps.EqualFunc(got.Header, want.Header, slices.Equal[[]string]) {
			t.Fatalf("%q:\n%+v; net/http reads\n%+v", head, got, want)
		}
		var s scanner
		if bad := s.feed(head); bad >= 0 || s.state != scanHead || s.first {
			t.Fatalf("%q: the scanner is at %d, %+v", head, bad, s)
		}
	})
}

// site is a proxy whose connections a test makes, and what has passed through net/http.
type site struct {
	*Server
	origin atomic.Int64 // requests that reached it
	long   atomic.Int64 // requests that net/http has read
	conns  chan net.Conn
	done   chan error
	http   *http.Server
}

// newSite serves pages over pipes.
func newSite(t *testing.T, pages http.HandlerFunc, change func(*Config)) *site {
	t.Helper()
	m, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Defaults()
	cfg.Origin, cfg.Store = &url.URL{Scheme: "http", Host: "origin.test"}, m
	if change != nil {
		change(&cfg)
	}
	s := &site{conns: make(chan net.Conn), done: make(chan error, 1)}
	if s.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	for pattern, r := range s.routes { // the origin is this process
		r.handler = r.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.origin.Add(1)
			pages(w, r)
		}))
		s.routes[pattern] = r
	}
	next := s.handler()
	s.http = s.httpServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.long.Add(1)
		next.ServeHTTP(w, r)
	}))
	go func() { s.done <- s.http.Serve(&strictListener{pipes{s.conns}, false, s.cfg.IdleTimeout, s.front}) }()
	t.Cleanup(func() {
		_ = s.http.Close()
		if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve = %v", err)
		}
		if err := errors.Join(s.Close(), m.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// pipes is a listener.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error   { close(p.conns); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// visitor is a connection to a site.
type visitor struct {
	net.Conn
	*bufio.Reader
	site *site
}

func (s *site) visit() *visitor {
	c, server := net.Pipe()
	s.conns <- server
	return &visitor{c, bufio.NewReader(c), s}
}

func (v *visitor) Read(p []byte) (int, error) { return v.Reader.Read(p) }

// ask sends a head and returns the answer as it came, and whether net/http has read the request.
func (v *visitor) ask(t *testing.T, head string) (answer string, long bool) {
	t.Helper()
	before := v.site.long.Load()
	go func() { _, _ = io.WriteString(v.Conn, head) }() // ends with the connection
	answer = v.answer(t, head)
	return answer, v.site.long.Load() > before
}

// answer reads the answer to the request that begins so, with its fields sorted.
func (v *visitor) answer(t *testing.T, head string) string {
	t.Helper()
	method, _, _ := strings.Cut(head, " ")
	res, err := http.ReadResponse(v.Reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.60q: %v", head, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%.60q: %v", head, err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s, length %d\n", res.Proto, res.Status, res.ContentLength)
	_ = res.Header.Write(&b)
	fmt.Fprintf(&b, "\n%s", body)
	return b.String()
}

const hostLine = " HTTP/1.1\r\nHost: shop.test\r\n"

// What is answered without net/http is answered as if with it.
func TestShortcutIsLikeTheLongWay(t *testing.T) {
	pages := func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "max-age=60")
		h.Set("Etag", `"1"`)
		h.Set("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT")
		switch r.URL.Path {
		case "/large":
			_, _ = w.Write(bytes.Repeat([]byte("0123456789abcdef"), 4<<10))
		case "/empty":
		case "/gone":
			w.WriteHeader(http.StatusGone)
			_, _ = io.WriteString(w, "gone")
		case "/odd":
			w.WriteHeader(299)
		case "/moved":
			h.Set("Location", "/")
			w.WriteHeader(http.StatusMovedPermanently)
		case "/nothing":
			w.WriteHeader(http.StatusNoContent)
		case "/untyped":
			h["Content-Type"] = nil
			_, _ = io.WriteString(w, "<html>")
		case "/lines":
			h["Link"] = []string{"</a>; rel=preload", "</b>; rel=preload"}
			h.Set("Vary", "Accept")
			_, _ = io.WriteString(w, r.Header.Get("Accept"))
		case "/streamed":
			_, _ = io.WriteString(w, "in ")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "pieces")
		default:
			_, _ = io.WriteString(w, "<html>page")
		}
	}
	for _, tt := range []struct {
		name, head string
		long       bool // is left to net/http whatever is stored
	}{
		{"GET", "GET /" + hostLine, false},
		{"HEAD", "HEAD /" + hostLine, false},
		{"query", "GET /?b=2&a=1" + hostLine, false},
		{"fields", "GET /lines" + hostLine + "Accept: text/html\r\naccept-language: de\r\nConnection: keep-alive\r\nUser-Agent: x\r\n", false},
		{"large", "GET /large" + hostLine, false},
		{"HEAD large", "HEAD /large" + hostLine, false},
		{"empty", "GET /empty" + hostLine, false},
		{"gone", "GET /gone" + hostLine, false},
		{"odd status", "GET /odd" + hostLine, false},
		{"moved", "GET /moved" + hostLine, false},
		{"untyped", "GET /untyped" + hostLine, false},
		{"streamed", "GET /streamed" + hostLine, false},
		{"not modified", "GET /" + hostLine + "If-None-Match: \"1\"\r\n", false},
		{"modified", "GET /" + hostLine + "If-None-Match: \"2\"\r\n", false},
		{"not modified since", "GET /" + hostLine + "If-Modified-Since: Sat, 01 Jan 2000 00:00:00 GMT\r\n", false},
		{"no content", "GET /nothing" + hostLine, true},
		{"range", "GET /large" + hostLine + "Range: bytes=0-9\r\n", true},
		{"no-cache", "GET /" + hostLine + "Cache-Control: no-cache\r\n", true},
		{"Pragma", "GET /" + hostLine + "Pragma: no-cache\r\n", true},
		{"only-if-cached", "GET /" + hostLine + "Cache-Control: only-if-cached\r\n", true},
		{"cookie", "GET /" + hostLine + "Cookie: a=b\r\n", true},
		{"absolute form", "GET http://shop.test/" + hostLine, true},
		{"odd name", "GET /" + hostLine + "X_Y: a\r\n", true},
		{"no host", "GET / HTTP/1.1\r\nHost:\r\n", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, pages, nil)
				first := s.visit()
				defer first.Close()
				first.ask(t, strings.Replace(tt.head, "HEAD", "GET", 1)+"\r\n") // stores
				for _, path := range []string{"/", "/large"} {
					first.ask(t, "GET "+path+hostLine+"\r\n")
				}
				synctest.Wait()
				second := s.visit()
				defer second.Close()
				want, long := second.ask(t, tt.head+"\r\n")
				if !long {
					t.Error("the first request of a connection did not pass through net/http")
				}
				synctest.Wait()
				for range 2 {
					got, long := second.ask(t, tt.head+"\r\n")
					if got != want || long != tt.long {
						t.Errorf("through net/http %v: %.400q; want %v: %.400q", long, got, tt.long, want)
					}
					synctest.Wait()
				}
			})
		})
	}
}

// numbered pages are stored, and say which they are and what came with the request.
func numbered(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if !strings.HasPrefix(r.URL.Path, "/fresh/") {
		w.Header().Set("Cache-Control", "max-age=3600")
	}
	fmt.Fprintf(w, "%s %s %q", r.Method, r.URL.Path, body)
}

// One connection, on which everything comes: each answer belongs to its request, however the bytes are cut.
func TestShortcutKeepsItsPlace(t *testing.T) {
	const hit = "GET /hit" + hostLine + "\r\n"
	const miss = "GET /fresh/%d" + hostLine + "\r\n"
	const post = "POST /fresh/post" + hostLine + "Content-Length: 5\r\n\r\nhello"
	const chunked = "POST /fresh/chunked" + hostLine + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
	const inside = "POST /fresh/inside" + hostLine + "Content-Length: 40\r\n\r\n" + "GET /hit HTTP/1.1\r\nHost: shop.test\r\n\r\n.."
	for _, tt := range []struct {
		name  string
		heads []string
		long  int64 // requests that net/http has read, where each waits for the answer before
	}{
		{"hits", []string{hit, hit, hit, hit}, 1},
		{"hits and misses", []string{hit, hit, miss, hit, miss, hit, hit}, 3},
		{"a body", []string{hit, hit, post, hit, miss, hit}, 5},
		{"a chunked body", []string{hit, hit, chunked, hit, hit}, 4},
		{"a request in a body", []string{hit, hit, inside, hit}, 3},
		{"a body where none belongs", []string{hit, hit, "GET /hit" + hostLine + "Content-Length: 5\r\n\r\nhello", hit}, 3},
		{"a body first", []string{post, hit, hit}, 3},
		{"a miss first", []string{miss, hit, hit}, 1},
	} {
		for _, how := range []string{"one by one", "at once", "at once but the first", "byte by byte"} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, numbered, nil)
					warm := s.visit()
					warm.ask(t, hit)
					_ = warm.Close()
					synctest.Wait()
					before := s.long.Load()

					v := s.visit()
					defer v.Close()
					var heads []string
					for i, head := range tt.heads {
						heads = append(heads, strings.ReplaceAll(head, "%d", fmt.Sprint(i)))
					}
					check := func(i int) {
						t.Helper()
						method, rest, _ := strings.Cut(heads[i], " ")
						path, _, _ := strings.Cut(rest, " ")
						if got := v.answer(t, heads[i]); !strings.Contains(got, "\n"+method+" "+path+" ") {
							t.Fatalf("answer %d is %q; want that to %q", i, got, heads[i])
						}
					}
					all := strings.Join(heads, "")
					switch how {
					case "one by one":
						for i, head := range heads {
							go func() { _, _ = io.WriteString(v.Conn, head) }()
							check(i)
							synctest.Wait()
						}
						if long := s.long.Load() - before; long != tt.long {
							t.Errorf("net/http has read %d requests; want %d", long, tt.long)
						}
						return
					case "at once":
						go func() { _, _ = io.WriteString(v.Conn, all) }()
					case "at once but the first":
						v.ask(t, hit)
						synctest.Wait()
						go func() { _, _ = io.WriteString(v.Conn, all) }()
					default:
						go func() {
							for i := range len(all) {
								_, _ = io.WriteString(v.Conn, all[i:i+1])
							}
						}()
					}
					for i := range heads {
						check(i)
					}
				})
			})
		}
	}
}

// What looks like a request, and is the body of one whose head came together with the request before, is not answered.
func TestShortcutBodyLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hit = "GET /hit" + hostLine + "\r\n"
		s := newSite(t, numbered, nil)
		v := s.visit()
		defer v.Close()
		for range 2 {
			v.ask(t, hit)
			synctest.Wait()
		}
		go func() {
			_, _ = fmt.Fprintf(v.Conn, "GET /fresh/1%s\r\nPOST /fresh/2%sContent-Length: %d\r\n\r\n", hostLine, hostLine, len(hit))
			_, _ = io.WriteString(v.Conn, hit)
		}()
		if got := v.answer(t, hit); !strings.HasSuffix(got, `GET /fresh/1 ""`) {
			t.Errorf("the first answer is %q", got)
		}
		if got := v.answer(t, hit); !strings.HasSuffix(got, fmt.Sprintf("POST /fresh/2 %q", hit)) {
			t.Errorf("the second answer is %q", got)
		}
	})
}

// Whatever the cache says of an answer, the client finds its end.
func TestShortcutFrames(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		status int
		fields http.Header
		body   string
		length int64
	}{
		{"no length", http.MethodGet, 200, nil, "body", 4},
		{"nothing", http.MethodGet, 404, nil, "", 0},
		{"a length", http.MethodGet, 200, http.Header{"Content-Length": {"4"}}, "body", 4},
		{"large", http.MethodGet, 200, nil, strings.Repeat("x", maxCopied+1), maxCopied + 1},
		{"HEAD", http.MethodHead, 200, http.Header{"Content-Length": {"4"}}, "", 4},
		{"HEAD without a length", http.MethodHead, 200, nil, "", -1},
		{"not modified", http.MethodGet, 304, nil, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := shortcuts.Get().(*shortcut)
			defer x.release()
			x.request.Method = tt.method
			maps.Copy(x.Header(), tt.fields)
			x.WriteHeader(tt.status)
			if tt.body != "" {
				_, _ = io.WriteString(x, tt.body)
			}
			var out bytes.Buffer
			if !x.finish() {
				t.Fatal("finish = false")
			}
			if err := x.send(&out, &out); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(&out), &http.Request{Method: tt.method})
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status || string(body) != tt.body || res.ContentLength != tt.length || res.Close || out.Len() > 0 || res.Header.Get("Date") == "" {
				t.Errorf("%d %v %q, %v; %d bytes left; want %d, a date, %d bytes and nothing left", res.StatusCode, res.Header, body, err, out.Len(), tt.status, tt.length)
			}
		})
	}
}

// What would not be one answer, or another one than net/http writes, is left to net/http.
func TestShortcutRefuses(t *testing.T) {
	for name, answer := range map[string]func(*shortcut){
		"a line break":   func(x *shortcut) { x.Header().Set("X-A", "a\r\nSet-Cookie: b") },
		"half of one":    func(x *shortcut) { x.Header().Set("X-A", "a\nSet-Cookie: b") },
		"in a name":      func(x *shortcut) { x.Header()["A: b\r\nC"] = []string{"d"} },
		"trailers":       func(x *shortcut) { x.Header().Set("Trailer", "X-A") },
		"a coding":       func(x *shortcut) { x.Header().Set("Transfer-Encoding", "gzip") },
		"the end":        func(x *shortcut) { x.Header().Set("Connection", "close") },
		"interim":        func(x *shortcut) { x.WriteHeader(http.StatusEarlyHints) },
		"no content":     func(x *shortcut) { x.WriteHeader(http.StatusNoContent) },
		"in pieces":      func(x *shortcut) { _, _ = io.WriteString(x, "a"); _, _ = io.WriteString(x, "b") },
		"nothing at all": func(*shortcut) {},
	} {
		x := shortcuts.Get().(*shortcut)
		answer(x)
		if name != "nothing at all" {
			x.WriteHeader(http.StatusOK)
		}
		if x.finish() {
			t.Errorf("%s: finish = true", name)
		}
		x.release()
	}
}

// A connection on which hits are answered lives as long as requests come, and no longer than any other without them.
func TestShortcutIdleTimeout(t *testing.T) {
	for _, tt := range []struct {
		name, begun string
		after       time.Duration
	}{
		{"idle", "", 2 * time.Minute},
		{"in a head", "GET /h", 10 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, numbered, nil)
				v := s.visit()
				defer v.Close()
				for range 10 {
					v.ask(t, "GET /hit"+hostLine+"\r\n")
					time.Sleep(time.Minute)
				}
				if n := s.long.Load(); n != 1 {
					t.Fatalf("net/http has read %d requests; want 1", n)
				}
				v.ask(t, "GET /hit"+hostLine+"\r\n")
				synctest.Wait()
				start := time.Now()
				_, _ = io.WriteString(v.Conn, tt.begun)
				rest, err := io.ReadAll(v)
				// The deadline of an idle connection is moved at most once a second.
				if took := time.Since(start); err != nil || took < tt.after-time.Second || took > tt.after {
					t.Errorf("closed after %v with %q, %v; want %v", took, rest, err, tt.after)
				}
			})
		})
	}
}

// To net/http the connection is idle while the shortcut answers. It is not closed before the client has all of the answer, but for a
// client that takes too long.
func TestShortcutDrains(t *testing.T) {
	for _, reads := range []bool{true, false} {
		t.Run(fmt.Sprintf("the client reads=%v", reads), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const size = 1 << 20
				s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Cache-Control", "max-age=60")
					_, _ = w.Write(make([]byte, size))
				}, nil)
				v := s.visit()
				defer v.Close()
				v.ask(t, "GET /"+hostLine+"\r\n")
				synctest.Wait()
				go func() { _, _ = io.WriteString(v.Conn, "GET /"+hostLine+"\r\n") }()
				if _, err := v.Reader.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
				drained := make(chan error, 1)
				start := time.Now()
				go func() { drained <- s.drain(s.http) }()
				synctest.Wait()
				select {
				case err := <-drained:
					t.Fatalf("drained during an answer: %v", err)
				default:
				}
				if reads {
					rest, err := io.ReadAll(v)
					if err != nil || len(rest) < size {
						t.Errorf("the client got %d bytes, %v; want all", len(rest), err)
					}
					if err := <-drained; err != nil {
						t.Errorf("drain = %v", err)
					}
					return
				}
				if err := <-drained; err == nil || time.Since(start) != s.cfg.DrainTimeout {
					t.Errorf("drain = %v after %v; want an error after %v", err, time.Since(start), s.cfg.DrainTimeout)
				}
			})
		})
	}
}

// One connection asks two hosts, as one of a proxy in front does.
func TestShortcutTwoHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, r.Host)
		}, nil)
		v := s.visit()
		defer v.Close()
		for range 2 {
			for _, host := range []string{"a.test", "b.test"} {
				got, _ := v.ask(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
				if !strings.HasSuffix(got, "\n"+host) {
					t.Errorf("%s got %q", host, got)
				}
				synctest.Wait()
			}
		}
		if long, origin := s.long.Load(), s.origin.Load(); long != 2 || origin != 2 {
			t.Errorf("net/http has read %d requests, the origin %d; want 2 of each", long, origin)
		}
	})
}

// The shortcut keys a request by the same scheme, host and client as the long way: TLS has pages of its own, and what a peer says of the host counts if
// the peer is trusted.
func TestShortcutBelievesWhomTheLongWayDoes(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, r.Host)
	}, func(cfg *Config) { cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	v := s.visit()
	defer v.Close()
	for _, host := range []string{"a.test", "b.test"} {
		v.ask(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	}
	const plain, forwarded = "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Host: b.test\r\n"
	for _, tt := range []struct {
		name, remote, head string
		tls                *tls.ConnectionState
		want               string // "" is not answered
	}{
		{"plain", "192.0.2.1:9", plain, nil, "a.test"},
		{"in TLS", "192.0.2.1:9", plain, new(tls.ConnectionState), ""},
		{"host of a stranger", "192.0.2.1:9", forwarded + "\r\n", nil, "a.test"},
		{"host of a friend", "10.1.2.3:9", forwarded + "\r\n", nil, "b.test"},
		{"scheme of a stranger", "192.0.2.1:9", forwarded + "X-Forwarded-Proto: https\r\n\r\n", nil, "a.test"},
		{"scheme of a friend", "10.1.2.3:9", forwarded + "X-Forwarded-Proto: https\r\n\r\n", nil, ""},
	} {
		client, server := net.Pipe()
		c := &strictConn{Conn: server, remote: tt.remote, tls: tt.tls, front: s.front}
		body := make(chan string, 1)
		go func() {
			res, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil {
				body <- ""
				return
			}
			b, _ := io.ReadAll(res.Body)
			body <- string(b)
		}()
		alone, answered, err := c.try([]byte(tt.head))
		_ = server.Close()
		if got := <-body; got != tt.want || answered != (tt.want != "") || !alone || err != nil {
			t.Errorf("%s: %q, answered %v, alone %v, %v; want %q", tt.name, got, answered, alone, err, tt.want)
		}
		_ = client.Close()
	}
}

// With a store outside the process there is no shortcut: to look would be to wait.
func TestNoShortcutWithoutLocalStore(t *testing.T) {
	m, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	o := httptest.NewServer(http.NotFoundHandler())
	defer o.Close()
	u, err := url.Parse(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Defaults()
	cfg.Origin = u
	cfg.Store = struct{ store.Store }{m}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.front != nil {
		t.Error("a store outside the process has a front")
	}
}
