package reprise_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// What is no field name is not sent by net/http, and so by nobody.
func TestNoFieldName(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		h := open(t, reprise.Config{Store: s}).WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			for _, name := range []string{"", "a name", "a:", "a\r\nb", "é"} {
				w.Header()[name] = []string{"x"}
			}
			w.Header()["x-Lower"] = []string{"y"}
			_, _ = io.WriteString(w, "text")
		})
		for _, xcache := range []string{"MISS", "HIT"} {
			w := get(h, "/a")
			check(t, w, 200, xcache, "text")
			for name := range w.Header() {
				if strings.Trim(name, "-ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" || name == "" {
					t.Errorf("%s: %q in %v", xcache, name, w.Header())
				}
			}
			if w.Header().Get("X-Lower") != "y" {
				t.Errorf("%s: fields %v; want X-Lower", xcache, w.Header())
			}
			synctest.Wait() // for the write to a store outside
		}
	})
}

// What would break the line of a field is a space, to the first client and to the others.
func TestBrokenFieldValue(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		h := open(t, reprise.Config{Store: s}).WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["X-One"] = []string{"a\r\nSet-Cookie: b=c\n"}
			w.Header()["X-Two"] = []string{"a\x00b", "\rc\xe9"}
			w.Header()["x-three"] = []string{"a\nb"}
			_, _ = io.WriteString(w, "text")
		})
		want := http.Header{"X-One": {"a  Set-Cookie: b=c"}, "X-Two": {"a b", "c\xe9"}, "X-Three": {"a b"}}
		for _, xcache := range []string{"MISS", "HIT"} {
			w := get(h, "/a")
			check(t, w, 200, xcache, "text")
			for name, values := range want {
				if got := w.Header()[name]; !slices.Equal(got, values) {
					t.Errorf("%s: %s = %q; want %q", xcache, name, got, values)
				}
			}
			synctest.Wait() // for the write to a store outside
		}
	})
}

// A handler that takes the connection has it for itself; nothing is recorded, nobody waits.
func TestHijack(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(http.ResponseWriter)
	}{
		{"at once", func(http.ResponseWriter) {}},
		{"after a write", func(w http.ResponseWriter) { _, _ = io.WriteString(w, "held back") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := open(t, reprise.Config{})
			var calls atomic.Int64
			h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
				n := calls.Add(1)
				tt.before(w)
				conn, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Errorf("Hijack() = %v", err)
					return
				}
				defer conn.Close()
				if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
					t.Errorf("Write() after Hijack = %v; want ErrHijacked", err)
				}
				if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrHijacked) {
					t.Errorf("Flush() after Hijack = %v; want ErrHijacked", err)
				}
				w.WriteHeader(500)
				_, _ = fmt.Fprintf(rw, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhijacked %d", n)
				_ = rw.Flush()
			})
			var served sync.WaitGroup
			served.Add(2)
			s := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer served.Done()
				h.ServeHTTP(w, r)
			}), 1)
			for i := range 2 {
				want := answer{status: 200, body: fmt.Sprint("hijacked ", i+1), close: true}
				if got := ask(t, s.Client(), http.MethodGet, s.URL); got != want {
					t.Errorf("answer %d:\n%v; want\n%v", i+1, got, want)
				}
			}
			served.Wait()
			if s := c.Stats(); s.Entries != 0 || s.Fills != 0 {
				t.Errorf("Stats() = %d entries, %d fills; want none", s.Entries, s.Fills)
			}
		})
	}
}

// What asks for another protocol never meets the recorder.
func TestUpgrade(t *testing.T) {
	c := open(t, reprise.Config{})
	h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Errorf("Hijack() = %v", err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString(line)
		_ = rw.Flush()
	})
	s := listen(t, h, 1)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello\n")
	got, err := io.ReadAll(bufio.NewReader(conn))
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 101 ") || !strings.HasSuffix(string(got), "\r\n\r\nhello\n") {
		t.Errorf("got %q, %v", got, err)
	}
}

