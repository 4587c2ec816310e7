package reprise_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/reprise-go/reprise"
)

// A handler that changes something reaches the cache through the context of its request.
func ExampleFromContext_handler() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	stock := map[string]int{"a-1": 3}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stock/{sku}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, stock[r.PathValue("sku")])
	})
	mux.HandleFunc("POST /orders/{sku}", func(w http.ResponseWriter, r *http.Request) {
		stock[r.PathValue("sku")]--
		err := reprise.FromContext(r.Context()).InvalidateURLs(r.Context(), "/stock/"+r.PathValue("sku"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, "ordered")
	})
	handler := cache.Wrap(mux)

	show(handler, "GET", "/stock/a-1")
	show(handler, "POST", "/orders/a-1")
	show(handler, "GET", "/stock/a-1")
	// Output:
	// OK MISS 3
	// OK - ordered
	// OK MISS 2
}

// AddTags names the answer after what the handler found out.
func ExampleAddTags() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		author := "ann" // as the database says
		reprise.AddTags(r.Context(), "author:"+author)
		_, _ = io.WriteString(w, "article by "+author)
	})
	show(handler, "GET", "/articles/1")
	show(handler, "GET", "/articles/1")
	if err := cache.InvalidateTags(context.Background(), "author:ann"); err != nil {
		fmt.Println(err)
	}
	show(handler, "GET", "/articles/1")
	// Output:
	// OK MISS article by ann
	// OK HIT article by ann
	// OK MISS article by ann
}

// SetTTL wins over everything but safety.
func ExampleSetTTL() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("year") < "2020" {
			reprise.SetTTL(r.Context(), reprise.Forever) // nothing changes there any more
		} else {
			reprise.SetTTL(r.Context(), 10*time.Second)
		}
		_, _ = io.WriteString(w, "report of "+r.PathValue("year"))
	}, reprise.ClientTTL())
	mux := http.NewServeMux()
	mux.Handle("GET /reports/{year}", handler)

	show(mux, "GET", "/reports/2019")
	show(mux, "GET", "/reports/2019")
	// Output:
	// OK MISS report of 2019
	// OK HIT report of 2019
}

// NoStore keeps an answer out that turned out to be a makeshift.
func ExampleNoStore() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	partner := "down"
	handler := cache.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
		if partner == "down" {
			reprise.NoStore(r.Context())
		}
		_, _ = io.WriteString(w, "offers, partner "+partner)
	})
	show(handler, "GET", "/offers")
	partner = "up"
	show(handler, "GET", "/offers")
	show(handler, "GET", "/offers")
	// Output:
	// OK - offers, partner down
	// OK MISS offers, partner up
	// OK HIT offers, partner up
}
