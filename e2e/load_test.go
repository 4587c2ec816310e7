package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

const (
	rate   = 200 // requests a second
	paths  = 60
	most   = 90 * rate // requests of one site: calm, fault and patience
	atOnce = rate / 2  // requests that wait for their answers: twice as many as a store that is slow for 250 ms holds up
)

// site is a server with a cache in front of a handler, and clients that ask it as often as they do, however long the
// answers take. Only where so many wait that the machine has to be the reason, clients stay away: if it cannot keep up, more
// requests make each slower, until none has its answer in time for as long as they come.
type site struct {
	t       *testing.T
	server  *httptest.Server
	client  *http.Client
	began   time.Time
	stop    chan struct{}
	stopped chan struct{}

	mu      sync.Mutex
	samples []sample // by number of the request
}

// sample is what became of one request.
type sample struct {
	at    time.Duration // when it was due, since the site began
	late  time.Duration // how much later it began: the machine has other things to do
	added time.Duration // what the cache took of it; the handler takes no time
	hit   bool
	done  bool   // false if the client stayed away
	wrong string // what is wrong with the answer
}

const (
	numberField   = "Request-Number"
	languageField = "Accept-Language"
)

// newSite serves from a cache in s, and warms it up.
func newSite(t *testing.T, s store.Store) *site {
	t.Helper()
	c, err := reprise.New(reprise.Config{Store: s, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w := &site{t: t, stop: make(chan struct{}), stopped: make(chan struct{}), samples: make([]sample, 0, most)}
	cached := c.WrapFunc(answer, reprise.TTL(time.Hour), reprise.TagsFunc(func(r *http.Request) []string {
		if kind(r.URL.Path) == "tagged" {
			return []string{"tag " + r.URL.Path, "tag"}
		}
		return nil
	}))
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		began := time.Now()
		defer func() { w.took(r.Header.Get(numberField), time.Since(began)) }()
		cached.ServeHTTP(rw, r)
	}))
	w.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * rate}}
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		w.server.Close()
		if err := c.Close(); err != nil {
			t.Errorf("Close of the cache: %v", err)
		}
	})
	w.warm()
	return w
}

// kind is the first part of a path: answers of one kind depend on the language, those of another have tags.
func kind(path string) string {
	k, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return k
}

func pathOf(n int) string {
	n %= paths
	return "/" + [...]string{"plain", "plain", "tagged", "vary"}[n%4] + "/" + strconv.Itoa(n)
}

func languageOf(n int) string { return [...]string{"en", "de"}[n/paths%2] }

// answer is the handler: what it writes tells which request it belongs to.
func answer(w http.ResponseWriter, r *http.Request) {
	language := ""
	if kind(r.URL.Path) == "vary" {
		w.Header().Set("Vary", languageField)
		language = r.Header.Get(languageField)
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(bodyOf(r.URL.Path, language))
}

func bodyOf(path, language string) []byte {
	return bytes.Repeat([]byte(path+" "+language+"\n"), 200)
}

// warm asks for everything until all of it is a hit.
func (w *site) warm() {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for hits := 0; hits < 2*paths; {
		hits = 0
		for n := range 2 * paths {
			hit, wrong := w.ask(-1, pathOf(n), languageOf(n))
			if wrong != "" {
				w.t.Fatalf("while nothing is broken: %s", wrong)
			}
			if hit {
				hits++
			}
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d of %d requests hit a warm cache", hits, 2*paths)
		}
	}
}

// ask sends one request and says what is wrong with its answer.
func (w *site) ask(n int, path, language string) (hit bool, wrong string) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, w.server.URL+path, nil)
	if err != nil {
		return false, err.Error()
	}
	r.Header.Set(languageField, language)
	r.Header.Set(numberField, strconv.Itoa(n))
	resp, err := w.client.Do(r)
	if err != nil {
		return false, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, fmt.Sprintf("GET %s: body: %v", path, err)
	}
	if kind(path) != "vary" {
		language = ""
	}
	if resp.StatusCode != http.StatusOK || !bytes.Equal(body, bodyOf(path, language)) {
		return false, fmt.Sprintf("GET %s (%s): %s, %d bytes that begin with %.60q", path, language, resp.Status, len(body), body)
	}
	return resp.Header.Get("X-Cache") == "HIT", ""
}

// begin lets the clients begin.
func (w *site) begin() {
	w.began = time.Now()
	go func() { // ends with end, or when all requests were made
		defer close(w.stopped)
		var requests sync.WaitGroup
		defer requests.Wait()
		waiting := make(chan struct{}, atOnce)
		for n := range most {
			at := time.Duration(n) * time.Second / rate
			select {
			case <-w.stop:
				return
			case <-time.After(time.Until(w.began.Add(at))):
			}
			w.mu.Lock()
			w.samples = append(w.samples, sample{at: at})
			w.mu.Unlock()
			select {
			case waiting <- struct{}{}:
			default:
				continue
			}
			requests.Go(func() {
				defer func() { <-waiting }()
				late := w.now() - at
				hit, wrong := w.ask(n, pathOf(n), languageOf(n))
				w.mu.Lock()
				s := &w.samples[n]
				s.late, s.hit, s.wrong, s.done = late, hit, wrong, true
				w.mu.Unlock()
			})
		}
	}()
}

func (w *site) took(number string, d time.Duration) {
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples[n].added = d
}

// now is the time since the clients began.
func (w *site) now() time.Duration { return time.Since(w.began) }

// between returns what became of the requests that were due from one moment to another, and made.
func (w *site) between(from, to time.Duration) []sample {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []sample
	for _, s := range w.samples {
		if from <= s.at && s.at < to && s.done {
			found = append(found, s)
		}
	}
	return found
}

// recovers waits until so many requests in a row, of those due after the moment from, were hits, and returns how long after
// it the first of them was due.
func (w *site) recovers(from, patience time.Duration) (after time.Duration, ok bool) {
	const inARow = 20
	for w.now() < from+patience {
		row := 0
		for _, s := range w.between(from, w.now()) {
			if !s.hit {
				row = 0
				continue
			}
			if row++; row == inARow {
				return max(0, s.at-inARow*time.Second/rate-from), true
			}
		}
		time.Sleep(20 * time.Millisecond) // a poll of real servers
	}
	return patience, false
}

// end lets the clients stop, and waits for their last answers.
func (w *site) end() {
	close(w.stop)
	<-w.stopped
}

// quantile returns what q of the samples do not exceed.
func quantile(samples []sample, q float64, of func(sample) time.Duration) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	all := make([]time.Duration, len(samples))
	for i, s := range samples {
		all[i] = of(s)
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(q*float64(len(all))))]
}

func added(s sample) time.Duration { return s.added }
func late(s sample) time.Duration  { return s.late }

// hits is the part of samples that hit.
func hits(samples []sample) float64 {
	n := 0
	for _, s := range samples {
		if s.hit {
			n++
		}
	}
	return float64(n) / float64(max(1, len(samples)))
}
