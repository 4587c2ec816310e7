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
