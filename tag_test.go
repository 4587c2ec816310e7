package reprise_test

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise"
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