// The recorder claims what it can do for any client, and no more.
func TestInterfaces(t *testing.T) {
	c := open(t, reprise.Config{})
	h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(http.Pusher); ok {
			t.Error("it claims to be a Pusher")
		}
		for name, ok := range map[string]bool{
			"Flusher":      is[http.Flusher](w),
			"ReaderFrom":   is[io.ReaderFrom](w),
			"StringWriter": is[io.StringWriter](w),
			"Unwrap":       is[interface{ Unwrap() http.ResponseWriter }](w),
		} {
			if !ok {
				t.Errorf("it is no %s", name)
			}
		}
		// httptest.ResponseRecorder can do none of these.
		rc := http.NewResponseController(w)
		_, _, hijack := rc.Hijack()
		for name, err := range map[string]error{
			"Hijack": hijack, "EnableFullDuplex": rc.EnableFullDuplex(),
			"SetReadDeadline": rc.SetReadDeadline(time.Time{}), "SetWriteDeadline": rc.SetWriteDeadline(time.Time{}),
		} {
			if !errors.Is(err, http.ErrNotSupported) {
				t.Errorf("%s = %v; want ErrNotSupported", name, err)
			}
		}
		_, _ = io.WriteString(w, "still stored")
	})
	check(t, get(h, "/a"), 200, "MISS", "still stored")
	check(t, get(h, "/a"), 200, "HIT", "still stored")
}

func is[T any](v any) bool { _, ok := v.(T); return ok }

// Early hints are the first client's alone.
func TestEarlyHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, "page")
		})
		clients := []*informed{{client: new(client)}, {client: new(client)}}
		var wg sync.WaitGroup
		for _, cl := range clients {
			cl.h = make(http.Header)
			wg.Go(func() { h.ServeHTTP(cl, newRequest("/a")) })
			synctest.Wait()
		}
		wg.Wait()
		for i, want := range []string{"[103 [</a.css>]]", "[]"} {
			cl := clients[i]
			if fmt.Sprint(cl.hints) != want || cl.h.Get("Link") != "" || cl.body.String() != "page" {
				t.Errorf("client %d: hints %v, Link %q, %q; want %s, no Link, page", i, cl.hints, cl.h.Get("Link"), cl.body.String(), want)
			}
		}
	})
}

// informed notes 1xx responses.
type informed struct {
	*client
	hints []string
}

func (c *informed) WriteHeader(code int) {
	if code < 200 {
		c.hints = append(c.hints, fmt.Sprint(code, " ", c.h["Link"]))
	}
	c.client.WriteHeader(code)
}

// A client that asked for a part, or whether something changed, gets that from the fill as it would from the store.
func TestFillPrecise(t *testing.T) {
	big := strings.Repeat("0123456789", 5000)
	for _, tt := range []struct {
		name, field, body string
		flush             bool
		code              int
		want              string
	}{
		{"not modified", `If-None-Match: "v1"`, "0123456789", false, 304, ""},
		{"not modified, streamed", `If-None-Match: "v1"`, "0123456789", true, 304, ""},
		{"not modified, large", `If-None-Match: "v1"`, big, false, 304, ""},
		{"modified", `If-None-Match: "v0"`, "0123456789", true, 200, "0123456789"},
		{"range", "Range: bytes=2-4", "0123456789", false, 206, "234"},
		{"range, streamed", "Range: bytes=2-4", "0123456789", true, 200, "0123456789"}, // RFC 9110 §14.2: may be ignored
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := open(t, reprise.Config{})
				var calls atomic.Int64
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					calls.Add(1)
					time.Sleep(time.Second)
					if r.Header.Get("If-None-Match")+r.Header.Get("Range") != "" {
						t.Error("the handler sees the client's precondition or range")
					}
					w.Header().Set("ETag", `"v1"`)
					_, _ = io.WriteString(w, tt.body)
					if tt.flush {
						w.(http.Flusher).Flush()
						time.Sleep(time.Second)
					}
				})
				var wg sync.WaitGroup
				for i := range 3 { // the first leads
					wg.Go(func() {
						w := get(h, "/a", tt.field)
						if w.Code != tt.code || w.Body.String() != tt.want {
							t.Errorf("client %d got %d %.20q; want %d %.20q", i, w.Code, w.Body, tt.code, tt.want)
						}
						if w.Code == 304 && (w.Header().Get("ETag") != `"v1"` || w.Header().Get("Content-Length") != "" || w.Header().Get("Content-Type") != "") {
							t.Errorf("client %d: 304 with %v", i, w.Header())
						}
					})
				}
				wg.Wait()
				w := get(h, "/a")
				if w.Body.String() != tt.body || calls.Load() != 1 {
					t.Errorf("afterwards %.20q after %d calls; want the whole after 1", w.Body, calls.Load())
				}
			})
		})
	}
}

