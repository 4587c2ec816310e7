package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// toy is a Subject of a few lines. Nothing of it is meant to be right but what testdata/format.txt says.
type toy struct {
	off     bool
	mu      sync.Mutex
	entries map[string]toyEntry
	notes   []string
}

type toyEntry struct {
	http.Header
	body    []byte
	at, end time.Time
}

func openToy(*testing.T) func([]Option) (Subject, error) {
	return func(config []Option) (Subject, error) {
		off := slices.Contains(config, Option{Name: "Off"})
		return &toy{off: off, entries: map[string]toyEntry{}}, nil
	}
}

type toyRecorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *toyRecorder) WriteHeader(status int) {
	r.status = status
	if status == http.StatusOK {
		r.Header().Set("X-Cache", "MISS")
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *toyRecorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	r.body.Write(b)
	return r.ResponseWriter.Write(b)
}

func (r *toyRecorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (s *toy) Handler(route Route, origin http.Handler) (http.Handler, error) {
	ttl := time.Minute
	for _, o := range route.Options {
		if o.Name != "TTL" {
			return nil, fmt.Errorf("no option %s", o)
		}
		var err error
		if ttl, err = o.Duration(); err != nil {
			return nil, err
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || s.off {
			origin.ServeHTTP(w, r)
			return
		}
		for {
			s.mu.Lock()
			e, ok := s.entries[r.RequestURI]
			switch {
			case ok && e.body == nil: // another request is at it
				s.mu.Unlock()
				time.Sleep(time.Millisecond)
				continue
			case ok && (ttl > 1e6*time.Hour || time.Now().Before(e.end)):
				s.mu.Unlock()
				maps.Copy(w.Header(), e.Header)
				w.Header().Set("Age", strconv.Itoa(int(time.Since(e.at).Seconds())))
				w.Header().Set("X-Cache", "HIT")
				_, _ = w.Write(e.body)
				return
			}
			s.entries[r.RequestURI] = toyEntry{}
			s.mu.Unlock()
			break
		}
		rec := &toyRecorder{ResponseWriter: w}
		finished := false
		defer func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.entries, r.RequestURI)
			if finished && rec.status == http.StatusOK {
				now := time.Now()
				s.entries[r.RequestURI] = toyEntry{w.Header().Clone(), append([]byte{}, rec.body.Bytes()...), now, now.Add(ttl)}
			}
		}()
		origin.ServeHTTP(rec, r)
		if rec.status == 0 {
			rec.WriteHeader(http.StatusOK)
		}
		finished = true
	}), nil
}

func (s *toy) Do(_ context.Context, call Call) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch call.Name {
	case "delete":
		if call.Route == nil {
			return "", errors.New("no route")
		}
		_, ok := s.entries[call.Request.RequestURI]
		delete(s.entries, call.Request.RequestURI)
		if ok {
			return "1", nil
		}
		return "0", nil
	case "key":
		return call.Request.Host + call.Request.RequestURI + call.Request.Header.Get("Accept"), nil
	case "note":
		s.notes = append(s.notes, call.Args...)
		return "", nil
	case "notes":
		return strings.Join(s.notes, ","), nil
	}
	return "", fmt.Errorf("no command %s", call.Name)
}

func (s *toy) Close() error { return nil }

func TestRun(t *testing.T) { Run(t, "testdata/format.txt", openToy, "present") }

// failures is a reporter that keeps what is reported.
type failures struct {
	mu   sync.Mutex
	list []string
}

func (f *failures) Context() context.Context { return context.Background() }
func (f *failures) Helper()                  {}
func (f *failures) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = append(f.list, fmt.Sprintf(format, args...))
}

