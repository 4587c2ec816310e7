package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/reprise-go/reprise"
)

// How long the bookshop's database takes. The handlers really sleep: what the tour prints is what a client waits.
const (
	lookUpTime = 150 * time.Millisecond
	reportTime = 500 * time.Millisecond
	lineTime   = 120 * time.Millisecond // between two lines of an excerpt
	newsTime   = 300 * time.Millisecond
)

// newsTTL is short, for the tour waits until the news is stale.
const newsTTL = time.Second

// filledBy is the field that names the process whose handler made an answer. It is stored with the answer, so on a hit
// it tells where that came from.
const filledBy = "Filled-By"

const apiKey = "sesame"

// shop is the bookshop: an API as one writes it, wrapped by reprise.
type shop struct {
	cache *reprise.Cache
	self  string // of this process, in Filled-By
	scope string // begins each tag: tags reach over namespaces
	sales func(ctx context.Context, author string) (sales, error)

	mu    sync.Mutex
	books map[string]*book
	news  int            // editions printed
	begun map[string]int // runs of handlers by path
	done  map[string]int
}

type book struct {
	Title  string  `json:"title"`
	Author string  `json:"author"`
	Price  float64 `json:"price"`
}

// sales is a report.
type sales struct {
	Author string `json:"author"`
	Copies int    `json:"copies"`
}

func newShop(cache *reprise.Cache, self, scope string) *shop {
	s := &shop{
		cache: cache,
		self:  self,
		scope: scope,
		books: map[string]*book{
			"1": {"The Dispossessed", "le-guin", 12},
			"2": {"The Left Hand of Darkness", "le-guin", 11},
			"3": {"Solaris", "lem", 10},
		},
		begun: make(map[string]int),
		done:  make(map[string]int),
	}
	s.sales = reprise.Memoize(cache, "sales", s.countSales, reprise.TTL(time.Hour))
	return s
}

// handler returns the API. Each line says how a page is cached.
func (s *shop) handler() http.Handler {
	c := s.cache
	mux := http.NewServeMux()
	mux.Handle("/books/{id}", c.WrapFunc(s.book, reprise.TTL(time.Minute)))
	mux.Handle("GET /books/{id}/excerpt", c.WrapFunc(s.excerpt, reprise.TTL(time.Minute)))
	mux.Handle("GET /welcome", c.WrapFunc(s.welcome, reprise.TTL(time.Minute), reprise.Public()))
	mux.Handle("GET /stock", c.WrapFunc(s.stock, reprise.TTL(time.Minute), reprise.Before(requireKey)))
	mux.Handle("GET /bestsellers", c.WrapFunc(s.bestsellers, reprise.TTL(10*time.Minute), reprise.Public()))
	mux.Handle("GET /me/orders", c.WrapFunc(s.orders, reprise.TTL(time.Minute), reprise.PerUser(user)))
	mux.Handle("GET /news", c.WrapFunc(s.paper, reprise.TTL(newsTTL), reprise.StaleWhileRevalidate(time.Minute)))
	mux.Handle("GET /catalogue.csv", c.WrapFunc(s.catalogue, reprise.TTL(time.Minute)))
	mux.Handle("GET /sales/{author}", c.WrapFunc(s.salesPage, reprise.TTL(time.Minute)))
	mux.HandleFunc("PUT /authors/{id}", s.renameAuthor)
	return mux
}

// ran notes that the handler of a path runs; the caller defers what it returns. Paths are those of pages that exist.
func (s *shop) ran(w http.ResponseWriter, path string) (ended func()) {
	w.Header().Set(filledBy, s.self)
	return s.begin(path)
}

func (s *shop) begin(what string) (ended func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[what]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.done[what]++
	}
}

// runs returns how often the handler of a path, or the function of a report, has begun and ended.
func (s *shop) runs(what string) (begun, done int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun[what], s.done[what]
}

// book shows a book, or changes its price.
func (s *shop) book(w http.ResponseWriter, r *http.Request) {
	b, err := s.find(r.PathValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		defer s.ran(w, r.URL.Path)()
		time.Sleep(lookUpTime)
		reprise.AddTags(r.Context(), s.tag(b.Author))
		writeJSON(w, b)
	case http.MethodPatch:
		change := struct{ Price float64 }{b.Price}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10)).Decode(&change); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		s.books[r.PathValue("id")].Price = change.Price
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, HEAD, PATCH")
		http.Error(w, "use GET or PATCH", http.StatusMethodNotAllowed)
	}
}

