package reprise_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/reprise-go/reprise"
)

// What the answer says about its own lifetime wins over TTL.
func ExampleTTL() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" {
			w.Header().Set("Cache-Control", "no-store")
		}
		_, _ = io.WriteString(w, "score")
	}, reprise.TTL(time.Hour))

	show(handler, "GET", "/final")
	show(handler, "GET", "/final")
	show(handler, "GET", "/live")
	show(handler, "GET", "/live")
	// Output:
	// OK MISS score
	// OK HIT score
	// OK - score
	// OK - score
}

// Forever is for what only an invalidation makes out of date.
func ExampleTTL_forever() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "imprint")
	}, reprise.TTL(reprise.Forever))

	show(handler, "GET", "/imprint")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/imprint", nil))
	fmt.Println(w.Header().Get("Cache-Status"))
	// Output:
	// OK MISS imprint
	// reprise; hit
}

// Errors are not stored unless the route, or the answer itself, says for how long.
func ExampleStatusTTL() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	notFound := http.NotFoundHandler()
	handler := cache.Wrap(notFound, reprise.StatusTTL(404, 5*time.Second))
	plain := cache.Namespace("plain").Wrap(notFound)

	show(handler, "GET", "/typo")
	show(handler, "GET", "/typo")
	show(plain, "GET", "/typo")
	// Output:
	// Not Found MISS 404 page not found
	// Not Found HIT 404 page not found
	// Not Found - 404 page not found
}

func ExampleTTLFunc() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Draft", r.URL.Query().Get("draft"))
		_, _ = io.WriteString(w, "article")
	}, reprise.TTLFunc(func(status int, h http.Header) time.Duration {
		if status != http.StatusOK || h.Get("X-Draft") != "" {
			return 0 // not stored
		}
		return time.Hour
	}))

	show(handler, "GET", "/article")
	show(handler, "GET", "/article")
	show(handler, "GET", "/article?draft=1")
	// Output:
	// OK MISS article
	// OK HIT article
	// OK - article
}

// OverrideTTL is for handlers that state a lifetime without meaning it.
func ExampleOverrideTTL() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=0")
		_, _ = io.WriteString(w, "report")
	}, reprise.OverrideTTL(time.Minute))

	show(handler, "GET", "/report")
	show(handler, "GET", "/report")
	// Output:
	// OK MISS report
	// OK HIT report
}

// ClientTTL tells browsers how long the answer is still good for.
func ExampleClientTTL() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "news")
	}, reprise.TTL(time.Minute), reprise.ClientTTL())

	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/news", nil))
	fmt.Println(w.Header().Get("Cache-Control"))
	// Output: max-age=60
}