// HEAD stores nothing, is not stored for GET, and is collapsed like GET.
func TestHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var calls atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			time.Sleep(time.Second)
			w.Header().Set("X-Method", r.Method)
			n, err := io.WriteString(w, "<!DOCTYPE html>")
			if n != 15 || err != nil {
				t.Errorf("WriteString() = %d, %v", n, err)
			}
		})
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				w := request(h, http.MethodHead, "/a")
				if w.Body.Len() != 0 || w.Header().Get("X-Method") != "HEAD" || w.Header().Get("Content-Length") != "15" ||
					w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
					t.Errorf("HEAD got %q and %v", w.Body, w.Header())
				}
			})
		}
		wg.Wait()
		if calls.Load() != 1 {
			t.Errorf("%d calls for 10 HEAD requests; want 1", calls.Load())
		}
		w := get(h, "/a")
		check(t, w, 200, "MISS", "<!DOCTYPE html>")
		w = request(h, http.MethodHead, "/a")
		if w.Header().Get("X-Cache") != "HIT" || w.Header().Get("X-Method") != "GET" || w.Body.Len() != 0 || w.Header().Get("Content-Length") != "15" {
			t.Errorf("HEAD of what is stored: %q and %v", w.Body, w.Header())
		}
	})
}

// Followers of an event stream have one each, and it ends with its client.
func TestEventStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, reprise.Config{})
		var calls, ended atomic.Int64
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			id := calls.Add(1)
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
			w.WriteHeader(200)
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(w, "data: %d of %d\n\n", i, id); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-time.After(time.Minute): // longer than FillTimeout in all
				case <-r.Context().Done():
					ended.Add(1)
					return
				}
			}
		})
		clients := []*client{{}, {}, {}}
		var wg sync.WaitGroup
		for i, cl := range clients {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*10*time.Minute-time.Second)
			defer cancel()
			end := cl.ask(h, newRequest("/events").WithContext(ctx))
			wg.Go(func() { <-end })
		}
		wg.Wait()
		for i, cl := range clients {
			lines := strings.Count(cl.body.String(), "data:")
			if want := 10 * (i + 1); lines != want {
				t.Errorf("client %d got %d events; want %d", i, lines, want)
			}
		}
		if calls.Load() != 3 || ended.Load() != 3 {
			t.Errorf("%d streams, %d ended with their clients; want 3, 3", calls.Load(), ended.Load())
		}
		idle(t, c)
	})
}

// Over real connections, too, one call answers all, and what leads may hang up.
func TestStampedeOverHTTP(t *testing.T) {
	for _, proto := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", proto), func(t *testing.T) {
			c := open(t, reprise.Config{})
			var calls atomic.Int64
			release := make(chan struct{})
			body := strings.Repeat("x", 50_000)
			h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				<-release
				_, _ = io.WriteString(w, body)
			})
			var arrived atomic.Int64
			s := listen(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				arrived.Add(1)
				h.ServeHTTP(w, r)
			}), proto)
			const n = 100
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					if got := ask(t, s.Client(), http.MethodGet, s.URL); got.status != 200 || got.body != body {
						t.Errorf("got %v", got)
					}
				})
			}
			for arrived.Load() < n {
				time.Sleep(time.Millisecond)
			}
			close(release)
			wg.Wait()
			if calls.Load() != 1 {
				t.Errorf("%d calls; want 1", calls.Load())
			}
		})
	}
}

// A status beyond those that exist is not one of those that are stored.
func TestOddStatus(t *testing.T) {
	c := open(t, reprise.Config{})
	h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(800) }) // 600 more than 200
	for range 2 {
		check(t, get(h, "/a"), 800, "", "")
	}
}

// TestOddNames has a handler write past Header.Set, as who wants a field spelled ETag does.
func TestOddNames(t *testing.T) {
	var calls atomic.Int64
	h := open(t, reprise.Config{}).WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header()["ETag"] = []string{`"odd"`}
		w.Header()["cache-control"] = []string{"max-age=60"}
		w.Header()["link"] = []string{"</b>"}
		w.Header().Set("Link", "</a>")
		_, _ = io.WriteString(w, "page")
	})
	for _, want := range []string{"MISS", "HIT"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		got := w.Header()
		if got.Get("X-Cache") != want || !slices.Equal(got["Etag"], []string{`"odd"`}) {
			t.Errorf("%s: %v", want, got)
		}
		for name := range got {
			if name != http.CanonicalHeaderKey(name) {
				t.Errorf("%s: a field %s beside the canonical one", want, name)
			}
		}
		if links := slices.Sorted(slices.Values(got["Link"])); !slices.Equal(links, []string{"</a>", "</b>"}) {
			t.Errorf("%s: Link %q", want, links)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("If-None-Match", `"odd"`)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusNotModified || calls.Load() != 1 {
		t.Errorf("status %d after %d calls; want 304 after 1", w.Code, calls.Load())
	}
}
