package proxy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// rawOrigin answers every request with the same bytes, in pieces, and closes the connection after it if it is told so.
func rawOrigin(t *testing.T, asked *atomic.Int32, hangUp bool, pieces ...string) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				br := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, r.Body)
					asked.Add(1)
					for _, piece := range pieces {
						_, _ = io.WriteString(c, piece)
					}
					if hangUp {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// TestLyingOrigins asks twice for what an origin sends. What is not whole, or not certain where it ends, is never stored.
func TestLyingOrigins(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"
	for _, tt := range []struct {
		name   string
		pieces []string
		hangUp bool
		status int    // 0: the connection is cut off
		body   string // of both answers
		stored bool
	}{
		{"whole", []string{head + "Content-Length: 4\r\n\r\nbody"}, false, 200, "body", true},
		{"byte by byte", strings.Split(head+"Content-Length: 4\r\n\r\nbody", ""), false, 200, "body", true},
		{"chunked", []string{head + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"}, false, 200, "body", true},
		{"to the end of the connection", []string{head + "\r\nbody"}, true, 200, "body", true},
		{"short", []string{head + "Content-Length: 40\r\n\r\nbody"}, true, 0, "", false},
		{"chunks without end", []string{head + "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n"}, true, 0, "", false},
		{"cut in a chunk", []string{head + "Transfer-Encoding: chunked\r\n\r\n40\r\nbody"}, true, 0, "", false},
		{"chunk that is none", []string{head + "Transfer-Encoding: chunked\r\n\r\nxx\r\nbody\r\n0\r\n\r\n"}, true, 0, "", false},
		{"two lengths", []string{head + "Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody!"}, true, 502, "Bad Gateway\n", false},
		{"length that is none", []string{head + "Content-Length: four\r\n\r\nbody"}, true, 502, "Bad Gateway\n", false},
		{"length and chunks", []string{head + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"}, false, 200, "body", true},
		{"two codings", []string{head + "Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"}, true, 502, "Bad Gateway\n", false},
		{"unknown coding", []string{head + "Transfer-Encoding: sealed\r\n\r\nbody"}, true, 200, "body", true},
		{"unknown coding, in pieces", []string{head + "Transfer-Enc", "oding: seal", "ed\r\n", "\r\nbody"}, true, 200, "body", true},
		{"unknown coding and a length", []string{head + "Transfer-Encoding: sealed\r\nContent-Length: 2\r\n\r\nbody"}, true, 502, "Bad Gateway\n", false},
		{"a length and an unknown coding", []string{head + "Content-Length: 2\r\nTransfer-Encoding: sealed\r\n\r\nbody"}, true, 502, "Bad Gateway\n", false},
		{"fields of the hop", []string{head + "X-Hop: a\r\nConnection: X-Hop, X-Other\r\nContent-Length: 4\r\n\r\nbody"}, false, 200, "body", true},
		{"fields of the last hop", []string{head + "Connection: close, x-hop\r\nX-Hop: a\r\nContent-Length: 4\r\n\r\nbody"}, true, 200, "body", true},
		{"fields of the last hop, in lines", []string{head + "Connection: close\r\nX-Hop: a\r\nConnection: X-Hop\r\n\r\nbody"}, true, 200, "body", true},
		{"fields of an interim hop", []string{"HTTP/1.1 103 Early Hints\r\nConnection: Cache-Control\r\n\r\n" + head + "Connection: close\r\n\r\nbody"}, true, 200, "body", true},
		{"no head", []string{"nonsense\r\n\r\n"}, true, 502, "Bad Gateway\n", false},
		{"nothing", nil, true, 502, "Bad Gateway\n", false},
		{"half a head", []string{head}, true, 502, "Bad Gateway\n", false},
		{"no such status", []string{"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"}, true, 502, "Bad Gateway\n", false},
		{"head without end", []string{head + strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 400) + "\r\n"}, true, 502, "Bad Gateway\n", false},
		{"interim", []string{"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + head + "Content-Length: 4\r\n\r\nbody"}, false, 200, "body", true},
		{"Pragma", []string{head + "Pragma: no-cache\r\nContent-Length: 4\r\n\r\nbody"}, false, 200, "body", true},
		{"Pragma alone", []string{"HTTP/1.1 200 OK\r\nPragma: no-cache\r\nExpires: Thu, 01 Jan 2099 00:00:00 GMT\r\nContent-Length: 4\r\n\r\nbody"}, false, 200, "body", true},
		{"Vary: *", []string{head + "Vary: *\r\nContent-Length: 4\r\n\r\nbody"}, false, 200, "body", false},
		{"Set-Cookie", []string{head + "Set-Cookie: a=b\r\nContent-Length: 4\r\n\r\nbody"}, false, 200, "body", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			p := start(t, rawOrigin(t, &asked, tt.hangUp, tt.pieces...), nil)
			for i := range 2 {
				c := dial(t, p.addr)
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
				var sent strings.Builder
				br := bufio.NewReader(io.TeeReader(c, &sent))
				res, err := http.ReadResponse(br, nil)
				for err == nil && res.StatusCode == http.StatusEarlyHints {
					res, err = http.ReadResponse(br, nil)
				}
				if err != nil {
					if tt.status != 0 {
						t.Fatalf("answer %d: %v", i, err)
					}
					continue
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if tt.status == 0 {
					if err == nil && res.StatusCode == http.StatusOK {
						t.Errorf("answer %d = %q, whole; want that it shows that it is not", i, body)
					}
					continue
				}
				if err != nil || res.StatusCode != tt.status || string(body) != tt.body {
					t.Errorf("answer %d = %d %q, %v; want %d %q", i, res.StatusCode, body, err, tt.status, tt.body)
				}
				// Not by res: net/http's client makes Cache-Control of it.
				if strings.HasPrefix(tt.name, "Pragma") && (!strings.Contains(sent.String(), "\r\nPragma: no-cache\r\n") || strings.Contains(sent.String(), "Control: no-cache")) {
					t.Errorf("answer %d = %q; want Pragma as the origin sent it", i, sent.String())
				}
				for name := range res.Header {
					if strings.Contains(name, "~") || name == "Transfer-Encoding" || name == "X-Hop" {
						t.Errorf("answer %d has %s", i, name)
					}
				}
			}
			if stored := asked.Load() == 1; stored != tt.stored {
				t.Errorf("the origin was asked %d times; stored: want %v", asked.Load(), tt.stored)
			}
		})
	}
}

// A response that repeats what its client sent in a field that is not in the key is not stored.
func TestReflection(t *testing.T) {
	const value = `"><script src=//evil.test>`
	for _, tt := range []struct {
		name   string
		field  string
		answer func(w http.ResponseWriter, got string)
		mode   proxy.Reflection
		stored bool
	}{
		{"in the body", "X-Theme", func(w http.ResponseWriter, got string) { _, _ = io.WriteString(w, "<p>"+got+"</p>") }, proxy.ReflectionRefuse, false},
		{"in a field", "X-Theme", func(w http.ResponseWriter, got string) { w.Header().Set("Location", "//"+got) }, proxy.ReflectionRefuse, false},
		{"in pieces", "X-Theme", func(w http.ResponseWriter, got string) {
			for i := range got {
				_, _ = io.WriteString(w, got[i:i+1])
				_ = http.NewResponseController(w).Flush()
			}
		}, proxy.ReflectionRefuse, false},
		{"behind much else", "X-Theme", func(w http.ResponseWriter, got string) {
			_, _ = io.WriteString(w, strings.Repeat("x", 100<<10)+got)
		}, proxy.ReflectionRefuse, false},
		{"User-Agent", "User-Agent", func(w http.ResponseWriter, got string) { _, _ = io.WriteString(w, got) }, proxy.ReflectionRefuse, false},
		{"Accept that is no list of types", "Accept", func(w http.ResponseWriter, got string) { _, _ = io.WriteString(w, got) }, proxy.ReflectionRefuse, false},
		{"Referer", "Referer", func(w http.ResponseWriter, got string) { _, _ = io.WriteString(w, got) }, proxy.ReflectionRefuse, false},
		{"named in Vary", "X-Theme", func(w http.ResponseWriter, got string) {
			w.Header().Set("Vary", "X-Theme")
			_, _ = io.WriteString(w, got)
		}, proxy.ReflectionRefuse, true},
		{"another field", "X-Theme", func(w http.ResponseWriter, _ string) { _, _ = io.WriteString(w, "nothing of it") }, proxy.ReflectionRefuse, true},
		{"observed", "X-Theme", func(w http.ResponseWriter, got string) { _, _ = io.WriteString(w, got) }, proxy.ReflectionObserve, true},
		{"nobody looks", "X-Theme", func(w http.ResponseWriter, got string) { _, _ = io.WriteString(w, got) }, proxy.ReflectionOff, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "max-age=60")
				tt.answer(w, r.Header.Get(tt.field))
			})
			log := new(lockedBuffer)
			p := start(t, o.URL, func(cfg *proxy.Config) { cfg.Reflection, cfg.Logger = tt.mode, log.logger() })
			get(t, p.front+"/", tt.field+": "+value)
			res, _ := get(t, p.front+"/", tt.field+": "+value)
			if stored := strings.HasPrefix(status(t, res), "hit"); stored != tt.stored {
				t.Errorf("Cache-Status = %q; stored: want %v", status(t, res), tt.stored)
			}
			if tells := strings.Contains(log.String(), "field="+tt.field); tells != (!tt.stored || tt.mode == proxy.ReflectionObserve) {
				t.Errorf("log = %q; want the field only where it was found", log)
			}
		})
	}
}

// What is no reflection: a page that names pages of its site, types of media, the cache's own conditions.
func TestNoReflection(t *testing.T) {
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Etag", `"0123456789"`)
		_, _ = io.WriteString(w, `<a href="http://`+r.Host+`/list">gzip, deflate en-GB,en;q=0.8 text/html</a>`)
	})
	p := start(t, o.URL, nil)
	for i, want := range []string{"fwd=uri-miss; stored", "hit"} {
		res, _ := get(t, p.front+"/", "Host: shop.test", "Referer: http://shop.test/list", "Accept: text/html", "Accept-Encoding: gzip, deflate", "Accept-Language: en-GB,en;q=0.8", `If-None-Match: "abcdefghij"`, "X-Policy: max-age=60")
		if s := status(t, res); !strings.HasPrefix(s, want) {
			t.Errorf("GET %d: Cache-Status = %q; want %q", i, s, want)
		}
	}
}

