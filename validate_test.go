package reprise_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/subject"
	"github.com/reprise-go/reprise/store/memstore"
)

// versioned is an origin whose page has a version. It takes a while to answer, by what the version was when it began.
type versioned struct {
	version atomic.Int64
	takes   func() time.Duration

	full, confirmed atomic.Int64
}

func (o *versioned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	tag := strconv.Quote(strconv.FormatInt(o.version.Load(), 10))
	time.Sleep(o.takes())
	w.Header().Set("Etag", tag)
	w.Header().Set("Cache-Control", "max-age=1")
	if r.Header.Get("If-None-Match") == tag {
		o.confirmed.Add(1)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	o.full.Add(1)
	_, _ = io.WriteString(w, tag)
}

// After an invalidation has returned nobody gets what was current before it, also not by a validation that was under way; nobody who
// did not ask for a 304 gets one.
func TestValidateInvalidated(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex
			pause := func() time.Duration {
				mu.Lock()
				defer mu.Unlock()
				return time.Duration(rng.Int64N(int64(400 * time.Millisecond)))
			}
			o := &versioned{takes: pause}
			c := reprise.Must(reprise.New(reprise.Config{}))
			defer c.Close()
			h := c.Wrap(o)

			var current atomic.Int64 // no older one may be served from now on
			var clients sync.WaitGroup
			for range 10 {
				clients.Go(func() {
					for range 50 {
						time.Sleep(pause())
						oldest := current.Load()
						w := &client{}
						<-w.ask(h, newRequest("/a"))
						got, err := strconv.Unquote(w.body.String())
						n, _ := strconv.ParseInt(got, 10, 64)
						if w.code != http.StatusOK || err != nil || n < oldest {
							t.Errorf("seed %d: %d %q; want 200 and at least %d", seed, w.code, w.body.String(), oldest)
						}
					}
				})
			}
			clients.Go(func() {
				for range 20 {
					time.Sleep(2 * pause())
					n := o.version.Add(1)
					if err := c.InvalidateURLs(t.Context(), "/a"); err != nil {
						t.Error(err)
					}
					current.Store(n)
				}
			})
			clients.Wait()
			if o.confirmed.Load() == 0 {
				t.Error("no validation was confirmed")
			}
		})
	}
}

// A validation is one request, whoever follows, and nobody sees a 304 that is about something else.
func TestValidateStray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		c := reprise.Must(reprise.New(reprise.Config{}))
		defer c.Close()
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			n++
			time.Sleep(time.Second)
			w.Header().Set("Etag", strconv.Quote(strconv.Itoa(n)))
			w.Header().Set("Cache-Control", "max-age=60")
			if r.Header.Get("If-None-Match") != "" {
				w.WriteHeader(http.StatusNotModified) // of a page that nobody has
				return
			}
			_, _ = fmt.Fprint(w, n)
		})
		<-(&client{}).ask(h, newRequest("/a"))
		time.Sleep(time.Minute)
		var all []*client
		var done []<-chan struct{}
		for range 50 {
			w := &client{}
			all, done = append(all, w), append(done, w.ask(h, newRequest("/a")))
		}
		for i, w := range all {
			<-done[i]
			if w.code != http.StatusOK || w.body.String() != "3" {
				t.Errorf("client %d got %d %q; want 200 3", i, w.code, w.body.String())
			}
		}
		if n != 3 {
			t.Errorf("the handler ran %d times; want 3: to fill, to validate and to fill again", n)
		}
	})
}

// What is evicted while it is validated is served all the same, and stored again.
func TestValidateEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := memstore.New(memstore.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		o := &versioned{takes: func() time.Duration { return time.Second / 2 }}
		c := reprise.Must(reprise.New(reprise.Config{Store: s}))
		defer c.Close()
		route, err := c.NewRoute()
		if err != nil {
			t.Fatal(err)
		}
		h := route.Wrap(o)
		<-(&client{}).ask(h, newRequest("/a"))
		time.Sleep(time.Minute)
		w := &client{}
		done := w.ask(h, newRequest("/a"))
		time.Sleep(time.Second / 4)
		key, err := route.Key(newRequest("/a"))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := s.Delete(t.Context(), key); n != 1 || err != nil {
			t.Fatalf("Delete(%s) = %d, %v; want 1", key, n, err)
		}
		<-done
		if w.code != http.StatusOK || w.body.String() != `"0"` || o.confirmed.Load() != 1 {
			t.Errorf("%d %q after %d confirmations; want 200 and the stored page after 1", w.code, w.body.String(), o.confirmed.Load())
		}
		if e, err := c.Entry(t.Context(), key); err != nil || e.Stale || e.Status != http.StatusOK {
			t.Errorf("Entry() = %+v, %v; want a fresh one", e, err)
		}
	})
}

