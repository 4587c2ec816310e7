package reprise_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/reprise-go/reprise"
)

func ExampleSet() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()
	ctx := context.Background()

	if err := reprise.Set(ctx, cache, "greeting", "hello", reprise.TTL(time.Hour), reprise.Tags("texts")); err != nil {
		fmt.Println(err)
	}
	text, ok, err := reprise.Get[string](ctx, cache, "greeting")
	fmt.Println(text, ok, err)

	if err := cache.InvalidateTags(ctx, "texts"); err != nil {
		fmt.Println(err)
	}
	text, ok, err = reprise.Get[string](ctx, cache, "greeting")
	fmt.Printf("%q %v %v\n", text, ok, err)
	// Output:
	// hello true <nil>
	// "" false <nil>
}

// A handler reaches the cache that wraps it by its context. Where there is none, Get finds nothing and Set does nothing.
func ExampleFromContext() {
	cache := reprise.Must(reprise.New(reprise.Config{}))
	defer cache.Close()

	show := func(w http.ResponseWriter, r *http.Request) {
		c := reprise.FromContext(r.Context())
		visits, _, _ := reprise.Get[int](r.Context(), c, "visits")
		_ = reprise.Set(r.Context(), c, "visits", visits+1)
		_, _ = fmt.Fprintln(w, "visits:", visits+1)
	}
	for _, h := range []http.Handler{cache.WrapFunc(show, reprise.IgnoreQueryParams("again")), http.HandlerFunc(show)} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		fmt.Print(w.Body)
	}
	fmt.Println(reprise.Get[int](context.Background(), cache, "visits"))
	// Output:
	// visits: 1
	// visits: 1
	// 1 true <nil>
}

// indented is a codec of one's own: anything that appends bytes and reads them again.
type indented struct{}

func (indented) Append(dst []byte, v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "\t")
	return append(dst, b...), err
}

func (indented) Decode(src []byte, v any) error { return json.Unmarshal(src, v) }

func ExampleUseCodec() {
	cache := reprise.Must(reprise.New(reprise.Config{})) // Config.Codec would be for all functions
	defer cache.Close()
	double := reprise.Memoize(cache, "double",
		func(_ context.Context, n int) (int, error) { return 2 * n, nil },
		reprise.UseCodec(indented{}))
	fmt.Println(double(context.Background(), 21))
	// Output: 42 <nil>
}
