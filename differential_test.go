package reprise_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
)

// answer is what a client sees.
type answer struct {
	status   int
	header   string // without what a cache may add
	body     string
	failed   bool // the body broke off, or there was no answer
	trailer  string
	informed string // 1xx with their fields
	close    bool
}

func (a answer) String() string {
	return fmt.Sprintf("%d failed=%v close=%v\n%sinformed: %s\ntrailer: %s\nbody of %d: %.80q",
		a.status, a.failed, a.close, a.header, a.informed, a.trailer, len(a.body), a.body)
}

func fieldText(h http.Header, without ...string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range h {
			if !slices.Contains(without, name) && !yield(name) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "%s: %q\n", name, h[name])
	}
	return b.String()
}

func ask(t *testing.T, c *http.Client, method, target string) (a answer) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			a.informed += fmt.Sprint(code, " ", fieldText(http.Header(h)))
			return nil
		},
	})
	r, err := http.NewRequestWithContext(ctx, method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(r)
	if err != nil {
		a.failed = true
		return a
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a.status, a.body, a.failed, a.close = resp.StatusCode, string(body), err != nil, resp.Close
	a.header = fieldText(resp.Header, "Date", "Age", "X-Cache", "Cache-Status", "Etag", "Content-Length")
	a.trailer = fieldText(resp.Trailer)
	return a
}

// The client of a wrapped handler sees what the client of the bare one sees.
func TestLikeNetHTTP(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.txt")
	if err := os.WriteFile(large, bytes.Repeat([]byte("0123456789"), 20_000), 0o600); err != nil {
		t.Fatal(err)
	}
	page := "<!DOCTYPE html><title>page</title>"
	write := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	field := func(name string, values ...string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()[name] = values
			_, _ = io.WriteString(w, page)
		}
	}
	status := func(code int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			if _, err := io.WriteString(w, body); err != nil && code != 204 && code != 304 {
				t.Errorf("Write() after %d: %v", code, err)
			}
		}
	}
	length := func(declared, written int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(declared))
			for left := written; left > 0; left -= 1000 {
				_, _ = w.Write(bytes.Repeat([]byte("x"), min(left, 1000)))
			}
		}
	}
	trailers := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.WriteString(w, body)
			w.Header().Set("X-Sum", "announced")
			w.Header().Set(http.TrailerPrefix+"X-More", "not announced")
		}
	}
	flush := func(w http.ResponseWriter) { w.(http.Flusher).Flush() }

	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		not     string // "close", "informed": what a stored answer has not
		only1   bool   // HTTP/1.1
	}{
		{name: "nothing", handler: func(http.ResponseWriter, *http.Request) {}},
		{name: "fields only", handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-A", "b") }},
		{name: "text", handler: write("hello")},
		{name: "html", handler: write(page)},
		{name: "empty write", handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil) }},
		{name: "bytes", handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("\x89PNG\x0D\x0A\x1A\x0A")) }},
		{name: "tiny writes", handler: func(w http.ResponseWriter, _ *http.Request) {
			for i := range page {
				_, _ = io.WriteString(w, page[i:i+1])
			}
		}},
		{name: "tiny, then huge", handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, page[:3])
			_, _ = io.WriteString(w, page[3:]+strings.Repeat("x", 100_000))
		}},
		{name: "blank, then html late", handler: write(strings.Repeat(" ", 500) + page)},
		{name: "tiny, flushed", handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, page[:3])
			flush(w)
			_, _ = io.WriteString(w, page[3:])
		}},
		{name: "32 KiB", handler: write(strings.Repeat("x", 32<<10))},
		{name: "32 KiB and one", handler: write(strings.Repeat("x", 32<<10+1))},
		{name: "100 kB", handler: write(strings.Repeat("x", 100_000))},
		{name: "flush first", handler: func(w http.ResponseWriter, _ *http.Request) {
			flush(w)
			_, _ = io.WriteString(w, page)
		}},
		{name: "flush only", handler: func(w http.ResponseWriter, _ *http.Request) { flush(w) }},
		{name: "201", handler: status(201, "made")},
		{name: "204", handler: status(204, "")},
		{name: "204 with a body", handler: status(204, "none")},
		{name: "204 with a length", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "4")
			w.WriteHeader(204)
		}, only1: true},
		{name: "205", handler: status(205, "")},
		{name: "299", handler: status(299, "odd")},
		{name: "301", handler: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://example.test/", http.StatusMovedPermanently)
		}},
		{name: "304", handler: status(304, "")},
		{name: "304 with a body", handler: status(304, "none")},
		{name: "404", handler: http.NotFound},
		{name: "500", handler: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oops", 500) }},
		{name: "999", handler: status(999, "very odd")},
		{name: "type", handler: field("Content-Type", "application/json")},
		{name: "type twice", handler: field("Content-Type", "text/a", "text/b")},
		{name: "no type", handler: field("Content-Type")},
		{name: "empty type", handler: field("Content-Type", "")},
		{name: "encoded", handler: field("Content-Encoding", "br")},
		{name: "several lines", handler: field("X-Line", "one", "", "three")},
		{name: "lower case", handler: field("x-lower", "one")},
		{name: "cookies", handler: field("Set-Cookie", "a=1", "b=2")},
		{name: "own date", handler: field("Date", "Sat, 01 Jan 2000 00:00:00 GMT")},
		{name: "Last-Modified", handler: field("Last-Modified", "Sat, 01 Jan 2000 00:00:00 GMT")},
		{name: "Connection: close", handler: field("Connection", "close"), not: "close"},
		{name: "chunked", handler: field("Transfer-Encoding", "chunked"), only1: true},
		{name: "identity", handler: field("Transfer-Encoding", "identity"), only1: true, not: "close"},
		{name: "length", handler: length(5000, 5000)},
		{name: "short", handler: length(5000, 4000)},
		{name: "short and large", handler: length(50_000, 40_000)},
		{name: "long", handler: length(4000, 5000), only1: true},
		{name: "long and large", handler: length(40_000, 50_000), only1: true},
		{name: "a length that is none", handler: func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodHead { // net/http sends it then, and its own client refuses that
				w.Header().Set("Content-Length", "many")
			}
			_, _ = io.WriteString(w, page)
		}},
		{name: "announced for HEAD", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(page)))
			if r.Method != http.MethodHead {
				_, _ = io.WriteString(w, page)
			}
		}},
		{name: "twice", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(202)
			w.Header().Set("X-Late", "yes")
			w.WriteHeader(500)
			_, _ = io.WriteString(w, page)
		}},
		{name: "WriteHeader(0)", handler: func(w http.ResponseWriter, _ *http.Request) {
			defer func() { _, _ = fmt.Fprint(w, recover()) }()
			w.WriteHeader(0)
		}},
		{name: "early hints", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Link", "</b.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			w.Header().Set("X-Final", "yes")
			_, _ = io.WriteString(w, page)
		}, not: "informed"},
		{name: "trailers", handler: trailers(page)},
		{name: "trailers of a large body", handler: trailers(strings.Repeat("x", 100_000))},
		{name: "a trailer that was not announced", handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, page)
			flush(w)
			w.Header().Set(http.TrailerPrefix+"X-More", "yes")
		}},
		{name: "io.Copy", handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, strings.NewReader(page)) }},
		{name: "io.Copy of much", handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, io.LimitReader(endless{}, 200_000))
		}},
		{name: "io.Copy of much that is private", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "private")
			_, _ = io.Copy(w, io.LimitReader(endless{}, 200_000))
		}},
		{name: "io.Copy that breaks off", handler: func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(w, io.MultiReader(strings.NewReader(strings.Repeat("x", 50_000)), broken{}))
			if !errors.Is(err, errBroken) && r.URL.Path != "/bare" { // net/http says otherwise for HEAD
				t.Errorf("io.Copy() = %v; want the reader's error", err)
			}
			panic(http.ErrAbortHandler)
		}},
		{name: "ServeFile", handler: func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, large) }},
		{name: "ServeFile, not stored", handler: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			http.ServeFile(w, r, large)
		}},
		{name: "panic", handler: func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "panic after a flush", handler: func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, page)
			flush(w)
			panic(http.ErrAbortHandler)
		}},
		{name: "events", handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
				flush(w)
			}
		}},
		{name: "ResponseController", handler: func(w http.ResponseWriter, _ *http.Request) {
			rc := http.NewResponseController(w)
			_, _ = fmt.Fprint(w, rc.SetWriteDeadline(time.Now().Add(time.Minute)), rc.SetReadDeadline(time.Time{}), rc.EnableFullDuplex(), rc.Flush())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := open(t, reprise.Config{})
			mux := http.NewServeMux()
			mux.Handle("/bare", tt.handler)
			mux.Handle("/wrapped", c.Wrap(tt.handler))
			for _, proto := range []int{1, 2} {
				if proto == 2 && tt.only1 {
					continue
				}
				s := listen(t, mux, proto)
				for _, method := range []string{http.MethodHead, http.MethodGet} {
					want := ask(t, s.Client(), method, s.URL+"/bare")
					for i := range 2 {
						got := ask(t, s.Client(), method, s.URL+"/wrapped")
						want := want
						if i > 0 || proto == 2 { // HTTP/2 comes second, and may find what HTTP/1.1 has stored
							if strings.Contains(tt.not, "close") {
								got.close, want.close = false, false
							}
							if strings.Contains(tt.not, "informed") {
								got.informed, want.informed = "", ""
							}
						}
						if got.failed && want.failed && (strings.HasPrefix(got.body, want.body) || strings.HasPrefix(want.body, got.body)) {
							got.body = want.body // where it breaks off is up to buffers
						}
						if got != want {
							t.Errorf("HTTP/%d %s, answer %d:\n%v\nbare:\n%v", proto, method, i+1, got, want)
						}
					}
				}
			}
		})
	}
}

func listen(t *testing.T, h http.Handler, proto int) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	if proto == 2 {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	tr := s.Client().Transport.(*http.Transport)
	tr.DisableCompression = true
	s.Client().CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }
