package reprise_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/reprise-go/reprise"
)

// After its lifetime, here cut short by a soft invalidation, the old answer is served at once while one background run
// replaces it.
func ExampleStaleWhileRevalidate() {
	refreshed := make(chan struct{}, 1)
	cache := reprise.Must(reprise.New(reprise.Config{
		Observe: func(_ context.Context, e reprise.Event) {
			if e.Outcome == reprise.Refreshed {
				refreshed <- struct{}{}
			}
		},
	}))
	defer cache.Close()

	edition := 0
	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		edition++
		fmt.Fprintf(w, "edition %d", edition)
	}, reprise.TTL(time.Minute), reprise.StaleWhileRevalidate(time.Hour))

	show(handler, "GET", "/paper")
	if err := cache.Soft().InvalidateURLs(context.Background(), "/paper"); err != nil {
		fmt.Println(err)
	}
	show(handler, "GET", "/paper")
	<-refreshed
	show(handler, "GET", "/paper")
	// Output:
	// OK MISS edition 1
	// OK HIT edition 1
	// OK HIT edition 2
}

// While the handler fails, what it said before is served.
func ExampleStaleIfError() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	up := true
	handler := cache.WrapFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up {
			http.Error(w, "no database", http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, "menu")
	}, reprise.TTL(time.Minute), reprise.StaleIfError(24*time.Hour))

	show(handler, "GET", "/menu")
	up = false
	if err := cache.Soft().InvalidateURLs(context.Background(), "/menu"); err != nil {
		fmt.Println(err)
	}
	show(handler, "GET", "/menu")
	show(handler, "GET", "/other")
	// Output:
	// OK MISS menu
	// OK HIT menu
	// Internal Server Error - no database
}
