package reprise_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/reprise-go/reprise"
)

// userOf is what a session or a token says about who asks.
func userOf(r *http.Request) (string, error) {
	c, err := r.Cookie("session")
	if err != nil {
		return "", errors.New("not signed in")
	}
	return c.Value, nil
}

// PerUser keeps an entry for each user. Who is nobody bypasses the cache.
func ExamplePerUser() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _ := userOf(r)
		w.Header().Set("Cache-Control", "private")
		_, _ = io.WriteString(w, "orders of "+user)
	}, reprise.PerUser(userOf))

	show(handler, "GET", "/orders", "Cookie: session=ann")
	show(handler, "GET", "/orders", "Cookie: session=bob")
	show(handler, "GET", "/orders", "Cookie: session=ann")
	show(handler, "GET", "/orders")
	// Output:
	// OK MISS orders of ann
	// OK MISS orders of bob
	// OK HIT orders of ann
	// OK - orders of
}

// Public says that the answer is the same for all: credentials neither prevent storing nor reach the handler. Who may ask is
// decided by Before, on every request.
func ExamplePublic() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	signedIn := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := userOf(r); err != nil {
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "price list, cookies: %d", len(r.Cookies()))
	}, reprise.Public(), reprise.Before(signedIn))

	show(handler, "GET", "/prices", "Cookie: session=ann")
	show(handler, "GET", "/prices", "Cookie: session=bob")
	show(handler, "GET", "/prices")
	// Output:
	// OK MISS price list, cookies: 0
	// OK HIT price list, cookies: 0
	// Unauthorized - not signed in
}

// Before runs on every request, hits included.
func ExampleBefore() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	left := 2
	limited := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if left--; left < 0 {
				http.Error(w, "slow down", http.StatusTooManyRequests)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}, reprise.Before(limited))

	show(handler, "GET", "/")
	show(handler, "GET", "/")
	show(handler, "GET", "/")
	// Output:
	// OK MISS hello
	// OK HIT hello
	// Too Many Requests - slow down
}

// Cookies names the cookies that the answers depend on. The handler is shown no other.
func ExampleCookies() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "page, cookies: "+r.Header.Get("Cookie"))
	}, reprise.Cookies("theme"))

	show(handler, "GET", "/", "Cookie: _ga=1; theme=dark")
	show(handler, "GET", "/", "Cookie: theme=dark; _ga=2")
	show(handler, "GET", "/", "Cookie: theme=light")
	// Output:
	// OK MISS page, cookies: theme=dark
	// OK HIT page, cookies: theme=dark
	// OK MISS page, cookies: theme=light
}
