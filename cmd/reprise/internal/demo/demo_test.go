package demo

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/filestore"
	"github.com/reprise-go/reprise/store/memstore"
)

// tourOnce walks the tour and returns what it printed.
func tourOnce(t *testing.T, cfg Config) (string, error) {
	t.Helper()
	var out strings.Builder
	cfg.Out, cfg.Once = &out, true
	err := Run(t.Context(), cfg)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return out.String(), err
}

func TestTour(t *testing.T) {
	t.Parallel()
	out, err := tourOnce(t, Config{})
	if err != nil {
		t.Errorf("Run = %v; want nil", err)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("the plain output has escape sequences")
	}
	if got, want := strings.Count(out, "    ok  "), len(steps(false)); got != want {
		t.Errorf("%d steps are ok; want %d", got, want)
	}
}

// Without each of these things the steps that show it, and no other ones, must fail: the tour's checks are real.
func TestTourFails(t *testing.T) {
	var every []string
	for _, s := range steps(false) {
		every = append(every, s.name)
	}
	routes := func(o ...reprise.RouteOption) func(*reprise.Config) {
		return func(c *reprise.Config) { c.RouteDefaults = append(c.RouteDefaults, o...) }
	}
	for _, tt := range []struct {
		name   string
		change func(*reprise.Config)
		want   []string
	}{
		{"disabled", func(c *reprise.Config) { c.Disabled = true }, every},
		{"apart", nil, []string{"purge"}},
		{"no ETag", routes(reprise.ETag(false)), []string{"304"}},
		{"no invalidation", routes(reprise.InvalidateOnWrite(false)), []string{"write"}},
		{"no stale answers", routes(reprise.SkipIf(func(r *http.Request) bool { return r.URL.Path == "/news" })), []string{"stale"}},
		{"no pages of reports", routes(reprise.SkipIf(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/sales") })), []string{"report"}},
		{"no ranges", routes(reprise.SkipIf(func(r *http.Request) bool { return r.Header.Get("Range") != "" })), []string{"range"}},
		{"no streams", routes(reprise.SkipIf(func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/excerpt") })), []string{"stream"}},
		{"one language", routes(reprise.Before(without("Accept-Language"))), []string{"vary"}},
		{"one user", routes(reprise.Before(oneUser)), []string{"per user"}},
		{"no guard", routes(reprise.Before(withKey)), []string{"guard"}},
		{"cookies hidden", routes(reprise.Before(without("Cookie"))), []string{"credentials"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			synctest.Test(t, func(t *testing.T) {
				net := newPipes()
				cfg := Config{change: tt.change, listener: net, dial: net.dial}
				if tt.name == "apart" {
					cfg.apart = func(c *reprise.Config) { c.Namespace = "elsewhere" }
				}
				_, err = tourOnce(t, cfg)
			})
			if err == nil {
				t.Fatal("Run = nil; want an error")
			}
			var got []string
			for _, m := range regexp.MustCompile(`\d+ \(([^)]+)\)`).FindAllStringSubmatch(err.Error(), -1) {
				got = append(got, m[1])
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("failed steps %q; want %q (%v)", got, tt.want, err)
			}
		})
	}
}

// without hides a field from the cache and the handler.
func without(name string) func(http.Handler) http.Handler {
	return changed(func(h http.Header) { h.Del(name) })
}

func oneUser(next http.Handler) http.Handler {
	return changed(func(h http.Header) {
		if h.Get("Authorization") != "" {
			h.Set("Authorization", "Bearer ann")
		}
	})(next)
}

func withKey(next http.Handler) http.Handler {
	return changed(func(h http.Header) { h.Set("X-Api-Key", apiKey) })(next)
}

func changed(change func(http.Header)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r = r.Clone(r.Context())
			change(r.Header)
			next.ServeHTTP(w, r)
		})
	}
}

// Demos on one store show their whole tours, also at the same time, and the later ones the first one's hit.
func TestTourShared(t *testing.T) {
	t.Parallel()
	s, err := filestore.Open(t.TempDir(), filestore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	cfg := Config{Store: s, StoreName: "file:///test"}

	first, err := tourOnce(t, cfg)
	if err != nil {
		t.Errorf("first Run = %v; want nil", err)
	}
	if strings.Contains(first, "from elsewhere") {
		t.Error("the first process on a store shows hits from elsewhere")
	}
	self := regexp.MustCompile(`process (\S+);`).FindStringSubmatch(first)
	if self == nil {
		t.Fatal("the output does not name the process")
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			out, err := tourOnce(t, cfg)
			if err != nil {
				t.Errorf("later Run = %v; want nil", err)
			}
			if !strings.Contains(out, "this hit came from elsewhere: filled by process "+self[1]) {
				t.Error("a later process does not show the first one's hit")
			}
		})
	}
	both.Wait()
}

func TestStoreDown(t *testing.T) {
	t.Parallel()
	s, err := filestore.Open(t.TempDir(), filestore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	out, err := tourOnce(t, Config{Store: s})
	if err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Errorf("Run = %v; want that the store does not answer", err)
	}
	if out != "" {
		t.Errorf("Run printed %q; want nothing", out)
	}
}

// After the tour the bookshop serves others, shows what they ask for, and ends when it is told to.
func TestServe(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Config{Out: w})
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	until := func(part string) string {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), part) {
				return lines.Text()
			}
		}
		t.Fatalf("the output ended without %q", part)
		return ""
	}
	url := regexp.MustCompile(`http://\S+`).FindString(until("reprise demo"))
	until("Ctrl-C")
	go func() {
		resp, err := http.Get(url + "/books/3?%1b[31m")
		if err == nil {
			resp.Body.Close()
		}
	}()
	if got := until("/books/3"); !strings.Contains(got, "MISS") || strings.Contains(got, "\x1b") {
		t.Errorf("the request is shown as %q; want a MISS, plain", got)
	}
	cancel()
	go io.Copy(io.Discard, r)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Run did not end")
	}
	if _, err := http.Get(url); err == nil {
		t.Error("the bookshop still answers")
	}
}

