package reprise_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/reprise-go/reprise"
)

// The functions of this file show mistakes. None of them does what its author wants.

// Incorrect: who may ask is decided inside of what is cached, and so on misses alone. Put the check into Before.
func ExamplePublic_incorrect() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	report := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "salaries") })
	guard := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Role") != "boss" {
				http.Error(w, "not for you", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	handler := cache.Wrap(guard(report), reprise.Public()) // cache.Wrap(report, reprise.Public(), reprise.Before(guard))

	show(handler, "GET", "/report", "X-Role: boss")
	show(handler, "GET", "/report", "X-Role: guest")
	// Output:
	// OK MISS salaries
	// OK HIT salaries
}

// Incorrect: parts that are joined by hand can be joined otherwise. Call Text for each.
func ExampleKey_incorrect() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		_, _ = io.WriteString(w, q.Get("team")+" of "+q.Get("club"))
	}, reprise.Key(func(b *reprise.KeyBuilder, r *http.Request) {
		q := r.URL.Query()
		b.Text(q.Get("club") + "-" + q.Get("team")) // b.Text(q.Get("club")); b.Text(q.Get("team"))
	}))

	show(handler, "GET", "/?club=a&team=b-c")
	show(handler, "GET", "/?club=a-b&team=c")
	// Output:
	// OK MISS b-c of a
	// OK HIT b-c of a
}

// Incorrect: the handler reads a field and says so nowhere. Name it in Vary, of the answer or of the route, or in Key.
func ExampleVary_incorrect() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "link to "+r.Header.Get("X-Forwarded-Host"))
	})

	show(handler, "GET", "/", "X-Forwarded-Host: evil.test")
	show(handler, "GET", "/", "X-Forwarded-Host: shop.test")
	// Output:
	// OK MISS link to evil.test
	// OK HIT link to evil.test
}

// Incorrect: the answers are not the same on every host, for the handler writes the host into them.
func ExampleAnyHost_incorrect() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "https://"+r.Host+"/next")
	}, reprise.AnyHost())

	show(handler, "GET", "http://evil.test/")
	show(handler, "GET", "http://shop.test/")
	// Output:
	// OK MISS https://evil.test/next
	// OK HIT https://evil.test/next
}

// Incorrect: an answer that sets a cookie is never stored, for its first visitor's session would become everybody's. Set
// it by a handler of its own, such as that of the login.
func ExampleCache_Wrap_incorrect() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "new", HttpOnly: true, Secure: true})
		_, _ = io.WriteString(w, "page")
	})
	for range 2 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Println(w.Header().Get("Cache-Status"))
	}
	// Output:
	// reprise; fwd=uri-miss; detail=set-cookie
	// reprise; fwd=uri-miss; detail=set-cookie
}

// Incorrect: two handlers for one URL in one namespace share their answers. Namespaced sets them apart.
func ExampleNamespaced_incorrect() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) }
	}
	desktop := cache.Wrap(text("wide"))
	mobile := cache.Wrap(text("narrow")) // cache.Wrap(text("narrow"), reprise.Namespaced("mobile"))

	show(desktop, "GET", "/")
	show(mobile, "GET", "/")
	// Output:
	// OK MISS wide
	// OK HIT wide
}

// Incorrect: Delete takes keys, not URLs. Use InvalidateURLs, or Route.Key.
func ExampleCache_Delete_incorrect() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.Wrap(versions())
	show(handler, "GET", "http://shop.test/shoes")
	n, err := cache.Delete(context.Background(), "http://shop.test/shoes")
	fmt.Println(n, err)
	show(handler, "GET", "http://shop.test/shoes")
	// Output:
	// OK MISS /shoes version 1
	// 0 <nil>
	// OK HIT /shoes version 1
}

// Incorrect: a context that is not the request's knows of no cache. What is said to it is said to nobody.
func ExampleAddTags_incorrect() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	ctx := context.Background()
	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		reprise.AddTags(ctx, "catalogue") // reprise.AddTags(r.Context(), "catalogue")
		_, _ = io.WriteString(w, "shoes")
	})
	show(handler, "GET", "/shoes")
	if err := cache.InvalidateTags(ctx, "catalogue"); err != nil {
		fmt.Println(err)
	}
	show(handler, "GET", "/shoes")
	// Output:
	// OK MISS shoes
	// OK HIT shoes
}
