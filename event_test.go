package reprise_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/subject"
	"github.com/reprise-go/reprise/store"
)

// eventLog collects events.
type eventLog struct {
	mu  sync.Mutex
	all []reprise.Event
}

func (l *eventLog) observe(_ context.Context, e reprise.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, e)
}

func (l *eventLog) events() []reprise.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// unsound is a store whose operations fail, or whose values are not what was stored.
type unsound struct {
	*subject.Shared
	get, set error
	spoil    bool
}

func (s *unsound) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	b, m, err := s.Shared.GetMarked(ctx, key, names...)
	if s.spoil && err == nil {
		b = []byte("spoilt")
	}
	if s.get != nil {
		err = s.get
	}
	return b, m, err
}

func (s *unsound) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	if s.set != nil {
		return s.set
	}
	return s.Shared.Set(ctx, key, v, ttl)
}

// header returns a handler that sets fields, "Name: value", and writes a text.
func header(fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			w.Header().Add(name, value)
		}
		_, _ = io.WriteString(w, "text")
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// once runs first for the first request and then for all others.
func once(first, then http.HandlerFunc) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 1 {
			first(w, r)
		} else {
			then(w, r)
		}
	}
}

// reasonCase provokes a reason: the last of its requests ends with outcome, and its event tells why.
type reasonCase struct {
	name     string
	want     reprise.Reason
	outcome  reprise.Outcome
	fails    bool // the event carries an error
	opts     []reprise.RouteOption
	config   reprise.Config
	handler  http.HandlerFunc // a text, unless given
	requests []string         // "GET /a", unless given; "+1s" waits, "* n" asks n times at once
	change   func(*http.Request)
	between  func(*testing.T, *reprise.Cache) // before the last request
}

