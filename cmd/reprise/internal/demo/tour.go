package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// tour walks through the steps against the bookshop, as a client of it.
type tour struct {
	client *http.Client
	shop   *shop  // what the tour asks for
	base   string // its URL
	root   *shop  // what other processes on the store show, too
	rootAt string // its URL

	// openBeside opens another bookshop with the tour's pages on the same store.
	openBeside func(context.Context) (*beside, error)

	out *printer
	log *logLines

	problems []string // of the step that runs
}

// step is one thing that the cache does. run makes requests, checks the answers and returns a line that says what they
// have shown; it holds only if no check failed.
type step struct {
	name string
	run  func(context.Context, *tour) (shows string)
}

// walk runs the steps. The error names those that did not show what they say.
func (t *tour) walk(ctx context.Context, steps []step) error {
	var failed []string
	for i, s := range steps {
		t.problems = nil
		t.out.step(i+1, s.name)
		shows := s.run(ctx, t)
		if ctx.Err() != nil {
			return errors.New("demo: interrupted")
		}
		for _, l := range t.log.take() {
			t.out.note(l)
		}
		if len(t.problems) == 0 {
			t.out.shown(shows)
			continue
		}
		failed = append(failed, fmt.Sprintf("%d (%s)", i+1, s.name))
		for _, p := range t.problems {
			t.out.failed(p)
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("demo: %d of %d steps did not show what they say: %s", len(failed), len(steps), strings.Join(failed, ", "))
	}
	return nil
}

// check notes a problem unless ok.
func (t *tour) check(ok bool, format string, args ...any) {
	if !ok {
		t.problems = append(t.problems, fmt.Sprintf(format, args...))
	}
}

// answer is a response as the client saw it.
type answer struct {
	status int
	header http.Header
	body   []byte
	first  time.Duration // until the first byte of the body
	total  time.Duration
	err    error
}

// elsewhere returns the process that made an answer from the cache, if it is not this one.
func (a answer) elsewhere(self string) string {
	if by := a.header.Get(filledBy); by != self && a.header.Get("X-Cache") == "HIT" {
		return by
	}
	return ""
}

// fetch sends a request and reads the answer. fields are lines of the form "Name: value". onFirst, if not nil, is called when the first
// byte of the body is there.
func (t *tour) fetch(ctx context.Context, method, url, body string, fields []string, onFirst func()) answer {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	start := time.Now()
	resp, err := t.client.Do(req)
	if err != nil {
		return answer{err: err, total: time.Since(start)}
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	var head [1]byte
	n, err := io.ReadFull(resp.Body, head[:])
	a.first = time.Since(start)
	if onFirst != nil {
		onFirst()
	}
	var rest []byte
	if err == nil {
		rest, err = io.ReadAll(resp.Body)
	}
	a.total = time.Since(start)
	a.body = append(head[:n:n], rest...)
	if err != nil && !errors.Is(err, io.EOF) {
		a.err = err
	}
	return a
}

// get asks for a page of the shop and prints what came.
func (t *tour) get(ctx context.Context, path string, fields ...string) answer {
	return t.send(ctx, http.MethodGet, path, "", fields...)
}

func (t *tour) send(ctx context.Context, method, path, body string, fields ...string) answer {
	a := t.fetch(ctx, method, t.base+path, body, fields, nil)
	t.print(method+" "+path, fields, a)
	return a
}

// print shows an answer. One that did not come is a problem of the step.
func (t *tour) print(request string, fields []string, a answer) {
	t.out.exchange(request, fields, a, t.shop.self)
	t.check(a.err == nil, "%s: %v", request, a.err)
}

// runs returns how often the handler of a page has begun.
func (t *tour) runs(path string) int {
	begun, _ := t.shop.runs(path)
	return begun
}

// What the checks ask of an answer.

func (t *tour) miss(a answer) {
	t.status(a, http.StatusOK)
	t.check(a.header.Get("X-Cache") == "MISS", "X-Cache is %q; want MISS", a.header.Get("X-Cache"))
	t.cacheStatus(a, "; stored")
}

// hit does not look at Cache-Status: where the store is slower than the client, the answer that is being stored is
// handed on, which is called collapsed there.
func (t *tour) hit(a answer) {
	t.check(a.header.Get("X-Cache") == "HIT", "X-Cache is %q; want HIT", a.header.Get("X-Cache"))
}

func (t *tour) status(a answer, want int) {
	t.check(a.status == want, "the status is %d; want %d", a.status, want)
}

func (t *tour) cacheStatus(a answer, part string) {
	got := a.header.Get("Cache-Status")
	t.check(strings.Contains(got, part), "Cache-Status is %q; want one with %q", got, part)
}

func (t *tour) ran(path string, want int) {
	got := t.runs(path)
	t.check(got == want, "the handler of %s ran %d times; want %d", path, got, want)
}

func (t *tour) holds(a answer, part string) {
	t.check(bytes.Contains(a.body, []byte(part)), "the body is %.80q; want one with %q", a.body, part)
}

func (t *tour) same(a, b answer) {
	t.check(bytes.Equal(a.body, b.body), "two bodies differ: %.80q and %.80q", a.body, b.body)
}

// settle waits until a page is stored: stores outside the process are written when the client has its answer.
func (t *tour) settle(ctx context.Context, path string) {
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline) && ctx.Err() == nil; t.pause(ctx, time.Millisecond) {
		if a := t.fetch(ctx, http.MethodGet, t.base+path, "", nil, nil); strings.Contains(a.header.Get("Cache-Status"), "; hit") {
			return
		}
	}
}

func (t *tour) pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