func (s *shop) find(id string) (book, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.books[id]; b != nil {
		return *b, nil
	}
	return book{}, errors.New("no such book; there are 1, 2 and 3")
}

// tag names all that shows an author.
func (s *shop) tag(author string) string { return s.scope + "author:" + author }

// renameAuthor stands for a change that shows on many pages.
func (s *shop) renameAuthor(w http.ResponseWriter, r *http.Request) {
	if err := s.cache.InvalidateTags(r.Context(), s.tag(r.PathValue("id"))); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// countSales makes the report of an author. Its tag is that of whatever is made of the report, too.
func (s *shop) countSales(ctx context.Context, author string) (sales, error) {
	defer s.begin("report of " + author)()
	time.Sleep(reportTime)
	reprise.AddTags(ctx, s.tag(author))
	return sales{author, 1000 * len(author)}, nil
}

// salesPage shows a report, which it gets by a function call like any other.
func (s *shop) salesPage(w http.ResponseWriter, r *http.Request) {
	author := r.PathValue("author")
	if author != "le-guin" && author != "lem" {
		http.Error(w, "no such author; there are le-guin and lem", http.StatusNotFound)
		return
	}
	defer s.ran(w, r.URL.Path)()
	report, err := s.sales(r.Context(), author)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	if r.URL.Query().Get("as") == "text" {
		fmt.Fprintf(w, "%s: %d copies\n", report.Author, report.Copies)
		return
	}
	writeJSON(w, report)
}

// excerpt sends line after line, as it is read.
func (s *shop) excerpt(w http.ResponseWriter, r *http.Request) {
	b, err := s.find(r.PathValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer s.ran(w, r.URL.Path)()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	rc := http.NewResponseController(w)
	for n := 1; n <= 5; n++ {
		if n > 1 {
			time.Sleep(lineTime)
		}
		fmt.Fprintf(w, "%s, line %d\n", b.Title, n)
		if err := rc.Flush(); err != nil {
			return
		}
	}
}

// welcome depends on the reader's language, and says so in Vary.
func (s *shop) welcome(w http.ResponseWriter, r *http.Request) {
	defer s.ran(w, r.URL.Path)()
	time.Sleep(lookUpTime)
	w.Header().Set("Vary", "Accept-Language")
	text := "Welcome to the bookshop"
	if strings.HasPrefix(r.Header.Get("Accept-Language"), "fr") {
		text = "Bienvenue dans la librairie"
	}
	writeJSON(w, map[string]string{"text": text})
}

// requireKey lets in who has the key. It runs before the cache looks anything up.
func requireKey(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != apiKey {
			http.Error(w, "the X-Api-Key is wrong", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *shop) stock(w http.ResponseWriter, r *http.Request) {
	defer s.ran(w, r.URL.Path)()
	time.Sleep(lookUpTime)
	writeJSON(w, map[string]int{"The Dispossessed": 3, "Solaris": 8})
}

func (s *shop) bestsellers(w http.ResponseWriter, r *http.Request) {
	defer s.ran(w, r.URL.Path)()
	time.Sleep(reportTime)
	writeJSON(w, []string{"Solaris", "The Dispossessed", "The Left Hand of Darkness"})
}

// user names who asks; "" is nobody.
func user(r *http.Request) (string, error) {
	name, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return name, nil
}

// orders is about the user, and private as such pages are.
func (s *shop) orders(w http.ResponseWriter, r *http.Request) {
	name, _ := user(r)
	if name == "" {
		http.Error(w, "say who you are: Authorization: Bearer ann", http.StatusUnauthorized)
		return
	}
	defer s.ran(w, r.URL.Path)()
	time.Sleep(lookUpTime)
	w.Header().Set("Cache-Control", "private")
	writeJSON(w, map[string]string{"orders of": name})
}

// paper prints a new edition each time it runs.
func (s *shop) paper(w http.ResponseWriter, r *http.Request) {
	defer s.ran(w, r.URL.Path)()
	time.Sleep(newsTime)
	s.mu.Lock()
	s.news++
	n := s.news
	s.mu.Unlock()
	writeJSON(w, map[string]int{"edition": n})
}

// catalogue is a larger file.
func (s *shop) catalogue(w http.ResponseWriter, r *http.Request) {
	defer s.ran(w, r.URL.Path)()
	time.Sleep(lookUpTime)
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	for n := range catalogueLines {
		fmt.Fprint(w, line(n))
	}
}

const catalogueLines = 4000

func line(n int) string { return fmt.Sprintf("%04d,book number %04d\n", n, n) }

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that left is no concern of the handler
}
