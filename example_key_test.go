package reprise_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/reprise-go/reprise"
)

// Only the named parameters are in the key, and only these reach the handler.
func ExampleQueryParams() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.String())
	}, reprise.QueryParams("page", "sort"), reprise.QueryDefault("page", "1"))

	show(handler, "GET", "/list?sort=price&page=1&fbclid=x")
	show(handler, "GET", "/list?page=1&sort=price")
	show(handler, "GET", "/list?sort=price") // an absent page is page 1
	show(handler, "GET", "/list?page=2&sort=price")
	// Output:
	// OK MISS /list?page=1&sort=price
	// OK HIT /list?page=1&sort=price
	// OK HIT /list?page=1&sort=price
	// OK MISS /list?page=2&sort=price
}

func ExampleIgnoreQueryParams() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.URL.String())
	}, reprise.IgnoreQueryParams("utm_*", "fbclid"))

	show(handler, "GET", "/list?utm_source=mail&page=2")
	show(handler, "GET", "/list?page=2&fbclid=x")
	// Output:
	// OK MISS /list?page=2
	// OK HIT /list?page=2
}

// Vary names the request fields that the answers depend on. A handler that sets Vary itself needs no option.
func ExampleVary() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "greeting in "+r.Header.Get("Accept-Language"))
	}, reprise.Vary("Accept-Language"))

	show(handler, "GET", "/", "Accept-Language: de")
	show(handler, "GET", "/", "Accept-Language: fr")
	show(handler, "GET", "/", "Accept-Language: de")
	// Output:
	// OK MISS greeting in de
	// OK MISS greeting in fr
	// OK HIT greeting in de
}

// Key replaces the default key: the answer depends on what the function adds, and on nothing else.
func ExampleKey() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "prices for "+r.Header.Get("X-Tenant"))
	}, reprise.Key(func(b *reprise.KeyBuilder, r *http.Request) {
		b.Text(r.URL.Path)
		b.Header(r, "X-Tenant")
	}))

	show(handler, "GET", "/prices?nonce=1", "X-Tenant: acme")
	show(handler, "GET", "/prices?nonce=2", "X-Tenant: acme")
	show(handler, "GET", "/prices?nonce=3", "X-Tenant: bolt")
	// Output:
	// OK MISS prices for acme
	// OK HIT prices for acme
	// OK MISS prices for bolt
}

// KeyOf makes the key of a route with Key from its parts, to delete what is stored there.
func ExampleKeyOf() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	stock := func(b *reprise.KeyBuilder, sku string) {
		b.Text("stock")
		b.Text(sku)
	}
	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "3 left")
	}, reprise.Key(func(b *reprise.KeyBuilder, r *http.Request) {
		stock(b, strings.TrimPrefix(r.URL.Path, "/stock/"))
	}))
	show(handler, "GET", "/stock/a-1")

	n, err := cache.Delete(context.Background(), reprise.KeyOf(func(b *reprise.KeyBuilder) { stock(b, "a-1") }))
	fmt.Println(n, err)
	show(handler, "GET", "/stock/a-1")
	// Output:
	// OK MISS 3 left
	// 1 <nil>
	// OK MISS 3 left
}

// AnyHost is for a service that gives the same answers under several names.
func ExampleAnyHost() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{}")
	}, reprise.AnyHost())

	show(handler, "GET", "https://shop.test/api")
	show(handler, "GET", "https://www.shop.test/api")
	// Output:
	// OK MISS {}
	// OK HIT {}
}