// Whatever a handler does beside its 304, nothing of it leaves.
func TestValidateNoise(t *testing.T) {
	for _, tt := range []struct {
		name  string
		noise func(w http.ResponseWriter)
	}{
		{"a body", func(w http.ResponseWriter) {
			if _, err := io.WriteString(w, "noise"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}},
		{"a flush", func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }},
		{"a hijack", func(w http.ResponseWriter) {
			if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
				panic(err)
			}
		}},
		{"another status", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot) }},
		{"a trailer", func(w http.ResponseWriter) { w.Header().Set(http.TrailerPrefix+"X-Sum", "1") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := reprise.Must(reprise.New(reprise.Config{}))
				defer c.Close()
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Etag", `"a"`)
					w.Header().Set("Cache-Control", "max-age=60")
					if r.Header.Get("If-None-Match") == "" {
						_, _ = io.WriteString(w, "page")
						return
					}
					w.WriteHeader(http.StatusNotModified)
					tt.noise(w)
				})
				<-(&client{}).ask(h, newRequest("/a"))
				time.Sleep(time.Minute)
				w := &client{}
				<-w.ask(h, newRequest("/a"))
				if w.code != http.StatusOK || w.body.String() != "page" || w.failure != nil {
					t.Errorf("%d %q, panic %v; want 200 page", w.code, w.body.String(), w.failure)
				}
				if got := c.Stats().Validated; got != 1 {
					t.Errorf("Stats().Validated = %d; want 1", got)
				}
			})
		})
	}
}

// FillTimeout holds for a validation: on a Standard route what is stored stands in, on another one only by StaleIfError.
func TestValidateTimeout(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts []reprise.RouteOption
		want int
	}{
		{"a handler", nil, http.StatusGatewayTimeout},
		{"Standard", []reprise.RouteOption{reprise.Standard()}, http.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wait := time.Duration(0)
				o := &versioned{takes: func() time.Duration { return wait }}
				c := reprise.Must(reprise.New(reprise.Config{}))
				defer c.Close()
				h := c.Wrap(o, append(tt.opts, reprise.FillTimeout(time.Second))...)
				<-(&client{}).ask(h, newRequest("/a"))
				time.Sleep(time.Minute)
				wait = 10 * time.Second
				w := &client{}
				began := time.Now()
				<-w.ask(h, newRequest("/a"))
				if w.code != tt.want {
					t.Errorf("status %d; want %d", w.code, tt.want)
				}
				if took := w.first.Sub(began); took != time.Second {
					t.Errorf("the first byte came after %v; want 1s", took)
				}
			})
		})
	}
}

// A tag that the cache has made is not asked about, and hides no date.
func TestValidateNotByOwnTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		c := reprise.Must(reprise.New(reprise.Config{}))
		defer c.Close()
		h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
			asked = append(asked, r.Header.Get("If-None-Match")+"|"+r.Header.Get("If-Modified-Since"))
			w.Header().Set("Last-Modified", "Fri, 31 Dec 1999 00:00:00 GMT")
			_, _ = io.WriteString(w, "page")
		})
		<-(&client{}).ask(h, newRequest("/a"))
		time.Sleep(time.Minute)
		<-(&client{}).ask(h, newRequest("/a"))
		if want := "|Fri, 31 Dec 1999 00:00:00 GMT"; len(asked) != 2 || asked[1] != want {
			t.Errorf("the handler was asked %q; want the second time %q", asked, want)
		}
	})
}

// slowStore is a store whose writes take a while.
type slowStore struct{ *subject.Shared }

func (s slowStore) Set(ctx context.Context, key string, v []byte, ttl time.Duration) error {
	time.Sleep(200 * time.Millisecond)
	return s.Shared.Set(ctx, key, v, ttl)
}

// Who comes after the handler has answered, and before the store has the answer, gets it only if it may be reused without asking.
func TestValidateWhileStored(t *testing.T) {
	for _, tt := range []struct {
		name, cc, request string
		asked             bool
	}{
		{"fresh", "max-age=60", "", false},
		{"no-cache", "no-cache", "", true},
		{"stale from the start", "max-age=0", "", true},
		{"a request that asks for validation", "max-age=60", "no-cache", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked []string
				c := reprise.Must(reprise.New(reprise.Config{Store: slowStore{subject.NewShared()}}))
				defer c.Close()
				h := c.WrapFunc(func(w http.ResponseWriter, r *http.Request) {
					asked = append(asked, r.Header.Get("If-None-Match"))
					w.Header().Set("Etag", `"a"`)
					w.Header().Set("Cache-Control", tt.cc)
					if r.Header.Get("If-None-Match") == `"a"` {
						w.WriteHeader(http.StatusNotModified)
						return
					}
					_, _ = io.WriteString(w, "page")
				})
				<-(&client{}).ask(h, newRequest("/a"))
				time.Sleep(50 * time.Millisecond)
				r := newRequest("/a")
				if tt.request != "" {
					r.Header.Set("Cache-Control", tt.request)
				}
				w := &client{}
				<-w.ask(h, r)
				if w.code != http.StatusOK || w.body.String() != "page" {
					t.Errorf("%d %q; want 200 page", w.code, w.body.String())
				}
				want := []string{""}
				if tt.asked {
					want = append(want, `"a"`)
				}
				if !slices.Equal(asked, want) {
					t.Errorf("the handler was asked %q; want %q", asked, want)
				}
			})
		})
	}
}
