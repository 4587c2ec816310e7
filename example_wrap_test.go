package reprise_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/reprise-go/reprise"
)

func ExampleCache_Wrap() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	calls := 0
	var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls++
		fmt.Fprintf(w, "call %d", calls)
	})
	handler = cache.Wrap(handler, reprise.TTL(time.Minute))

	show(handler, "GET", "/products")
	show(handler, "GET", "/products")
	show(handler, "GET", "/products?page=2")
	// Output:
	// OK MISS call 1
	// OK HIT call 1
	// OK MISS call 2
}

// With patterns of http.ServeMux wrap each handler; the handler sees what the pattern matched.
func ExampleCache_WrapFunc() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	mux := http.NewServeMux()
	mux.Handle("GET /products/{id}", cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "product "+r.PathValue("id"))
	}))

	show(mux, "GET", "/products/1")
	show(mux, "GET", "/products/2")
	show(mux, "GET", "/products/1")
	// Output:
	// OK MISS product 1
	// OK MISS product 2
	// OK HIT product 1
}

// Middleware has the shape that chi, alice and others take: router.Use(cache.Middleware(…)).
func ExampleCache_Middleware() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	logged := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Println(r.Method, r.URL.Path)
			next.ServeHTTP(w, r)
		})
	}
	chain := func(h http.Handler, mw ...func(http.Handler) http.Handler) http.Handler {
		for _, m := range slices.Backward(mw) {
			h = m(h)
		}
		return h
	}
	handler := chain(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}), logged, cache.Middleware(reprise.TTL(time.Minute)))

	show(handler, "GET", "/")
	show(handler, "GET", "/")
	// Output:
	// GET /
	// OK MISS hello
	// GET /
	// OK HIT hello
}

// NewRoute is for options that come from a file: it returns every mistake in them.
func ExampleCache_NewRoute() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	_, err := cache.NewRoute(reprise.TTL(-time.Minute), reprise.Jitter(10))
	fmt.Println(err)

	var mistake *reprise.ConfigError
	fmt.Println(errors.As(err, &mistake), mistake.Option, mistake.Value)
	// Output:
	// reprise: TTL(-1m0s): is negative; give a positive duration, Forever, or 0 to switch caching off
	// reprise: Jitter(10): is not between 0 and 0.99; 0.1 shortens lifetimes by up to a tenth
	// true TTL -1m0s
}

// Presets are options that have a name.
func ExampleRouteOptions() {
	catalogue := reprise.RouteOptions(
		reprise.TTL(10*time.Minute),
		reprise.IgnoreQueryParams("utm_*"),
		reprise.Tags("catalogue"),
	)
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.String())
	}, catalogue)

	show(handler, "GET", "/shoes?utm_source=mail")
	show(handler, "GET", "/shoes")
	// Output:
	// OK MISS /shoes
	// OK HIT /shoes
}
