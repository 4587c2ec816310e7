package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"

	"github.com/reprise-go/reprise"
)

// pseudonym is the proxy's name in Via.
const pseudonym = "reprise"

// route is one pattern with its cache.
type route struct {
	*reprise.Route
	handler http.Handler
}

// newRoutes makes the handlers of all patterns, and one for what none of them matches.
func (s *Server) newRoutes() error {
	var errs []error
	s.routes = make(map[string]route)
	s.mux = http.NewServeMux()
	all := append([]RouteConfig{{Pattern: "/"}}, s.cfg.Routes...)
	for _, rc := range all {
		if _, ok := s.routes[rc.Pattern]; !ok {
			s.mux.Handle(rc.Pattern, http.NotFoundHandler())
		}
		rt, err := s.cache.NewRoute(rc.All(s.cfg)...)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s.routes[rc.Pattern] = route{Route: rt, handler: rt.Wrap(s.reverseProxy(rc.Keyed))}
	}
	return errors.Join(errs...)
}

// All returns all options that hold for the route in a proxy with that configuration.
func (rc *RouteConfig) All(cfg Config) []reprise.RouteOption {
	opts := []reprise.RouteOption{reprise.Scheme(scheme), reprise.TagsFunc(prefixTags)}
	if !rc.Plain {
		opts = append(opts, reprise.Standard())
		if !either(rc.AllowCookies, cfg.AllowCookies) {
			opts = append(opts, reprise.IdentifyByCookie())
		}
	}
	if either(rc.AllowSetCookie, cfg.AllowSetCookie) {
		opts = append(opts, reprise.AllowSetCookie())
	}
	return append(opts, rc.Options...)
}

// either returns what the route says, or else what holds for all.
func either(route *bool, all bool) bool {
	if route != nil {
		return *route
	}
	return all
}

// ServeHTTP is the way of a request: what must not come in, whose rules hold, the cache, the origin.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.TLS == nil {
		r.TLS, _ = r.Context().Value(tlsKey{}).(*tls.ConnectionState)
	}
	if r.ProtoMajor == 2 {
		sw := newStreamWriter(w, s.cfg.IdleTimeout)
		defer sw.patience.close()
		w = sw
	}
	if r.ContentLength != 0 {
		b := newClientBody(w, r.Body, s.cfg.IdleTimeout)
		defer b.leave()
		r = r.WithContext(context.WithValue(r.Context(), bodyKey{}, b))
		r.Body = b
	}
	if refused, ok := s.guard(r); !ok {
		refuse(w, refused.status)
		return
	}
	if r.Method == http.MethodOptions && (r.URL.Path == "*" || !mayForward(r.Header)) { // about the server, and that is the proxy
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if r.ContentLength != 0 {
		// An origin may answer before it has read all; net/http would take the rest from under it. HTTP/2 needs no leave.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	s.pick(r).handler.ServeHTTP(w, r)
}

// mayForward reports whether Max-Forwards of an OPTIONS leaves a step, and takes it (RFC 9110 §7.6.2).
func mayForward(h http.Header) bool {
	n, err := strconv.ParseUint(h.Get("Max-Forwards"), 10, 64)
	if err != nil {
		return true
	}
	if n > 0 {
		h.Set("Max-Forwards", strconv.FormatUint(n-1, 10))
	}
	return n > 0
}

// serveStored is ServeHTTP for a request without a body to which there is a stored answer, if nothing else has to be done. It reports
// false for any other; r is spoilt then.
func (s *Server) serveStored(x *shortcut, r *http.Request) bool {
	_, ok := s.guard(r)
	return ok && s.pick(r).ServeStored(x, r) && x.finish()
}

// pick returns the route of the most specific pattern. ServeMux would redirect a client whose path is not clean; the origin
// may know better, so that only the pattern of the clean path is taken from it. It would also tell hosts apart by case and by a final dot, and who spells
// one in another way must not escape its rules.
func (s *Server) pick(r *http.Request) route {
	pattern := "/"
	if len(s.routes) > 1 {
		if said, _, _ := strings.Cut(r.Host, ":"); hostName(said) != said {
			spelled := *r
			spelled.Host = hostName(said)
			r = &spelled
		}
		if _, p := s.mux.Handler(r); p != "" {
			pattern = p
		}
	}
	return s.routes[pattern]
}

// hostName returns a host without a port as patterns spell it.
func hostName(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

func refuse(w http.ResponseWriter, status int) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if status == http.StatusBadRequest || status == http.StatusRequestTimeout {
		h.Set("Connection", "close") // what follows on it is not to be trusted
	}
	http.Error(w, http.StatusText(status), status)
}

// reverseProxy returns the handler that plays the origin for the cache.
func (s *Server) reverseProxy(keyed []string) http.Handler {
	return &httputil.ReverseProxy{
		Transport:  s.origin,
		BufferPool: &s.buffers,
		ErrorLog:   slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(s.cfg.Origin)
			if !s.cfg.RewriteHost {
				pr.Out.Host = pr.In.Host
			}
			// Unparsable parameters are in the key as they came, and so the origin gets them as they came.
			pr.Out.URL.RawQuery = pr.In.URL.RawQuery
			pr.Out.Header["X-Forwarded-For"] = pr.In.Header["X-Forwarded-For"]
			pr.Out.Header["X-Forwarded-Proto"] = pr.In.Header["X-Forwarded-Proto"]
			pr.Out.Header["X-Forwarded-Host"] = []string{pr.In.Host} // in the one spelling that is in the key
			addVia(pr.Out.Header, pr.In.ProtoMajor, pr.In.ProtoMinor)
		},
		ModifyResponse: func(res *http.Response) error {
			addVia(res.Header, res.ProtoMajor, res.ProtoMinor)
			if s.cfg.TagField != "" {
				tags := res.Header.Values(s.cfg.TagField)
				for _, line := range tags {
					reprise.AddTags(res.Request.Context(), strings.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' })...)
				}
				res.Header.Del(s.cfg.TagField)
			}
			s.reflections.watch(res, keyed)
			return nil
		},
		ErrorHandler: s.originFailed,
	}
}

// addVia names the proxy among those that a message went through (RFC 9110 §7.6.3).
func addVia(h http.Header, major, minor int) {
	version := "1.1"
	switch {
	case major == 2:
		version = "2"
	case major == 1 && minor == 0:
		version = "1.0"
	}
	h["Via"] = append(h["Via"], version+" "+pseudonym)
}

// originFailed answers for an origin that did not.
func (s *Server) originFailed(w http.ResponseWriter, r *http.Request, err error) {
	status := http.StatusBadGateway
	var timeout net.Error
	body, _ := r.Context().Value(bodyKey{}).(*clientBody)
	switch {
	case body != nil && body.late.Load():
		refuse(w, http.StatusRequestTimeout)
		return
	case body != nil && body.broken.Load():
		refuse(w, http.StatusBadRequest)
		return
	case errors.Is(err, errBusy):
		status = http.StatusServiceUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		status = http.StatusGatewayTimeout
	case errors.Is(err, context.Canceled):
		panic(http.ErrAbortHandler) // nobody is left to read an answer
	}
	if n, ok := s.failures.now(); ok {
		s.log.WarnContext(r.Context(), "proxy: the origin did not answer", "status", status, "method", short(r.Method), "path", short(r.URL.Path),
			"error", short(err.Error()), "total", n)
	}
	refuse(w, status)
}

// buffers are those through which bodies go.
type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