func reasonCases() []reasonCase {
	boom := errors.New("boom")
	twice := []string{"GET /a", "GET /a"}
	later := []string{"GET /a", "+61s", "GET /a"}
	stale := []reprise.RouteOption{reprise.StaleIfError(time.Hour)}
	slow := func(d time.Duration) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(d):
			case <-r.Context().Done():
			}
		}
	}
	tag := func(tags ...string) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) { reprise.AddTags(r.Context(), tags...) }
	}
	var many []string
	for i := range 257 {
		many = append(many, strconv.Itoa(i))
	}
	return []reasonCase{
		{name: "a plain miss", outcome: reprise.Miss},
		{name: "a hit", outcome: reprise.Hit, requests: twice},
		{name: "a follower", outcome: reprise.Collapsed, handler: slow(time.Second), requests: []string{"* 2 GET /a"}},
		{
			name: "validated", want: reprise.ReasonExpired, outcome: reprise.Validated, requests: later,
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Etag", `"a"`)
				if r.Header.Get("If-None-Match") == `"a"` {
					w.WriteHeader(http.StatusNotModified)
				}
			},
		},

		{want: reprise.ReasonDisabled, outcome: reprise.Bypass, opts: []reprise.RouteOption{reprise.Off()}},
		{name: "cache", want: reprise.ReasonDisabled, outcome: reprise.Bypass, config: reprise.Config{Disabled: true}},
		{
			name: "at run time", want: reprise.ReasonDisabled, outcome: reprise.Bypass, requests: twice,
			between: func(_ *testing.T, c *reprise.Cache) { c.SetEnabled(false) },
		},
		{
			name: "after Close", want: reprise.ReasonDisabled, outcome: reprise.Bypass, requests: twice,
			between: func(t *testing.T, c *reprise.Cache) {
				t.Helper()
				if err := c.Close(); err != nil {
					t.Error(err)
				}
			},
		},
		{want: reprise.ReasonMethod, outcome: reprise.Bypass, requests: []string{"POST /a"}},
		{want: reprise.ReasonSkipped, outcome: reprise.Bypass, opts: []reprise.RouteOption{reprise.SkipIf(func(*http.Request) bool { return true })}},
		{want: reprise.ReasonUpgrade, outcome: reprise.Bypass, requests: []string{"GET /a | Connection: Upgrade | Upgrade: websocket"}},
		{name: "unasked", want: reprise.ReasonUpgrade, outcome: reprise.Pass, handler: status(http.StatusSwitchingProtocols)},
		{want: reprise.ReasonRequestBody, outcome: reprise.Bypass, requests: []string{"GET /a | Content-Length: 0", "GET /a | Content-Length: 1"}},
		{
			name: "too large", want: reprise.ReasonRequestBody, outcome: reprise.Bypass, opts: []reprise.RouteOption{reprise.Methods("GET", "POST")},
			requests: []string{"POST /a | Content-Length: 65537"},
		},
		{want: reprise.ReasonRequestTarget, outcome: reprise.Bypass, requests: []string{"GET ftp://shop.test/a"}},
		{want: reprise.ReasonNoUser, outcome: reprise.Bypass, fails: true, opts: []reprise.RouteOption{reprise.PerUser(bearer)}},
		{
			want: reprise.ReasonKeyFailed, outcome: reprise.Bypass, fails: true,
			opts: []reprise.RouteOption{reprise.Key(func(b *reprise.KeyBuilder, _ *http.Request) { b.Fail(boom) })},
		},
		{want: reprise.ReasonRequestStore, outcome: reprise.Bypass, requests: []string{"GET /a | Cache-Control: no-store"}},

		{want: reprise.ReasonNotStored, outcome: reprise.Miss},
		{want: reprise.ReasonVariant, outcome: reprise.Miss, handler: header("Vary: Accept"), requests: []string{"GET /a", "GET /a | Accept: x"}},
		{want: reprise.ReasonExpired, outcome: reprise.Miss, requests: later, opts: stale},
		{
			want: reprise.ReasonInvalidated, outcome: reprise.Miss, requests: twice,
			between: func(t *testing.T, c *reprise.Cache) {
				t.Helper()
				if err := c.InvalidateURLs(t.Context(), "/a"); err != nil {
					t.Error(err)
				}
			},
		},
		{want: reprise.ReasonRequestCC, outcome: reprise.Miss, requests: []string{"GET /a", "GET /a | Cache-Control: no-cache"}},
		{want: reprise.ReasonAuthorization, outcome: reprise.Pass, requests: []string{"GET /a | Authorization: x"}},
		{want: reprise.ReasonCookie, outcome: reprise.Pass, requests: []string{"GET /a | Cookie: x=1"}},
		{want: reprise.ReasonClientCert, outcome: reprise.Pass, change: func(r *http.Request) {
			r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{}}}
		}},
		{want: reprise.ReasonHead, outcome: reprise.Pass, requests: []string{"HEAD /a"}},
		{want: reprise.ReasonOnlyIfCached, outcome: reprise.Failed, requests: []string{"GET /a | Cache-Control: only-if-cached"}},
		{
			want: reprise.ReasonTooMany, outcome: reprise.Pass, handler: slow(time.Second), requests: []string{"* 3 GET /a"},
			config: reprise.Config{Limits: reprise.Limits{Followers: 1}},
		},
		{want: reprise.ReasonNested, outcome: reprise.Pass, handler: func(w http.ResponseWriter, r *http.Request) {
			reprise.FromContext(r.Context()).Wrap(header()).ServeHTTP(w, r)
		}},
		{want: reprise.ReasonStoreFailed, outcome: reprise.Failed, fails: true, config: reprise.Config{Store: &unsound{Shared: subject.NewShared(), set: boom}}},
		{name: "look-up", want: reprise.ReasonStoreFailed, outcome: reprise.Miss, fails: true, config: reprise.Config{Store: &unsound{Shared: subject.NewShared(), get: boom}}},
		{want: reprise.ReasonRecordBad, outcome: reprise.Miss, fails: true, requests: []string{"GET /a", "+1s", "GET /a"}, config: reprise.Config{Store: &unsound{Shared: subject.NewShared(), spoil: true}}},
		{want: reprise.ReasonRefreshing, outcome: reprise.Stale, requests: later, opts: []reprise.RouteOption{reprise.StaleWhileRevalidate(time.Hour)}},
		{want: reprise.ReasonInsteadOfError, outcome: reprise.Stale, requests: later, opts: stale, handler: once(header(), status(500))},
		{
			name: "a panic", want: reprise.ReasonInsteadOfError, outcome: reprise.Stale, requests: later, opts: stale,
			handler: once(header(), func(http.ResponseWriter, *http.Request) { panic(boom) }),
		},
		{want: reprise.ReasonInsteadOfLate, outcome: reprise.Stale, requests: later, opts: stale, handler: once(header(), slow(time.Hour))},
		{want: reprise.ReasonMaxStale, outcome: reprise.Stale, requests: []string{"GET /a", "+61s", "GET /a | Cache-Control: max-stale"}, opts: stale},

		{want: reprise.ReasonNoStore, outcome: reprise.Pass, handler: header("Cache-Control: no-store")},
		{want: reprise.ReasonPrivate, outcome: reprise.Pass, handler: header("Cache-Control: private")},
		{want: reprise.ReasonVaryStar, outcome: reprise.Pass, handler: header("Vary: *")},
		{want: reprise.ReasonSetCookie, outcome: reprise.Pass, handler: header("Set-Cookie: a=1")},
		{want: reprise.ReasonStatus, outcome: reprise.Pass, handler: status(404)},
		{
			name: "outside the set", want: reprise.ReasonStatus, outcome: reprise.Pass, handler: header("Cache-Control: max-age=60"),
			opts: []reprise.RouteOption{reprise.Statuses(404)},
		},
		{want: reprise.ReasonNoLifetime, outcome: reprise.Pass, handler: header("Cache-Control: max-age=0")},
		{name: "by the RFC", want: reprise.ReasonNoLifetime, outcome: reprise.Pass, opts: []reprise.RouteOption{reprise.Standard()}},
		{
			want: reprise.ReasonPredicate, outcome: reprise.Pass,
			opts: []reprise.RouteOption{reprise.Storable(func(*http.Request, int, http.Header) bool { return false })},
		},
		{want: reprise.ReasonPartial, outcome: reprise.Pass, handler: status(206)},
		{want: reprise.ReasonNotModified, outcome: reprise.Pass, handler: status(304)},
		{want: reprise.ReasonMustUnderstand, outcome: reprise.Pass, handler: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "must-understand, max-age=60")
			w.WriteHeader(599)
		}},
		{want: reprise.ReasonFromInside, outcome: reprise.Pass, handler: func(_ http.ResponseWriter, r *http.Request) { reprise.NoStore(r.Context()) }},
		{want: reprise.ReasonTooLarge, outcome: reprise.Pass, opts: []reprise.RouteOption{reprise.MaxBody(3)}, handler: header("Content-Length: 4")},
		{want: reprise.ReasonFieldsTooLarge, outcome: reprise.Pass, handler: header("X-Long: " + strings.Repeat("x", 64<<10))},
		{name: "a long name", want: reprise.ReasonFieldsTooLarge, outcome: reprise.Pass, handler: header(strings.Repeat("X", 5000) + ": x")},
		{name: "many lines", want: reprise.ReasonFieldsTooLarge, outcome: reprise.Pass, handler: header(slices.Repeat([]string{"X: "}, 1<<14+1)...)},
		{name: "many fields", want: reprise.ReasonFieldsTooLarge, outcome: reprise.Pass, handler: func(w http.ResponseWriter, _ *http.Request) {
			for i := range 1<<12 + 1 {
				w.Header()["X-"+strconv.Itoa(i)] = []string{""}
			}
		}},
		{
			want: reprise.ReasonBudget, outcome: reprise.Pass, config: reprise.Config{Limits: reprise.Limits{FillBytes: 1}},
			handler: func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100<<10)) },
		},
		{want: reprise.ReasonTooManyTags, outcome: reprise.Pass, handler: tag(many...)},
		{want: reprise.ReasonBadTag, outcome: reprise.Pass, handler: tag("")},
		{
			name: "a store without numbers", want: reprise.ReasonBadTag, outcome: reprise.Pass, handler: tag("a"),
			config: reprise.Config{Store: plain{subject.NewShared()}},
		},
		{want: reprise.ReasonEventStream, outcome: reprise.Pass, handler: header("Content-Type: text/event-stream")},
		{want: reprise.ReasonTrailers, outcome: reprise.Pass, handler: header("Trailer: X-Sum")},
		{want: reprise.ReasonShortBody, outcome: reprise.Pass, handler: header("Content-Length: 9")},
		{want: reprise.ReasonPanic, outcome: reprise.Pass, handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{want: reprise.ReasonFillTimeout, outcome: reprise.Failed, handler: slow(time.Hour)},
		{want: reprise.ReasonLateFill, outcome: reprise.Pass, handler: func(_ http.ResponseWriter, r *http.Request) {
			_ = reprise.FromContext(r.Context()).InvalidateURLs(r.Context(), "/a")
		}},
		{
			want: reprise.ReasonCallbackPanic, outcome: reprise.Pass,
			opts: []reprise.RouteOption{reprise.TTLFunc(func(int, http.Header) time.Duration { panic(boom) })},
		},
		{want: reprise.ReasonVariesOnUncertain, outcome: reprise.Pass, handler: header("Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q")},
		{
			want: reprise.ReasonServerError, outcome: reprise.Refreshed, requests: later, handler: once(header(), status(500)),
			opts: []reprise.RouteOption{reprise.StaleWhileRevalidate(time.Hour)},
		},
		{want: reprise.ReasonNoCache, outcome: reprise.Pass, handler: header("Cache-Control: no-cache, max-age=60")},
		{
			want: reprise.ReasonSearch, outcome: reprise.Pass, requests: []string{"GET /a?x=1", "GET /a?x=2"},
			opts:    []reprise.RouteOption{reprise.Standard()},
			handler: once(header("Cache-Control: max-age=60", "No-Vary-Search: params"), header("Cache-Control: max-age=60")),
		},
		{
			name: "a range", want: reprise.ReasonConditional, outcome: reprise.Pass, requests: []string{"GET /a | Range: bytes=0-1"},
			opts: []reprise.RouteOption{reprise.Standard()},
		},
		{want: reprise.ReasonConditional, outcome: reprise.Pass, requests: []string{`GET /a | If-Match: "x"`}},
		{want: reprise.ReasonAbandoned, outcome: reprise.Failed, handler: slow(time.Second), requests: []string{"* 2 GET /a"}, change: func(r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Millisecond)
			context.AfterFunc(ctx, cancel)
			*r = *r.WithContext(ctx)
		}},
	}
}