// Each expectation that a file can hold fails where it does not come true, and names its line.
func TestRunReports(t *testing.T) {
	for _, tt := range []struct{ name, steps, want string }{
		{"status", "> GET /\n< 404 MISS", "t.txt:4: status 200; want 404"},
		{"mark", "> GET /\n< 200 HIT", "t.txt:4: X-Cache MISS; want HIT"},
		{"no mark", "> POST /\n< 200 HIT", "t.txt:4: X-Cache -; want HIT"},
		{"body", "> GET /\n< 200 MISS\n  | v2", `t.txt:4: body "v1"; want "v2"`},
		{"body that is not empty", "> GET /\n< 200 MISS\n  |", `t.txt:4: body "v1"; want ""`},
		{"length", "> GET /\n< 200 MISS\n  length 3", "t.txt:4: a body of 2 bytes; want 3"},
		{"field", "> GET /\n< 200 MISS\n  Content-Type: text/html", `Content-Type: ["text/plain"]; want ["text/html"]`},
		{"repeated field", "> GET /\n< 200 MISS\n  Content-Type: text/plain\n  Content-Type: text/plain", `want ["text/plain" "text/plain"]`},
		{"absent field", "> GET /\n< 200 MISS\n  !Content-Type", `Content-Type: ["text/plain"]; want no such field`},
		{"part of a field", "> GET /\n< 200 MISS\n  Content-Type ~ html", `want it to contain "html"`},
		{"remembered field", "> GET /\n< 200 MISS\n  ETag = $tag", "Etag: []; want one value to remember"},
		{"nothing remembered", "> GET /\n  If-None-Match: $tag", "nothing was remembered as $tag"},
		{"informational", "> GET /\n< 200 MISS\n  early 103", "informational responses []; want [103]"},
		{"calls", "> GET /\n< 200 MISS\nn=2", "t.txt:5: n=1 calls of the origin; want 2"},
		{"took too little", "> GET /\n< 200 MISS\n  took 1s", "took 0s; want 1s"},
		{"took too long", "handler\n  sleep 1s\n> GET /\n< 200 MISS\n  took <= 1ms", "took 1s; want 1ms"},
		{"whole", "> GET /\n< 200 MISS\n  cut", "the body is whole; want it cut"},
		{"cut", "handler\n  | a\n  flush\n  abort\n> GET /\n< 200 MISS", "reading the body: unexpected EOF"},
		{"no response", "handler\n  abort\n> GET /\n< 200 MISS", "no response: unexpected EOF"},
		{"a response", "> GET /\n< cut", "response 200 OK; want none"},
		{"ended", "a> GET /\na< 200 MISS\n  ...", "the body has ended"},
		{"not begun", "handler\n  sleep 1s\na> GET /\na< 200 MISS\n  ...\na<", "no response yet"},
		{"endless", "handler\n  sleep 25h\n> GET /\n< 200 MISS", "no end of the response after 24h0m0s"},
		{"no request", "< 200 MISS", "t.txt:3: no request whose response this could be"},
		{"two requests", "> GET /\n> GET /", "t.txt:4: nobody looked at the response before"},
		{"forgotten response", "a> GET /", `nobody looked at the last response of client "a"`},
		{"nobody hangs up", "hangup a", "client a has no request on its way"},
		{"parallel", "parallel 10\n  > GET /{i}\n  < 201 MISS", "5 more mistakes"},
		{"parallel client", "parallel 1\n  > GET /{i}\n  < 201 MISS", "t.txt:5: client 1: status 200; want 201"},
		{"tally", "parallel 10\n  > GET /\n  < 200 *\ntally MISS=2", "t.txt:6: MISS=1 clients; want 2 (all: map[200:10 HIT:9 MISS:1])"},
		{"tally of nothing", "tally MISS=0", "tally without parallel"},
		{"output", "! notes\n  = x", `output ""; want "x"`},
		{"part of the output", "! notes\n  ~ x", `output ""; want it to contain "x"`},
		{"error", "! nothing", "t.txt:3: no command nothing"},
		{"other error", "! nothing\n  error something", `error no command nothing; want one that contains "something"`},
		{"no error", "! notes\n  error x", `error <nil>; want one that contains "x"`},
		{"error in a handler", "handler\n  do nothing\n> GET /\n< 200 MISS", "t.txt:4: no command nothing"},
		{"unknown option", "route Nonsense\n> GET /\n< 200 MISS", "no option Nonsense"},
		{"bad option", "route TTL=x\n> GET /\n< 200 MISS", "option TTL=x"},
		{"an option of the second route", "route /a/\nroute /b/ Bad\n> GET /\n< 200 -", "route of line 4: no option Bad"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse("t.txt", "# Test.\n== test\n"+tt.steps)
			if err != nil {
				t.Fatal(err)
			}
			got := &failures{}
			synctest.Test(t, func(t *testing.T) {
				(&world{t: got, file: "t.txt", scenario: s.scenarios[0], start: openToy(t)}).run()
			})
			if all := strings.Join(got.list, "\n"); !strings.Contains(all, tt.want) {
				t.Errorf("reported %q; want it to contain %q", all, tt.want)
			}
		})
	}
}
