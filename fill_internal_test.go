package reprise

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What clients ask for does not grow what is remembered of answers that cannot be shared, that vary, or that failed.
func TestTablesAreBounded(t *testing.T) {
	c := Must(New(Config{}))
	defer c.Close()
	if c.passes.max != 10_000 || c.varies.max != 10_000 || c.retries.max != 10_000 {
		t.Errorf("bounds are %d, %d, %d; want 10000 each", c.passes.max, c.varies.max, c.retries.max)
	}
	c.passes.max, c.varies.max = 100, 100
	h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("private") {
			w.Header().Set("Cache-Control", "private")
		} else {
			w.Header().Set("Vary", "X-Field")
		}
		_, _ = io.WriteString(w, "x")
	})
	for i := range 300 {
		for _, kind := range []string{"private", "vary"} {
			r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/%d?%s=1", i, kind), nil)
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	if p, v := len(c.passes.keys), len(c.varies.keys); p != 100 || v != 100 {
		t.Errorf("%d passes, %d URLs that vary; want 100 each", p, v)
	}
}

// A timer that fired as the handler returned finds a fill that is over, and a ResponseWriter that is no longer its own.
func TestTimeoutAfterTheEnd(t *testing.T) {
	for _, handler := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") },
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		c := Must(New(Config{}))
		rt := c.mustRoute(nil)
		q := getQuery()
		if why := q.plan(rt, httptest.NewRequest(http.MethodGet, "/a", nil)); why != "" {
			t.Fatal(why)
		}
		f := q.newFill(handler, &found{why: ReasonNotStored, number: c.store.seq.Newest()})
		w := httptest.NewRecorder()
		func() {
			defer func() { _ = recover() }()
			f.run(w, f.shown())
		}()
		p, body := f.phase, w.Body.String()
		f.tooLate()
		if f.phase != p || f.answered || w.Body.String() != body || f.veto == ReasonFillTimeout {
			t.Errorf("FillTimeout after the end: phase %d, veto %q, body %q; want %d, none of its own, %q", f.phase, f.veto, w.Body, p, body)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
