package scenario

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// process is a server with a Subject in it, and the connections that clients have to it.
type process struct {
	subject  Subject
	route    func(*http.Request) http.Handler // what Subject.Handler returned for the route of a request, or the origin
	listener *pipeListener
	server   *http.Server
	served   chan error
	handlers sync.WaitGroup // requests that the server is at

	mu   sync.Mutex
	idle []*connection
}

func newProcessOf(w *world) (*process, error) {
	subject, err := w.start(w.scenario.config)
	if err != nil {
		return nil, err
	}
	p := &process{subject: subject, listener: newPipeListener(), served: make(chan error, 1)}
	handler, err := p.mount(w.scenario.routes, originOf{w.origin, p})
	if err != nil {
		return nil, errors.Join(err, subject.Close())
	}
	if len(w.scenario.outer) > 0 {
		handler = outer(handler, w.scenario.outer)
	}
	p.server = &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p.handlers.Add(1)
			defer p.handlers.Done()
			handler.ServeHTTP(w, r)
		}),
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // panics of the origin are part of the game
	}
	go func() { p.served <- p.server.Serve(p.listener) }()
	return p, nil
}

// mount wraps the origin for each route.
func (p *process) mount(routes []route, o http.Handler) (http.Handler, error) {
	if len(routes) == 0 {
		routes = []route{{}}
	}
	if r := routes[0]; len(routes) == 1 && r.Pattern == "" {
		h, err := p.subject.Handler(r.Route, o)
		p.route = func(*http.Request) http.Handler { return h }
		return h, err
	}
	mux := http.NewServeMux()
	for _, r := range routes {
		h := o
		if !r.plain {
			var err error
			if h, err = p.subject.Handler(r.Route, o); err != nil {
				return nil, fmt.Errorf("route of line %d: %w", r.line, err)
			}
		}
		pattern := r.Pattern
		if pattern == "" {
			pattern = "/"
		}
		mux.Handle(pattern, h)
	}
	p.route = func(r *http.Request) http.Handler {
		h, _ := mux.Handler(r)
		return h
	}
	return mux, nil
}

// outer is a middleware outside the cache that sets fields.
func outer(next http.Handler, fields []field) http.Handler {
	var seen atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := strconv.FormatInt(seen.Add(1), 10)
		for _, f := range fields {
			w.Header().Add(f.name, expand(f.value, func(name, _ string) (string, bool) { return m, name == "m" }))
		}
		next.ServeHTTP(w, r)
	})
}

// command has the subject run c, with the request and the route that it names.
func (p *process) command(ctx context.Context, c *command, text func(string) (string, error)) (string, error) {
	call := Call{Name: c.words[0]}
	for _, s := range c.words[1:] {
		arg, err := text(s)
		if err != nil {
			return "", err
		}
		call.Args = append(call.Args, arg)
	}
	if _, _, ok := c.request(); ok {
		r, err := c.newRequest(ctx, text)
		if err != nil {
			return "", err
		}
		call.Request, call.Route = r, p.route(r)
	}
	return p.subject.Do(ctx, call)
}

// connect returns a connection that has been used before, if one is free: what a response leaves behind on it would
// be found there.
func (p *process) connect() (*connection, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return c, nil
	}
	return p.listener.dial()
}

func (p *process) release(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, c)
}

func (p *process) close() error {
	_ = p.server.Close() // of connections in memory: nothing to learn
	err := <-p.served
	p.handlers.Wait() // a handler that sleeps would be left without a clock
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(err, p.subject.Close())
}

// readRequest makes a request as a server has it.
func readRequest(ctx context.Context, raw []byte) (*http.Request, error) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
	if err != nil {
		return nil, err
	}
	return r.WithContext(ctx), nil
}
