package reprise

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"
)

// Route says how the answers of one handler are cached. It is made of options, never changes, and may wrap any number
// of handlers; those share their answers where their keys are equal. Make one with [Cache.NewRoute].
type Route struct {
	routeSettings
	cache     *Cache
	namespace string // full, not escaped
	prefix    []byte // of the keys of GET and HEAD: escaped namespace and kind
	codes     [600]bool
	hides     bool // the handler is not shown all of the request

	hitValue, missValue string // of the status header
	cacheName           string // in Cache-Status
	missStatus          string // what Cache-Status says of a plain miss
	deadlines           deadlines
	warned              atomic.Bool
	handlerPanics       rarely
	optionPanics        rarely
}

// routeSettings returns the settings of a route before its own options.
func (c *Cache) routeSettings() *routeSettings {
	s := &routeSettings{maxBody: defaultMaxBody, targeted: []string{"Cdn-Cache-Control"}}
	s.ttl, s.fillTimeout = defaultTTL, defaultFillTimeout
	for _, p := range c.config.Defaults {
		applyRouteOption(s, "Config.Defaults", p)
	}
	for _, o := range c.config.RouteDefaults {
		applyRouteOption(s, "Config.RouteDefaults", o)
	}
	s.ttlStated, s.fallback = false, nil // by the route itself
	return s
}

// NewRoute makes a route of options. The error is every mistake in them, each a [*ConfigError], joined.
func (c *Cache) NewRoute(opts ...RouteOption) (*Route, error) {
	s := c.routeSettings()
	for _, o := range opts {
		applyRouteOption(s, "RouteOption", o)
	}
	s.check()
	if len(s.tags) > 0 && !c.store.sequenced() {
		s.fail("Tags", s.tags[0], "needs a store that can number invalidations (store.Sequencer); use another store or remove the option")
	}
	s.checkNamespace(c)
	if len(s.errs) > 0 {
		return nil, errors.Join(s.errs...)
	}

	rt := &Route{routeSettings: *s, cache: c, namespace: c.namespace}
	if s.namespaceStated {
		rt.namespace = c.below(s.namespace)
		rt.cache = &Cache{engine: c.engine, namespace: rt.namespace, soft: c.soft}
	}
	if len(rt.methods) == 0 {
		rt.methods = []string{http.MethodGet, http.MethodHead}
		if rt.standard {
			rt.methods = append(rt.methods, methodQuery)
		}
	}
	for _, code := range rt.statuses {
		rt.codes[code] = true
	}
	if len(rt.statuses) == 0 {
		for _, code := range []int{200, 203, 204, 300, 301, 308} {
			rt.codes[code] = true
		}
	}
	for code, d := range rt.statusTTL {
		rt.codes[code] = d > 0
	}
	rt.prefix = append(appendEscaped(nil, rt.namespace), "|GET"...)
	rt.hides = rt.public || rt.cookiesSet || !rt.query.all()
	rt.hitValue, rt.missValue = c.config.StatusHeader.Hit, c.config.StatusHeader.Miss
	rt.cacheName = statusName(c.config.Namespace)
	rt.missStatus = forwarded{why: ReasonNotStored, stored: true}.member(rt.cacheName)
	return rt, nil
}

// Wrap returns next with its answers cached as opts say. It panics with what [Cache.NewRoute] returns: wrapping is done at
// start-up, and a mistake in it is the program's.
func (c *Cache) Wrap(next http.Handler, opts ...RouteOption) http.Handler {
	return c.mustRoute(opts).Wrap(next)
}

// WrapFunc is Wrap for a function.
func (c *Cache) WrapFunc(next http.HandlerFunc, opts ...RouteOption) http.Handler {
	rt := c.mustRoute(opts)
	if next == nil {
		return rt.Wrap(nil)
	}
	return rt.Wrap(next)
}

// Middleware returns Wrap with opts as the usual kind of middleware. It panics as Wrap does.
func (c *Cache) Middleware(opts ...RouteOption) func(http.Handler) http.Handler {
	return c.mustRoute(opts).Wrap
}

func (c *Cache) mustRoute(opts []RouteOption) *Route {
	rt, err := c.NewRoute(opts...)
	if err != nil {
		panic(err)
	}
	return rt
}

// Wrap returns next with its answers cached.
func (rt *Route) Wrap(next http.Handler) http.Handler {
	if next == nil {
		panic(&ConfigError{Option: "Wrap", Reason: "the handler is nil; give the one whose answers are to be cached"})
	}
	return rt.guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rt.serve(w, r, next) }))
}

// Serve answers req, by next where the store cannot. It is for frameworks whose next differs from request to request.
func (rt *Route) Serve(w http.ResponseWriter, req *http.Request, next http.Handler) {
	if len(rt.before) == 0 {
		rt.serve(w, req, next)
		return
	}
	rt.guarded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { rt.serve(w, r, next) })).ServeHTTP(w, req)
}

// guarded puts Before in front of h.
func (rt *Route) guarded(h http.Handler) http.Handler {
	for _, mw := range slices.Backward(rt.before) {
		if h = mw(h); h == nil {
			panic(&ConfigError{Option: "Before", Reason: "a middleware returned a nil handler; return one that calls what it was given"})
		}
	}
	return h
}

// Key returns the base key under which the answer to req is stored: what [Cache.Delete] takes. A handler that
// changes something can so name what it changed. The error says why the request has none.
func (rt *Route) Key(req *http.Request) (string, error) {
	q := getQuery()
	defer q.release()
	if why := q.plan(rt, req); why != "" {
		if q.builder.err != nil {
			return "", q.builder.err
		}
		return "", errors.New("reprise: the request has no key: " + string(why))
	}
	if q.r != req {
		req.Body = q.r.Body // it was read for the key, and can be read again
	}
	return string(q.key), nil
}

// lifetime is a duration added to a moment, both saturating.
func after(t time.Time, d time.Duration) int64 {
	if d == Forever {
		return int64(Forever)
	}
	n := t.UnixNano()
	if n > 0 && int64(d) > int64(Forever)-n {
		return int64(Forever)
	}
	return n + int64(d)
}

// detached is the context of a background refresh: the end of parent, and of the request only what concerns the server.
type detached struct {
	context.Context
	request context.Context
}

func (d detached) Value(key any) any {
	if key == http.ServerContextKey {
		return d.request.Value(key)
	}
	return d.Context.Value(key)
}
