package reprise_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// TestNamesOfManyURLs: an invalidation by URL means that URL, and in a store outside the process too, where the names of answers are
// remembered, however many have been asked for meanwhile.
func TestNamesOfManyURLs(t *testing.T) {
	const urls, every = 5000, 500
	c := open(t, reprise.Config{Store: newOutside(t)})
	var calls atomic.Int64
	h := c.WrapFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, calls.Add(1)) })
	ask := func(i int) string { return get(h, fmt.Sprintf("/products/%d", i)).Body.String() }
	before := make([]string, urls)
	for i := range before {
		before[i] = ask(i)
	}
	for i := 0; i < urls; i += every {
		if err := c.InvalidateURLs(t.Context(), fmt.Sprintf("http://example.com/products/%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	others := 0
	for i := range before {
		switch again := ask(i); {
		case i%every == 0 && again == before[i]:
			t.Errorf("/products/%d: the answer from before the invalidation", i)
		case i%every != 0 && again != before[i]:
			others++ // names may share a slot of the store
		}
	}
	if others > urls/50 {
		t.Errorf("%d of %d others were invalidated too", others, urls)
	}
}

// InvalidateURLs, and a write, mean a path however a client has spelled what stands for nothing else in it.
func TestInvalidateRawPath(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s})
		var n atomic.Int64
		h := c.Wrap(counted(&n))
		for _, tt := range []struct{ sent, invalidated string }{
			{"/café", "/café"},
			{"/café", "/caf%c3%a9"},
			{"/caf%C3%A9", "/café"},
			{"/a{1}", "/a{1}"},
			{`/a"b`, `/a%22b`},
			{"/a|b", "/a|b"},
			{"/a^b", "/a%5Eb"},
			{"/a[b", "/a%5bb"},
			{"/a<b>", "/a<b>"},
			{"/a!b", "/a!b"},
		} {
			ask := func(method, path string) string {
				w := serve(h, raw(t, method+" "+path))
				synctest.Wait() // for the write to a store outside
				return w.Header().Get("X-Cache")
			}
			for _, how := range []string{"InvalidateURLs", "PUT"} {
				if got := ask("GET", tt.sent); got != "MISS" {
					t.Errorf("%s: X-Cache = %q; want MISS", tt.sent, got)
				}
				if how == "PUT" {
					ask("PUT", tt.invalidated)
				} else if err := c.InvalidateURLs(t.Context(), "http://shop.test"+tt.invalidated); err != nil {
					t.Error(err)
				}
				if got := ask("GET", tt.sent); got != "MISS" {
					t.Errorf("%s after %s of %s: X-Cache = %q; want MISS", tt.sent, how, tt.invalidated, got)
				}
				if err := c.InvalidateURLs(t.Context(), tt.invalidated); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

// What is in a namespace of the greatest length can be named, however long its own key is.
func TestLongestNamespace(t *testing.T) {
	eachStore(t, func(t *testing.T, s store.Store) {
		c := open(t, reprise.Config{Store: s, Namespace: strings.Repeat("a", 50)})
		in := c.Namespace(strings.Repeat("б", 17)) // 103 bytes in keys, after 51
		rt, err := in.NewRoute()
		if err != nil {
			t.Fatal(err)
		}
		var n atomic.Int64
		h, req := rt.Wrap(counted(&n)), newRequest("/"+strings.Repeat("c", 200))
		load := newFunc(t, in, "f", counting[string](&n, 0))
		fill := func() {
			serve(h, req)
			_, _ = load.Get(t.Context(), "k")
			synctest.Wait() // for the writes to a store outside
		}
		key, err := rt.Key(req)
		if err != nil {
			t.Fatal(err)
		}
		fill()
		if n, err := in.Delete(t.Context(), key); n != 1 || err != nil {
			t.Errorf("Delete = %d, %v; want 1", n, err)
		}
		if n, err := load.Delete(t.Context(), "k"); n != 1 || err != nil {
			t.Errorf("Delete of a result = %d, %v; want 1", n, err)
		}
		fill()
		if err := in.Clear(t.Context()); err != nil {
			t.Error(err)
		}
		fill()
		if got := n.Load(); got != 6 {
			t.Errorf("the handler and the loader ran %d times; want 6, thrice each", got)
		}
	})
}