// X-Forwarded-* of a trusted peer make the host and the scheme, and with them the key; of anybody else they are nothing.
func TestTrustedProxies(t *testing.T) {
	o := originServer(t, mirror)
	fields := []string{"Host: inner.test", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Host: shop.test", "X-Forwarded-Proto: https", "X-Forwarded-Port: 1"}
	for _, trusted := range []bool{true, false} {
		p := start(t, o.URL, func(cfg *proxy.Config) {
			cfg.Reflection = proxy.ReflectionOff
			if trusted {
				cfg.TrustedProxies = prefixes(t, "127.0.0.0/8")
			}
		})
		_, body := get(t, p.front+"/a", fields...)
		want := "GET inner.test /a\nbody \"\"\nAccept-Encoding [\"gzip\"]\nUser-Agent [\"Go-http-client/1.1\"]\n" +
			"X-Forwarded-For [\"127.0.0.1\"]\nX-Forwarded-Host [\"inner.test\"]\nX-Forwarded-Proto [\"http\"]\n"
		if trusted {
			want = "GET shop.test /a\nbody \"\"\nAccept-Encoding [\"gzip\"]\nUser-Agent [\"Go-http-client/1.1\"]\n" +
				"X-Forwarded-For [\"203.0.113.7, 127.0.0.1\"]\nX-Forwarded-Host [\"shop.test\"]\nX-Forwarded-Proto [\"https\"]\n"
		}
		if body != want {
			t.Errorf("trusted %v: the origin sees %q; want %q", trusted, body, want)
		}
		_, entries := get(t, p.admin+"/entries")
		key := "http://inner.test|/a"
		if trusted {
			key = "https://shop.test|/a"
		}
		if !strings.Contains(entries, key) {
			t.Errorf("trusted %v: entries = %q; want a key with %s", trusted, entries, key)
		}
	}
}
