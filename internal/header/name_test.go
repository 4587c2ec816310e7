package header_test

import (
	"net/http"
	"testing"

	"github.com/reprise-go/reprise/internal/header"
)

func TestFirst(t *testing.T) {
	h := http.Header{"A": {"1", "2"}, "B": {}, "c": {"3"}}
	for name, want := range map[string]string{"A": "1", "B": "", "C": "", "D": ""} {
		if got := header.First(h, name); got != want {
			t.Errorf("First(%q) = %q; want %q", name, got, want)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"", "Etag", "ETag", "etag", "X-Cache", "X-cache", "x-Cache", "Trailer:Foo", "trailer:foo", "A b", "a b", "-A", "-a", "A--B", "É", "K1a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := header.Canonical(s), http.CanonicalHeaderKey(s) == s; got != want {
			t.Errorf("Canonical(%q) = %t; http.CanonicalHeaderKey makes %q", s, got, http.CanonicalHeaderKey(s))
		}
	})
}
