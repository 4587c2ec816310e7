package reprise_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
)

// ServeStored answers by what is stored and fresh and for anybody who asks so; otherwise it does nothing.
func TestServeStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := reprise.Must(reprise.New(reprise.Config{}))
		defer c.Close()
		rt, err := c.NewRoute(reprise.Standard())
		if err != nil {
			t.Fatal(err)
		}
		runs := 0
		h := rt.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			runs++
			w.Header().Set("Cache-Control", r.URL.Query().Get("cc"))
			_, _ = io.WriteString(w, "page")
		}))
		try := func(method, target string, fields ...string) (*httptest.ResponseRecorder, bool) {
			t.Helper()
			r := httptest.NewRequest(method, target, nil)
			for i := 0; i < len(fields); i += 2 {
				r.Header.Set(fields[i], fields[i+1])
			}
			w := httptest.NewRecorder()
			ok := rt.ServeStored(w, r)
			if !ok && (len(w.Header()) > 0 || w.Body.Len() > 0) {
				t.Errorf("%s %s: false, and wrote %v %q", method, target, w.Header(), w.Body)
			}
			return w, ok
		}
		const page, kept = "/?cc=max-age%3D60%2Cstale-while-revalidate%3D60", "/?cc=no-cache"
		if _, ok := try(http.MethodGet, page); ok {
			t.Error("answered what is not stored")
		}
		get(h, page)
		get(h, kept)
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			w, ok := try(method, page)
			if !ok || w.Code != http.StatusOK || w.Header().Get("Cache-Status") != "reprise; hit; ttl=60" || (w.Body.String() == "page") != (method == http.MethodGet) {
				t.Errorf("%s: %v, %d %v %q; want the stored page", method, ok, w.Code, w.Header(), w.Body)
			}
		}
		for _, tt := range []struct {
			name, method, target string
			fields               []string
		}{
			{"another page", http.MethodGet, "/other", nil},
			{"unsafe", http.MethodPost, page, nil},
			{"QUERY", "QUERY", page, nil},
			{"no-cache in the request", http.MethodGet, page, []string{"Cache-Control", "no-cache"}},
			{"only-if-cached", http.MethodGet, "/other", []string{"Cache-Control", "only-if-cached"}},
			{"credentials", http.MethodGet, page, []string{"Authorization", "Basic x"}},
			{"no-cache in the response", http.MethodGet, kept, nil},
		} {
			if w, ok := try(tt.method, tt.target, tt.fields...); ok {
				t.Errorf("%s: answered %v", tt.name, w.Header())
			}
		}
		time.Sleep(time.Minute)
		if _, ok := try(http.MethodGet, page); ok {
			t.Error("answered what is stale")
		}
		synctest.Wait()
		if s := c.Stats(); runs != 2 || s.Hits != 2 || s.Stales != 0 {
			t.Errorf("the handler ran %d times, %+v; want 2 runs, 2 hits and nothing stale", runs, s)
		}
	})
	outside := reprise.Must(reprise.New(reprise.Config{Store: newOutside(t), Logger: silent()}))
	defer outside.Close()
	rt, err := outside.NewRoute()
	if err != nil {
		t.Fatal(err)
	}
	get(rt.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})), "/")
	if rt.ServeStored(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)) {
		t.Error("asked a store outside the process")
	}
}
