// Package demo runs a bookshop with a slow database behind reprise and shows, over HTTP and with every claim checked,
// what the cache makes of it.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// Config says how the demo runs.
type Config struct {
	Out       io.Writer
	Color     bool
	Listen    string      // address of the bookshop; "" is any free port of the loopback interface
	Once      bool        // end after the tour
	Store     store.Store // where answers are kept; the caller closes it. nil is memory
	StoreName string      // as it is shown

	// Beside returns the command that calls the function Beside in another process on Store, with the pages that are below at.
	// nil: the tour's other bookshop is another cache in this process.
	Beside func(ctx context.Context, at string) (*exec.Cmd, error)

	// For tests: a network without sockets, and a cache that is broken.
	listener net.Listener
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	change   func(*reprise.Config)
	apart    func(*reprise.Config) // of the other bookshop alone
}

// cacheConfig is that of the bookshop's cache during the tour.
func (cfg *Config) cacheConfig(log *logLines) reprise.Config {
	config := reprise.Config{
		Store:     cfg.Store,
		Namespace: "shop",
		// Processes on one store listen on different ports, and yet share.
		RouteDefaults: []reprise.RouteOption{reprise.AnyHost()},
		Logger:        log.logger(),
	}
	config.Limits.StoreTimeout = tourTimeout
	if cfg.change != nil {
		cfg.change(&config)
	}
	return config
}

const (
	// tourTimeout is longer than a site would want to wait for its store: the tour shows what the cache does, also on one
	// that is busy with other things.
	tourTimeout     = 2 * time.Second
	probeTimeout    = 10 * time.Second
	shutdownTimeout = 5 * time.Second
)

// Run starts the bookshop, walks the tour and serves until ctx ends, or not at all with Once. The error names the
// steps that did not show what they say.
func Run(ctx context.Context, cfg Config) (err error) {
	out := &printer{w: cfg.Out, color: cfg.Color}
	log := new(logLines)
	shared, err := sharedStore(ctx, cfg.Store)
	if err != nil {
		return err
	}
	if cfg.Store == nil {
		memory, merr := memstore.New(memstore.Config{})
		if merr != nil {
			return fmt.Errorf("demo: %w", merr)
		}
		defer func() { err = errors.Join(err, memory.Close()) }()
		cfg.Store = memory
	}
	config := cfg.cacheConfig(log)
	cache, err := reprise.New(config)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, cache.Close()) }()

	id := strings.ToLower(rand.Text()[:4])
	self := fmt.Sprintf("%d-%s", os.Getpid(), id)
	root := newShop(cache, self, "")
	mux := http.NewServeMux()
	mux.Handle("/", root.handler())
	toured, at, site := root, "", root
	forget := func(context.Context) error { return nil }
	if shared {
		// The tour begins cold, whatever the store holds, and disturbs no other process: it has pages of its own.
		at = "/tour-" + id
		private := tourCache(cache, at)
		toured = newShop(private, self, at+":")
		mux.Handle(at+"/", tourHandler(toured, at))
		forget = func(ctx context.Context) error { return clearTour(ctx, private) }

		impatient := config // visitors do not wait for the store as long as the tour
		impatient.Limits.StoreTimeout = 0
		cache, nerr := reprise.New(impatient)
		if nerr != nil {
			return fmt.Errorf("demo: %w", nerr)
		}
		defer func() { err = errors.Join(err, cache.Close()) }()
		site = newShop(cache, self, "")
	}

	srv, err := listen(ctx, &cfg, mux, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.shutdown(ctx)) }()

	out.line(out.paint(bold, "reprise demo"), ": a bookshop with a slow database at ", out.paint(bold, srv.url))
	if shared {
		out.line(indent, "store ", cfg.StoreName, ", process ", self, "; the tour's pages are below ", at)
	}
	transport := &http.Transport{DialContext: cfg.dial, MaxIdleConnsPerHost: 256, DisableCompression: true}
	defer transport.CloseIdleConnections()
	t := &tour{
		client: &http.Client{Transport: transport},
		shop:   toured, base: srv.url + at,
		root: root, rootAt: srv.url,
		out: out, log: log,
	}
	t.openBeside = func(ctx context.Context) (*beside, error) {
		if cfg.Beside != nil {
			return besideProcess(ctx, &cfg, at)
		}
		if cfg.apart != nil {
			cfg.apart(&config)
		}
		return besideCache(config, toured.scope, at, t.base, mux)
	}
	err = errors.Join(t.walk(ctx, steps(shared)), forget(ctx))
	out.line()
	if cfg.Once || ctx.Err() != nil {
		return err
	}
	if err != nil {
		out.failed(err.Error())
	}
	srv.showRequests(site.handler(), self, log)
	invite(out, srv.url)
	return errors.Join(err, srv.wait(ctx))
}

