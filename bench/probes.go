package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const probesNote = `Each peer in front of the same small handlers, with the options of the other tables: what it does unless it is
told otherwise. A bold answer is a wrong one. Most have an option for a key of one's own, with which some of the rows
become the caller's business. fiber has StoreResponseHeaders on, without which it drops the handler's fields.`

// trial is one peer before one handler.
type trial struct {
	h     http.Handler
	calls atomic.Int64
}

// try puts p before a handler that is told how often it was called.
func try(p peer, next func(n int64, w http.ResponseWriter, r *http.Request)) (*trial, func()) {
	t := new(trial)
	h, closeIt := p.open(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next(t.calls.Add(1), w, r) }), 1000)
	t.h = h
	return t, closeIt
}

// ask returns the answer; nil if the handler panicked. target may begin with a host.
func (t *trial) ask(method, target string, fields ...string) (w *httptest.ResponseRecorder) {
	defer func() {
		if recover() != nil {
			w = nil
		}
	}()
	r := get(target, fields...)
	r.Method = method
	if r.URL.Host != "" {
		r.Host = r.URL.Host
		r.URL.Host, r.URL.Scheme, r.RequestURI = "", "", r.URL.RequestURI()
	}
	w = httptest.NewRecorder()
	t.h.ServeHTTP(w, r)
	return w
}

func (t *trial) body(method, target string, fields ...string) string {
	if w := t.ask(method, target, fields...); w != nil {
		return w.Body.String()
	}
	return "panic"
}

// probe is a question to a cache. It returns a word for the table and whether that is right.
type probe struct {
	question string
	together bool // the clients of a peer ask at the same time
	run      func(p peer) (word string, right bool)
}

func yes(right bool) (string, bool) {
	if right {
		return "yes", true
	}
	return "no", false
}

// distinct asks twice and wants the second answer to be another one.
func distinct(question string, next func(n int64, w http.ResponseWriter, r *http.Request), first, second []string) probe {
	return probe{question, false, func(p peer) (string, bool) {
		t, closeIt := try(p, next)
		defer closeIt()
		t.ask(first[0], first[1], first[2:]...)
		want := httptest.NewRecorder()
		r := get(second[1], second[2:]...)
		r.Method = second[0]
		if r.URL.Host != "" {
			r.Host = r.URL.Host
		}
		next(2, want, r)
		return yes(t.body(second[0], second[1], second[2:]...) == want.Body.String())
	}}
}

func say(format string, what func(n int64, r *http.Request) any) func(int64, http.ResponseWriter, *http.Request) {
	return func(n int64, w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, format, what(n, r)) }
}

// numbered says how often it was called, with a field.
func numbered(name, value string) func(int64, http.ResponseWriter, *http.Request) {
	return func(n int64, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(name, value)
		fmt.Fprintf(w, "answer %d", n)
	}
}

