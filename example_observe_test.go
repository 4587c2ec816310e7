package reprise_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/reprise-go/reprise"
)

// Observe gets one event for each answer: outcome and reason make good metric labels, for their sets are closed.
func ExampleConfig_observe() {
	cache := reprise.Must(reprise.New(reprise.Config{
		Observe: func(_ context.Context, e reprise.Event) {
			fmt.Printf("%s %q\n", e.Outcome, e.Reason)
		},
	}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/basket" {
			w.Header().Set("Cache-Control", "private")
		}
		_, _ = io.WriteString(w, "hello")
	})
	show(handler, "GET", "/")
	show(handler, "GET", "/")
	show(handler, "GET", "/basket")
	show(handler, "POST", "/")
	// Output:
	// miss ""
	// OK MISS hello
	// hit ""
	// OK HIT hello
	// pass "private"
	// OK - hello
	// bypass "method"
	// OK - hello
}

func ExampleCache_Stats() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	show(handler, "GET", "/a")
	show(handler, "GET", "/a")
	show(handler, "GET", "/b")
	s := cache.Stats()
	fmt.Println(s.Hits, "hits,", s.Misses, "misses,", s.Entries, "entries")
	// Output:
	// OK MISS hello
	// OK HIT hello
	// OK MISS hello
	// 1 hits, 2 misses, 2 entries
}

func ExampleCache_Entries() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") },
		reprise.TTL(time.Hour), reprise.Tags("greetings"))
	show(handler, "GET", "/a")
	for entry, err := range cache.Entries(context.Background(), "") {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(entry.Key, entry.Status, entry.Bytes, entry.Tags, entry.Expires.Sub(entry.Stored))
	}
	// Output:
	// OK MISS hello
	// reprise|GET|http://example.com|/a 200 5 [greetings] 1h0m0s
}