// TestReasons provokes every outcome and every reason for a response.
func TestReasons(t *testing.T) {
	for _, tt := range reasonCases() {
		t.Run(strings.Trim(string(tt.want)+"/"+tt.name, "/"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var events eventLog
				cfg := tt.config
				cfg.Logger = quiet().Logger
				cfg.Observe = events.observe
				c := open(t, cfg)
				var h http.Handler = tt.handler
				if tt.handler == nil {
					h = header()
				}
				h = c.Wrap(h, tt.opts...)
				requests := tt.requests
				if requests == nil {
					requests = []string{"GET /a"}
				}
				var last *httptest.ResponseRecorder
				ask := func(text string) *httptest.ResponseRecorder {
					defer func() { _ = recover() }() // the handler's own
					r := raw(t, text)
					if n := r.ContentLength; n > 0 {
						r.Body = io.NopCloser(io.LimitReader(zeros{}, n))
					}
					if tt.change != nil {
						tt.change(r)
					}
					return serve(h, r)
				}
				for i, text := range requests {
					if i == len(requests)-1 && tt.between != nil {
						tt.between(t, c)
					}
					if d, err := time.ParseDuration(text); err == nil {
						time.Sleep(d)
						continue
					}
					if rest, ok := strings.CutPrefix(text, "* "); ok {
						n, text, _ := strings.Cut(rest, " ")
						times, _ := strconv.Atoi(n)
						var wg sync.WaitGroup
						for range times {
							wg.Go(func() { ask(text) })
						}
						wg.Wait()
					} else {
						last = ask(text)
					}
					synctest.Wait() // for what is done in the background
				}

				want := tt.want
				if want == reprise.ReasonNotStored { // goes without saying in an event
					want = ""
					if cs := last.Header().Get("Cache-Status"); cs != "reprise; fwd=uri-miss; stored" {
						t.Errorf("Cache-Status: %s", cs)
					}
				}
				all := events.events()
				found := slices.ContainsFunc(all, func(e reprise.Event) bool {
					return e.Outcome == tt.outcome && e.Reason == want && (e.Err != nil) == tt.fails
				})
				if !found {
					t.Errorf("events %+v, answer %+v; want outcome %s with reason %q", all, last, tt.outcome, tt.want)
				}
				for _, e := range all {
					if e.Start.IsZero() || e.Name != "" || e.Outcome.String() == "unknown" {
						t.Errorf("event %+v", e)
					}
				}
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestReasonHijacked takes a real connection.
func TestReasonHijacked(t *testing.T) {
	var events eventLog
	c := open(t, reprise.Config{Observe: events.observe})
	srv := httptest.NewServer(c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "hi" || err != nil {
		t.Errorf("got %q, %v", body, err)
	}
	srv.Close()
	for all := events.events(); len(all) == 0; all = events.events() {
		time.Sleep(time.Millisecond) // the client may be faster than the event
	}
	if all := events.events(); all[0].Reason != reprise.ReasonHijacked || all[0].Outcome != reprise.Pass {
		t.Errorf("events %+v; want a pass, hijacked", all)
	}
}

// declared returns the constants of a type in event.go: their values by name.
func declared(t *testing.T, typ string) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	consts := make(map[string]string)
	for _, d := range file.Decls {
		group, ok := d.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, s := range group.Specs {
			spec, _ := s.(*ast.ValueSpec)
			if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != typ {
				continue
			}
			lit, _ := spec.Values[0].(*ast.BasicLit)
			value, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			consts[spec.Names[0].Name] = value
		}
	}
	return consts
}

// TestReasonsClosed holds that the set is closed: each reason is in docs/reasons.md, and nothing else is; each has a value of
// its own, and is provoked by a test.
func TestReasonsClosed(t *testing.T) {
	doc, err := os.ReadFile("docs/reasons.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\|").FindAllSubmatch(doc, -1) {
		documented = append(documented, string(m[1]))
	}
	consts := declared(t, "Reason")
	values := slices.Sorted(maps.Values(consts))
	if compact := slices.Compact(slices.Clone(values)); len(compact) != len(values) {
		t.Errorf("two reasons have one value: %q", values)
	}
	slices.Sort(documented)
	if !slices.Equal(documented, values) {
		t.Errorf("docs/reasons.md explains\n%q; event.go declares\n%q", documented, values)
	}

	provoked := map[string]bool{
		string(reprise.ReasonHijacked):  true, // TestReasonHijacked
		string(reprise.ReasonLoadError): true, // of functions alone
		string(reprise.ReasonCodec):     true,
	}
	for _, tt := range reasonCases() {
		provoked[string(tt.want)] = true
	}
	for _, v := range values {
		if !provoked[v] {
			t.Errorf("no test provokes %q", v)
		}
	}
}

// TestOutcomes holds the names of outcomes.
func TestOutcomes(t *testing.T) {
	want := []string{"", "hit", "stale", "collapsed", "miss", "pass", "bypass", "refreshed", "failed", "validated", "unknown"}
	for i, name := range want {
		if got := reprise.Outcome(i).String(); got != name {
			t.Errorf("Outcome(%d) = %q; want %q", i, got, name)
		}
	}
	provoked := map[reprise.Outcome]bool{}
	for _, tt := range reasonCases() {
		provoked[tt.outcome] = true
	}
	if len(provoked) != len(want)-2 {
		t.Errorf("%d outcomes are provoked; want %d", len(provoked), len(want)-2)
	}
}