func handlerProbes() []probe {
	return []probe{
		distinct("two hosts, two answers", say("host %v", func(_ int64, r *http.Request) any { return r.Host }),
			[]string{"GET", "http://a.test/"}, []string{"GET", "http://b.test/"}),
		distinct("two queries, two answers", say("query %v", func(_ int64, r *http.Request) any { return r.URL.RawQuery }),
			[]string{"GET", "/search?q=a"}, []string{"GET", "/search?q=b"}),
		distinct("`/A` is not `/a`", say("path %v", func(_ int64, r *http.Request) any { return r.URL.Path }),
			[]string{"GET", "/A"}, []string{"GET", "/a"}),
		distinct("`/a%2Fb` is not `/a/b`", say("path %v", func(_ int64, r *http.Request) any { return r.URL.EscapedPath() }),
			[]string{"GET", "/a%2Fb"}, []string{"GET", "/a/b"}),
		{"POST after GET reaches the handler", false, func(p peer) (string, bool) {
			t, closeIt := try(p, numbered("Content-Type", "text/plain"))
			defer closeIt()
			t.ask("GET", "/cart")
			return yes(t.body("POST", "/cart") == "answer 2")
		}},
		{"HEAD before GET leaves GET its body", false, func(p peer) (string, bool) {
			t, closeIt := try(p, func(n int64, w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					fmt.Fprint(w, "the body")
				}
			})
			defer closeIt()
			t.ask("HEAD", "/")
			return yes(t.body("GET", "/") == "the body")
		}},
		distinct("Authorization: Bob does not get Alice's page", say("hello %v", func(_ int64, r *http.Request) any { return r.Header.Get("Authorization") }),
			[]string{"GET", "/me", "Authorization: Bearer alice"}, []string{"GET", "/me", "Authorization: Bearer bob"}),
		distinct("Cookie: Bob does not get Alice's page", say("hello %v", func(_ int64, r *http.Request) any { return r.Header.Get("Cookie") }),
			[]string{"GET", "/me", "Cookie: session=alice"}, []string{"GET", "/me", "Cookie: session=bob"}),
		{"Set-Cookie is not replayed", false, func(p peer) (string, bool) {
			t, closeIt := try(p, func(n int64, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Set-Cookie", fmt.Sprintf("session=%d", n))
				fmt.Fprint(w, "welcome")
			})
			defer closeIt()
			t.ask("GET", "/")
			w := t.ask("GET", "/")
			return yes(w.Header().Get("Set-Cookie") != "session=1")
		}},
		distinct("`private` is not stored", numbered("Cache-Control", "private"), []string{"GET", "/"}, []string{"GET", "/"}),
		distinct("`no-store` is not stored", numbered("Cache-Control", "no-store"), []string{"GET", "/"}, []string{"GET", "/"}),
		distinct("`Vary` is obeyed", func(_ int64, w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Vary", "Accept-Language")
			fmt.Fprint(w, r.Header.Get("Accept-Language"))
		}, []string{"GET", "/", "Accept-Language: en"}, []string{"GET", "/", "Accept-Language: de"}),
		{"an error 500 is not stored", false, func(p peer) (string, bool) {
			t, closeIt := try(p, func(n int64, w http.ResponseWriter, _ *http.Request) {
				if n == 1 {
					http.Error(w, "down", http.StatusInternalServerError)
					return
				}
				fmt.Fprint(w, "up")
			})
			defer closeIt()
			t.ask("GET", "/")
			return yes(t.body("GET", "/") == "up")
		}},
		{"a 404 stays a 404", false, func(p peer) (string, bool) {
			t, closeIt := try(p, func(_ int64, w http.ResponseWriter, _ *http.Request) { http.Error(w, "none", http.StatusNotFound) })
			defer closeIt()
			t.ask("GET", "/")
			return yes(t.ask("GET", "/").Code == http.StatusNotFound)
		}},
		{"half an answer (handler aborts) is not stored", false, func(p peer) (string, bool) {
			t, closeIt := try(p, func(n int64, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "10")
				if n == 1 {
					_, _ = w.Write([]byte("01234"))
					panic(http.ErrAbortHandler)
				}
				_, _ = w.Write([]byte("0123456789"))
			})
			defer closeIt()
			t.ask("GET", "/")
			return yes(t.body("GET", "/") == "0123456789")
		}},
		{"both lines of a repeated field", false, func(p peer) (string, bool) {
			t, closeIt := try(p, func(_ int64, w http.ResponseWriter, _ *http.Request) {
				w.Header().Add("Link", "</a>; rel=preload")
				w.Header().Add("Link", "</b>; rel=preload")
				fmt.Fprint(w, "page")
			})
			defer closeIt()
			t.ask("GET", "/")
			return yes(len(t.ask("GET", "/").Header().Values("Link")) == 2)
		}},
		{"100 clients, one cold page: calls of the handler", true, func(p peer) (string, bool) {
			t, closeIt := try(p, func(_ int64, w http.ResponseWriter, _ *http.Request) {
				time.Sleep(20 * time.Millisecond)
				fmt.Fprint(w, "page")
			})
			defer closeIt()
			askTogether(t, 100)
			return fmt.Sprint(t.calls.Load()), t.calls.Load() == 1
		}},
		{"20 clients, one cold `private` page: how many share", true, func(p peer) (string, bool) {
			next := numbered("Cache-Control", "private")
			t, closeIt := try(p, func(n int64, w http.ResponseWriter, r *http.Request) {
				time.Sleep(20 * time.Millisecond)
				next(n, w, r)
			})
			defer closeIt()
			own := map[string]bool{}
			for _, body := range askTogether(t, 20) {
				own[body] = true
			}
			return fmt.Sprint(20 - len(own)), len(own) == 20
		}},
		{"the first client leaves: do the others get the page", true, func(p peer) (string, bool) {
			if p.fast != nil {
				return "–", true // its handlers do not learn that a client has left
			}
			return yes(firstLeaves(p))
		}},
	}
}

// askTogether lets n clients ask at once and returns the bodies.
func askTogether(t *trial, n int) []string {
	var wg sync.WaitGroup
	bodies := make([]string, n)
	for i := range n {
		wg.Go(func() { bodies[i] = t.body("GET", "/") })
	}
	wg.Wait()
	return bodies
}

