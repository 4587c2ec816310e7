package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// Server is a caching proxy. Make one with [New].
type Server struct {
	cfg         Config
	log         *slog.Logger
	cache       *reprise.Cache
	origin      *origin
	buffers     buffers
	reflections reflections
	failures    seldom
	mux         *http.ServeMux
	routes      map[string]route
	front       *front // nil where no answer can be found without waiting: the store is outside the process
	ready       atomic.Bool
}

// New returns a proxy that does not listen yet. The error is every mistake in cfg, joined.
func New(cfg Config) (*Server, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cache, err := reprise.New(reprise.Config{
		Store:        cfg.Store,
		Logger:       cfg.Logger,
		StatusHeader: reprise.StatusHeader{Off: true}, // Cache-Status says more
		Limits:       reprise.Limits{StoreTimeout: cfg.StoreTimeout},
	})
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:    cfg,
		log:    cfg.Logger,
		cache:  cache,
		origin: newOrigin(&cfg),
	}
	if _, local := cfg.Store.(store.Local); local {
		s.front = &front{server: s, drain: cfg.DrainTimeout + time.Second}
	}
	s.reflections.mode, s.reflections.log = cfg.Reflection, cfg.Logger
	if err := s.newRoutes(); err != nil {
		return nil, errors.Join(err, cache.Close())
	}
	return s, nil
}

// Close ends what the proxy does in the background, after [Server.Run] or instead of it.
func (s *Server) Close() error {
	s.origin.transport.CloseIdleConnections()
	return s.cache.Close()
}

// Run listens, calls listening with the addresses of the proxy and of the admin endpoints (nil without them), and serves
// until ctx ends. Then no new connection is taken, and what is under way has DrainTimeout to end.
func (s *Server) Run(ctx context.Context, listening func(front, admin net.Addr)) error {
	front, err := s.listen(ctx)
	if err != nil {
		return err
	}
	servers := []*http.Server{s.httpServer(s.handler())}
	listeners := []net.Listener{front}
	var adminAddr net.Addr
	if s.cfg.Admin != "" {
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", s.cfg.Admin)
		if err != nil {
			return errors.Join(fmt.Errorf("proxy: admin: %w", err), front.Close())
		}
		adminAddr = l.Addr()
		servers = append(servers, &http.Server{
			Handler:           s.adminHandler(),
			ReadHeaderTimeout: s.cfg.HeaderTimeout,
			IdleTimeout:       s.cfg.IdleTimeout,
			ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		})
		listeners = append(listeners, l)
	}
	s.ready.Store(true)
	listening(front.Addr(), adminAddr)

	failed := make(chan error, len(servers))
	for i, srv := range servers {
		go func() { failed <- srv.Serve(listeners[i]) }() // ends with drain
	}
	select {
	case err = <-failed:
		err = fmt.Errorf("proxy: %w", err)
	case <-ctx.Done():
	}
	for _, srv := range servers { // the admin endpoints last: they say that the proxy is draining
		err = errors.Join(err, s.drain(srv))
	}
	return err
}

// listen opens the proxy's own address.
func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("proxy: listen: %w", err)
	}
	if s.cfg.TLSCert == "" {
		return &strictListener{l, s.cfg.H2C, s.cfg.IdleTimeout, s.front}, nil
	}
	t, err := newTLSListener(l, s.cfg.TLSCert, s.cfg.TLSKey, s.cfg.HeaderTimeout, s.cfg.IdleTimeout, s.front)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return t, nil
}

// drain lets requests under way come to their end.
func (s *Server) drain(srv *http.Server) error {
	s.ready.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	err := srv.Shutdown(ctx)
	if err == nil {
		err = s.front.wait(ctx)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("proxy: requests were cut off after %v: %w", s.cfg.DrainTimeout, err), srv.Close())
	}
	return err
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetHTTP2(s.cfg.TLSCert != "")
	p.SetUnencryptedHTTP2(s.cfg.H2C)
	return &http.Server{
		Handler:           h,
		Protocols:         p,
		ReadHeaderTimeout: s.cfg.HeaderTimeout,
		IdleTimeout:       s.cfg.IdleTimeout,
		MaxHeaderBytes:    s.cfg.MaxHeaderBytes,
		ConnState:         connState,
		ConnContext:       connContext,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: 250, SendPingTimeout: s.cfg.IdleTimeout, WriteByteTimeout: s.cfg.IdleTimeout},
	}
}

func (s *Server) handler() http.Handler { return logged(s.cfg.AccessLog, s) }
