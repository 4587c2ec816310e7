package demo

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/reprise-go/reprise"
)

// besideHost is the host by which the tour asks another bookshop in its own process.
const besideHost = "beside.example"

// beside is another bookshop on the tour's store: a process of its own, or, where memory is the store, another cache.
type beside struct {
	who    string   // what it is
	shows  string   // what it shows that it obeys and is obeyed
	at     string   // the URL of the tour's pages there
	fields []string // of requests to it
	close  func() error
}

func (b *beside) send(ctx context.Context, t *tour, method, path string) answer {
	a := t.fetch(ctx, method, b.at+path, "", b.fields, nil)
	t.out.exchange(method+" "+path, append([]string{"at the other bookshop"}, b.fields...), a, a.header.Get(filledBy))
	t.check(a.err == nil, "%s %s: %v", method, path, a.err)
	return a
}

// besideCache opens another cache on config's store, in this process. Its pages are served where mux serves the tour's.
func besideCache(config reprise.Config, scope, at, base string, mux *http.ServeMux) (*beside, error) {
	cache, err := reprise.New(config)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	mux.Handle(besideHost+"/", tourHandler(newShop(tourCache(cache, at), "another cache", scope), at))
	return &beside{
		who: "The other bookshop is another cache on the same memory, in this process: memory is all that they share.",
		shows: "What one cache stores the other serves, and what one invalidates the other no longer does. With " +
			"--store redis://… the other bookshop is another process.",
		at: base, fields: []string{"Host: " + besideHost},
		close: cache.Close,
	}, nil
}

// besideProcess starts another process on the store. It ends when its standard input does.
func besideProcess(ctx context.Context, cfg *Config, at string) (*beside, error) {
	cmd, err := cfg.Beside(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("demo: another process: %w", err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("demo: another process: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("demo: another process: %w", err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("demo: another process: %w", err)
	}
	closeIt := func() error { return errors.Join(in.Close(), cmd.Wait()) }
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("demo: another process: %w", err), closeIt())
	}
	pid := cmd.Process.Pid
	return &beside{
		who: fmt.Sprintf("The other bookshop is process %d, started for this step: the store is all that they share.", pid),
		shows: fmt.Sprintf("What one process stores the other serves. Process %d said InvalidateTags, and from the moment that "+
			"this returned this process did not serve the page any more.", pid),
		at:    strings.TrimSuffix(url, "\n") + at,
		close: closeIt,
	}, nil
}

// Beside serves the pages of a tour, which are below at, from another process than the tour's. It writes its URL as a line to
// cfg.Out and ends with in, or with ctx.
func Beside(ctx context.Context, cfg Config, at string, in io.Reader) (err error) {
	cache, err := reprise.New(cfg.cacheConfig(new(logLines)))
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	self := fmt.Sprintf("%d-beside", os.Getpid())
	srv, err := listen(ctx, &cfg, tourHandler(newShop(tourCache(cache, at), self, at+":"), at), &printer{w: cfg.Out})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.shutdown(ctx)) }()
	if _, err := fmt.Fprintln(cfg.Out, srv.url); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with in, or with the process
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	return srv.wait(ctx)
}

// tourCache is the part of a cache that has the tour's pages.
func tourCache(cache *reprise.Cache, at string) *reprise.Cache {
	if at == "" {
		return cache
	}
	return cache.Namespace(strings.TrimPrefix(at, "/"))
}

// tourHandler serves s below at.
func tourHandler(s *shop, at string) http.Handler { return http.StripPrefix(at, s.handler()) }