// firstLeaves reports whether a second client gets the page of a handler that gives up when its client has left.
func firstLeaves(p peer) bool {
	running := make(chan struct{})
	var once sync.Once
	t, closeIt := try(p, func(_ int64, w http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(running) })
		select {
		case <-r.Context().Done():
			http.Error(w, "nobody there", http.StatusServiceUnavailable)
		case <-time.After(50 * time.Millisecond):
			fmt.Fprint(w, "page")
		}
	})
	defer closeIt()
	ctx, leave := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { t.h.ServeHTTP(httptest.NewRecorder(), get("/").WithContext(ctx)) })
	<-running
	body := ""
	wg.Go(func() { body = t.body("GET", "/") })
	time.Sleep(20 * time.Millisecond) // the second has come
	leave()
	wg.Wait()
	return body == "page"
}

// probes asks all caches all questions.
func (b *bench) probes() error {
	head := []string{"handlers"}
	for _, p := range peers() {
		head = append(head, p.name)
	}
	t := b.report.table("Is it right?", probesNote, head...)
	for _, q := range handlerProbes() {
		row := []string{q.question}
		for _, p := range peers() {
			if q.together && b.alone && p.name != "reprise" {
				row = append(row, "–")
				continue
			}
			word, right, err := within(5*time.Second, func() (string, bool) { return q.run(p) })
			if err != nil {
				word, right = err.Error(), false
			}
			if p.name == "reprise" && !right {
				return fmt.Errorf("reprise fails %q: %s", q.question, word)
			}
			row = append(row, verdict(word, right))
		}
		t.add(row...)
	}
	return b.functionProbes()
}

func verdict(word string, right bool) string {
	if right {
		return word
	}
	return "**" + word + "**"
}

var errHangs = errors.New("hangs")

// within runs f, which may never return.
func within(d time.Duration, f func() (string, bool)) (word string, right bool, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		word, right = f()
	}()
	select {
	case <-done:
		return word, right, nil
	case <-time.After(d):
		return "", false, errHangs
	}
}

const functionProbesNote = `The same for the results of functions: 100 callers at once for a result that takes 20 ms; a caller that leaves while
others wait for what it began; and one that has a deadline of 10 ms while the function, called by another one, takes 200 ms.`

func (b *bench) functionProbes() error {
	t := b.report.table("Is it right? Functions", functionProbesNote, "", "100 callers: calls of the function", "the first leaves: the others get it", "a caller's own deadline holds")
	for _, l := range loadings() {
		row := []string{bold(l.name)}
		for _, q := range []func(loading) (string, bool){callsOf100, firstCallerLeaves, deadlineHolds} {
			if b.alone && l.name != "reprise.Memoize" {
				row = append(row, "–")
				continue
			}
			word, right, err := within(5*time.Second, func() (string, bool) { return q(l) })
			if err != nil {
				word = err.Error()
			}
			row = append(row, verdict(word, right))
		}
		t.add(row...)
	}
	return nil
}

func callsOf100(l loading) (string, bool) {
	var calls atomic.Int64
	get, closeIt := l.wrap(func(ctx context.Context, key string) (*product, error) {
		calls.Add(1)
		time.Sleep(20 * time.Millisecond)
		return load(ctx, key)
	}, 1000)
	defer closeIt()
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { _, _ = get(context.Background(), "a") })
	}
	wg.Wait()
	return fmt.Sprint(calls.Load()), calls.Load() == 1
}

// slow is a loader that gives up with its context.
func slow(running chan<- struct{}, takes time.Duration) loader {
	var once sync.Once
	return func(ctx context.Context, key string) (*product, error) {
		once.Do(func() { close(running) })
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(takes):
			return load(ctx, key)
		}
	}
}

func firstCallerLeaves(l loading) (string, bool) {
	running := make(chan struct{})
	get, closeIt := l.wrap(slow(running, 50*time.Millisecond), 1000)
	defer closeIt()
	ctx, leave := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = get(ctx, "a") })
	<-running
	var err error
	wg.Go(func() { _, err = get(context.Background(), "a") })
	time.Sleep(20 * time.Millisecond) // the second has come
	leave()
	wg.Wait()
	return yes(err == nil)
}

func deadlineHolds(l loading) (string, bool) {
	running := make(chan struct{})
	get, closeIt := l.wrap(slow(running, 200*time.Millisecond), 1000)
	defer closeIt()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _, _ = get(context.Background(), "a") })
	<-running
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := get(ctx, "a")
	return yes(err != nil && time.Since(start) < 100*time.Millisecond && strings.Contains(err.Error(), "deadline"))
}