// slowStore is a store outside the process that answers until it is stopped.
type slowStore struct {
	store.Store
	store.Sequencer

	stopped atomic.Bool
}

func (s *slowStore) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	if s.stopped.Load() {
		<-ctx.Done()
		return nil, store.Marks{}, ctx.Err()
	}
	return s.Sequencer.GetMarked(ctx, key, names...)
}

// Who stops the store and goes on asking waits as long as a visitor of a site would, not as long as the tour.
func TestServeWithStoreStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, err := memstore.New(memstore.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Close()
		slow := &slowStore{Store: memory, Sequencer: memory}
		net := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &syncBuffer{}
		ended := make(chan error, 1)
		go func() {
			ended <- Run(ctx, Config{Out: out, Store: slow, StoreName: "slow", listener: net, dial: net.dial})
		}()
		for !strings.Contains(out.String(), "Ctrl-C") {
			time.Sleep(time.Second)
		}
		client := &http.Client{Transport: &http.Transport{DialContext: net.dial, DisableKeepAlives: true}}
		asks := func(status string, want time.Duration) {
			t.Helper()
			began := time.Now()
			resp, err := client.Get("http://shop.test/books/2")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if got := resp.Header.Get("Cache-Status"); !strings.Contains(got, status) || time.Since(began) != want {
				t.Errorf("%s after %v; want %s after %v", got, time.Since(began), status, want)
			}
			synctest.Wait()
		}
		asks("; stored", lookUpTime)
		asks("; hit", 0)
		slow.stopped.Store(true)
		asks("store-failed", 250*time.Millisecond+lookUpTime)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
}

// syncBuffer is a text that is read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, Config{Out: io.Discard}); err == nil {
		t.Error("Run = nil; want an error: the tour was not walked")
	}
}
