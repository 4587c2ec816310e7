package reprise_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/reprise-go/reprise"
)

// versions answers with how often it was called.
func versions() http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		n++
		fmt.Fprintf(w, "%s version %d", r.URL.Path, n)
	}
}

// A tag names answers of any number of routes.
func ExampleCache_InvalidateTags() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(versions(), reprise.Tags("catalogue"))
	show(handler, "GET", "/shoes")
	show(handler, "GET", "/hats")
	if err := cache.InvalidateTags(context.Background(), "catalogue"); err != nil {
		fmt.Println(err)
	}
	show(handler, "GET", "/shoes")
	show(handler, "GET", "/hats")
	// Output:
	// OK MISS /shoes version 1
	// OK MISS /hats version 2
	// OK MISS /shoes version 3
	// OK MISS /hats version 4
}

// A path stands for all its queries and variants.
func ExampleCache_InvalidateURLs() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.Wrap(versions())
	show(handler, "GET", "/shoes?size=42")
	show(handler, "GET", "/hats")
	if err := cache.InvalidateURLs(context.Background(), "/shoes"); err != nil {
		fmt.Println(err)
	}
	show(handler, "GET", "/shoes?size=42")
	show(handler, "GET", "/hats")
	// Output:
	// OK MISS /shoes version 1
	// OK MISS /hats version 2
	// OK MISS /shoes version 3
	// OK HIT /hats version 2
}

// A write through a wrapped handler invalidates its URL by itself.
func ExampleInvalidateOnWrite() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.Wrap(versions(), reprise.InvalidateOnWrite(true)) // as it is anyway
	show(handler, "GET", "/shoes")
	show(handler, "PATCH", "/shoes")
	show(handler, "GET", "/shoes")
	// Output:
	// OK MISS /shoes version 1
	// OK - /shoes version 2
	// OK MISS /shoes version 3
}

// Route.Key is what Delete takes.
func ExampleCache_Delete() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	ctx := context.Background()
	products, err := cache.NewRoute(reprise.QueryParams("lang"))
	if err != nil {
		fmt.Println(err)
	}
	handler := products.Wrap(versions())
	show(handler, "GET", "http://shop.test/shoes?lang=de")
	show(handler, "GET", "http://shop.test/shoes?lang=fr")

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://shop.test/shoes?lang=de&utm_source=mail", nil)
	if err != nil {
		fmt.Println(err)
	}
	key, err := products.Key(req)
	fmt.Println(key, err)
	n, err := cache.Delete(ctx, key)
	fmt.Println(n, err)

	show(handler, "GET", "http://shop.test/shoes?lang=de")
	show(handler, "GET", "http://shop.test/shoes?lang=fr")
	// Output:
	// OK MISS /shoes version 1
	// OK MISS /shoes version 2
	// reprise|GET|http://shop.test|/shoes|lang=de <nil>
	// 1 <nil>
	// OK MISS /shoes version 3
	// OK HIT /shoes version 2
}

// Clear empties a namespace and what is below it, and nothing else.
func ExampleCache_Clear() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	shop, blog := cache.Namespace("shop"), cache.Namespace("blog")
	shoes, post := shop.Wrap(versions()), blog.Wrap(versions())
	show(shoes, "GET", "/shoes")
	show(post, "GET", "/post")
	if err := shop.Clear(context.Background()); err != nil {
		fmt.Println(err)
	}
	show(shoes, "GET", "/shoes")
	show(post, "GET", "/post")
	// Output:
	// OK MISS /shoes version 1
	// OK MISS /post version 1
	// OK MISS /shoes version 2
	// OK HIT /post version 1
}

// Two routes with one namespace and one key share their answers; Namespaced sets them apart.
func ExampleNamespaced() {
	cache := reprise.Must(reprise.New(reprise.Config{Namespace: "shop"}))
	defer cache.Close()

	v1 := cache.Wrap(versions(), reprise.Namespaced("v1"))
	v2 := cache.Wrap(versions(), reprise.Namespaced("v2"))
	show(v1, "GET", "/shoes")
	show(v2, "GET", "/shoes")
	for entry := range cache.Namespace("v2").Entries(context.Background(), "") {
		fmt.Println(entry.Key)
	}
	// Output:
	// OK MISS /shoes version 1
	// OK MISS /shoes version 1
	// shop:v2|GET|http://example.com|/shoes
}

// What a soft handle invalidates is stale: a route that allows it may still serve it while it is refreshed.
func ExampleCache_Soft() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.Wrap(versions(), reprise.Tags("catalogue"))
	show(handler, "GET", "/shoes")
	if err := cache.Soft().InvalidateTags(context.Background(), "catalogue"); err != nil {
		fmt.Println(err)
	}
	for entry := range cache.Entries(context.Background(), "") {
		fmt.Println("stale:", entry.Stale)
	}
	show(handler, "GET", "/shoes") // this route serves nothing stale
	// Output:
	// OK MISS /shoes version 1
	// stale: true
	// OK MISS /shoes version 2
}