// sharedStore reports whether other processes can see what s holds. The error says that s does not answer.
func sharedStore(ctx context.Context, s store.Store) (bool, error) {
	if s == nil {
		return false, nil
	}
	if _, local := s.(store.Local); local {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	_, err := s.Get(ctx, "demo-probe")
	if numbers, ok := s.(store.Sequencer); ok && (err == nil || errors.Is(err, store.ErrNotFound)) {
		_, err = numbers.Marks(ctx, "demo-probe") // as every look-up does; a store that has just been started is slow at first
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return true, fmt.Errorf("demo: the store does not answer: %w", err)
	}
	return true, nil
}

// clearTour removes what the tour stored: it takes others' room until it expires.
func clearTour(ctx context.Context, cache *reprise.Cache) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()
	if err := cache.Clear(ctx); err != nil {
		return fmt.Errorf("demo: remove the tour's answers: %w", err)
	}
	return nil
}

// invite prints what the reader can try.
func invite(out *printer, url string) {
	out.line("The bookshop goes on. Try, in another terminal:")
	out.line()
	for _, l := range []string{
		"curl -i " + url + "/books/2",
		"curl -i " + url + "/welcome -H 'Accept-Language: fr'",
		"curl -N " + url + "/books/3/excerpt",
		"curl -i " + url + "/stock -H 'X-Api-Key: " + apiKey + "'",
		"curl -i " + url + "/me/orders -H 'Authorization: Bearer ann'",
		"curl -i " + url + "/news",
		"curl -i " + url + "/catalogue.csv -r 0-21",
		"curl -i " + url + "/books/2 -X PATCH -d '{\"price\": 8}'",
		"curl -i " + url + "/sales/le-guin",
		"curl -i " + url + "/authors/le-guin -X PUT",
	} {
		out.line("  ", l)
	}
	out.line()
	out.line("Ctrl-C ends it.")
	out.line()
}

// server is the bookshop's listener.
type server struct {
	http *http.Server
	url  string
	done chan error // the end of Serve
	out  *printer
	show chan struct{} // closed when requests are to be shown
	site http.Handler  // that answers them from then on
	self string
	log  *logLines
}

func listen(ctx context.Context, cfg *Config, h http.Handler, out *printer) (*server, error) {
	l := cfg.listener
	if l == nil {
		addr := cfg.Listen
		if addr == "" {
			addr = "127.0.0.1:0"
		}
		var err error
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp", addr); err != nil {
			return nil, fmt.Errorf("demo: --listen: %w", err)
		}
	}
	s := &server{url: "http://" + l.Addr().String(), done: make(chan error, 1), out: out, show: make(chan struct{})}
	s.http = &http.Server{Handler: s.showing(h), ReadHeaderTimeout: 10 * time.Second}
	go func() { s.done <- s.http.Serve(l) }() // ends with shutdown
	return s, nil
}

// wait returns when ctx ends or the server fails.
func (s *server) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.done:
		return fmt.Errorf("demo: %w", err)
	}
}

// shutdown lets requests end that have begun.
func (s *server) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("demo: shut down: %w", err), s.http.Close())
	}
	return nil
}

// showRequests lets site answer each request from now on, and prints it and what is logged.
func (s *server) showRequests(site http.Handler, self string, log *logLines) {
	s.site, s.self, s.log = site, self, log
	close(s.show)
}

func (s *server) showing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-s.show:
		default:
			next.ServeHTTP(w, r)
			return
		}
		start := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		s.site.ServeHTTP(seen, r)
		a := answer{status: seen.status, header: w.Header(), total: time.Since(start)}
		s.out.exchange(r.Method+" "+plain(r.URL.RequestURI()), nil, a, s.self)
		for _, l := range s.log.take() {
			s.out.note(l)
		}
	})
}

// statusWriter notes the status.
type statusWriter struct {
	http.ResponseWriter

	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController flush.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// plain keeps what a client sends from steering the terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}
