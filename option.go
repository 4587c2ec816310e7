package reprise

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/store"
)

// Forever is a lifetime without end.
const Forever time.Duration = store.Forever

// The defaults of a route or function that says nothing.
const (
	defaultTTL         = time.Minute
	defaultFillTimeout = 30 * time.Second
	defaultMaxBody     = 8 << 20
	maxTags            = 256
	maxTagBytes        = 1 << 10
	maxRequestBody     = 64 << 10 // of a method that is keyed by its body
	methodQuery        = "QUERY"  // safe, with a body
)

// RouteOption says how the answers of a handler are cached. Options are applied in order: of two that say the same
// thing the later wins, lists add up.
type RouteOption interface{ applyRoute(*routeSettings) }

// FuncOption says how the results of a function are cached. See [RouteOption] for their order.
type FuncOption interface{ applyFunc(*funcSettings) }

// Policy means the same for a route and for a function.
type Policy interface {
	RouteOption
	FuncOption
}

// policySettings is what routes and functions have in common.
type policySettings struct {
	ttl             time.Duration
	staleWhile      time.Duration
	staleIf         time.Duration
	jitter          float64
	tags            []string
	namespace       string
	fillTimeout     time.Duration
	off             bool
	ttlStated       bool // an option, not the default, gave ttl
	namespaceStated bool
	errs            []error
}

type routeSettings struct {
	policySettings

	overrideTTL time.Duration
	statusTTL   map[int]time.Duration
	ttlFunc     func(int, http.Header) time.Duration
	clientTTL   bool
	clientCC    string
	vary        []string
	targeted    []string // canonical
	key         KeyFunc
	query       querySettings
	cookies     []string
	cookiesSet  bool
	anyHost     bool
	scheme      func(*http.Request) string
	tagsFunc    func(*http.Request) []string
	perUser     func(*http.Request) (string, error)
	public      bool
	before      []func(http.Handler) http.Handler
	statuses    []int
	storable    func(*http.Request, int, http.Header) bool
	methods     []string
	noPurge     bool // InvalidateOnWrite(false)
	maxBody     int64
	skipIf      func(*http.Request) bool
	noETag      bool
	noStatus    bool // CacheStatus(false)
	ignoreReqCC bool
	detach      func(from, to context.Context) context.Context
	setCookie   bool
	standard    bool
	byCookie    bool         // Cookie and client certificates identify, also with Standard
	fallback    *ConfigError // the route's own StatusTTL or TTLFunc, as a mistake beside Standard
}

func (s *policySettings) fail(option string, value any, reason string) {
	s.errs = append(s.errs, &ConfigError{Option: option, Value: value, Reason: reason})
}

// meant reports whether d can be meant. A number without a unit counts nanoseconds: 60 would be an answer that nobody gets twice.
func (s *policySettings) meant(option string, d time.Duration) bool {
	if 0 < d && d < time.Millisecond {
		s.fail(option, d, "is less than a millisecond; a number alone counts nanoseconds: write 60*time.Second for a minute")
		return false
	}
	return true
}

type policyOption func(*policySettings)

func (o policyOption) applyRoute(s *routeSettings) { o(&s.policySettings) }
func (o policyOption) applyFunc(s *funcSettings)   { o(&s.policySettings) }

type routeOption func(*routeSettings)

func (o routeOption) applyRoute(s *routeSettings) { o(s) }

type funcOption func(*funcSettings)

func (o funcOption) applyFunc(s *funcSettings) { o(s) }

// TTL is the lifetime of answers that state none of their own: a positive duration or [Forever]. 0 is [Off]; a
// negative duration, or one below a millisecond, is a [ConfigError]. Without it answers and results live for 60 seconds.
func TTL(d time.Duration) Policy {
	return policyOption(func(s *policySettings) {
		if d < 0 {
			s.fail("TTL", d, "is negative; give a positive duration, Forever, or 0 to switch caching off")
			return
		}
		if s.meant("TTL", d) {
			s.ttl, s.off, s.ttlStated = d, d == 0, true
		}
	})
}

// StaleWhileRevalidate lets an answer be served for d after its lifetime, while one background run of the handler or
// loader replaces it (RFC 5861 §3). The answer's own stale-while-revalidate wins over it; must-revalidate and
// invalidations win over both. Zero or unset: never.
func StaleWhileRevalidate(d time.Duration) Policy {
	return policyOption(func(s *policySettings) {
		if d < 0 {
			s.fail("StaleWhileRevalidate", d, "is negative; give how long after its lifetime an answer may be served")
			return
		}
		if s.meant("StaleWhileRevalidate", d) {
			s.staleWhile = d
		}
	})
}

// StaleIfError lets an answer be served for d after its lifetime instead of a 5xx, a panic, an error or a fill that took
// too long (RFC 5861 §4). The answer's own stale-if-error wins over it; must-revalidate and invalidations win over
// both. Zero or unset: never.
func StaleIfError(d time.Duration) Policy {
	return policyOption(func(s *policySettings) {
		if d < 0 {
			s.fail("StaleIfError", d, "is negative; give how long after its lifetime an answer may replace an error")
			return
		}
		if s.meant("StaleIfError", d) {
			s.staleIf = d
		}
	})
}

// Jitter shortens lifetimes by up to fraction (0 to 0.99), so that what was stored together does not expire together. How much
// depends on the key alone: every node shortens the same entry by the same amount.
func Jitter(fraction float64) Policy {
	return policyOption(func(s *policySettings) {
		if !(fraction >= 0 && fraction <= 0.99) {
			s.fail("Jitter", fraction, "is not between 0 and 0.99; 0.1 shortens lifetimes by up to a tenth")
			return
		}
		s.jitter = fraction
	})
}

// Tags names every answer of the route or function, for [Cache.InvalidateTags]. At most 256 tags of 1 KiB.
func Tags(tags ...string) Policy {
	return policyOption(func(s *policySettings) {
		for _, t := range tags {
			if reason := tagFault(t); reason != "" {
				s.fail("Tags", t, reason)
				return
			}
		}
		s.tags = append(s.tags, tags...)
	})
}

func tagFault(t string) string {
	switch {
	case t == "":
		return "is empty; give the tag a name"
	case len(t) > maxTagBytes:
		return fmt.Sprintf("has %d bytes; a tag has at most %d", len(t), maxTagBytes)
	}
	return ""
}

// Namespaced puts the route or function into namespace ns, below the cache's own unless [NamespacePolicy] says
// otherwise. Levels are separated by ':'; every other byte stands for itself. All levels together take at most 154
// bytes of a key, where a byte that is not printable ASCII takes three.
func Namespaced(ns string) Policy {
	return policyOption(func(s *policySettings) {
		if reason := namespaceFault(ns); reason != "" {
			s.fail("Namespaced", ns, reason)
			return
		}
		s.namespace, s.namespaceStated = ns, true
	})
}

func namespaceFault(ns string) string {
	switch {
	case ns == "":
		return "is empty; leave the option out to stay in the cache's namespace"
	case len(ns) > 64:
		return fmt.Sprintf("has %d bytes; a namespace has at most 64", len(ns))
	case slices.Contains(strings.Split(ns, ":"), ""):
		return "has an empty level; ':' stands between two names"
	}
	return ""
}

// checkNamespace reports a namespace that is too long below that of c.
func (s *policySettings) checkNamespace(c *Cache) {
	if s.namespaceStated {
		if reason := fullNamespaceFault(c.below(s.namespace)); reason != "" {
			s.fail("Namespaced", s.namespace, reason)
		}
	}
}

// maxNamespace is how many bytes of a key a namespace may take, with all its levels: a key that is shortened still tells it.
const maxNamespace = store.MaxKey - digestBytes - len(hashMarker) - len("|")

// fullNamespaceFault is namespaceFault for a namespace with all its levels.
func fullNamespaceFault(full string) string {
	if n := len(appendEscaped(nil, full)); n > maxNamespace {
		return fmt.Sprintf("makes %q, of %d bytes as it stands in keys, where a byte that is not printable ASCII takes three; "+
			"a namespace with all its levels has at most %d: give shorter names", full, n, maxNamespace)
	}
	return ""
}

// FillTimeout bounds one run of the handler or loader; 30 seconds unless set. When it is over, the run's context
// ends, those who wait get a stale answer or 504, and the late result is dropped. A response that is already on its
// way to clients is not cut off: it ceases to be stored.
func FillTimeout(d time.Duration) Policy {
	return policyOption(func(s *policySettings) {
		if d <= 0 {
			s.fail("FillTimeout", d, "is not positive; give the longest time that a handler or loader may take, or Forever")
			return
		}
		s.fillTimeout = d
	})
}

// Off switches caching off: the handler or function is called as if it were not wrapped.
func Off() Policy { return policyOption(func(s *policySettings) { s.off = true }) }

type policies []Policy

func (p policies) applyRoute(s *routeSettings) {
	for _, o := range p {
		applyRouteOption(s, "Policies", o)
	}
}

func (p policies) applyFunc(s *funcSettings) {
	for _, o := range p {
		applyFuncOption(s, "Policies", o)
	}
}

// Policies joins policies into one, for presets that routes and functions share.
func Policies(p ...Policy) Policy { return policies(slices.Clone(p)) }

type routeOptions []RouteOption

func (o routeOptions) applyRoute(s *routeSettings) {
	for _, x := range o {
		applyRouteOption(s, "RouteOptions", x)
	}
}

// RouteOptions joins options into one, for presets.
func RouteOptions(o ...RouteOption) RouteOption { return routeOptions(slices.Clone(o)) }

func applyRouteOption(s *routeSettings, where string, o RouteOption) {
	if o == nil {
		s.fail(where, nil, "holds a nil option; remove it")
		return
	}
	o.applyRoute(s)
}

func applyFuncOption(s *funcSettings, where string, o FuncOption) {
	if o == nil {
		s.fail(where, nil, "holds a nil option; remove it")
		return
	}
	o.applyFunc(s)
}

// OverrideTTL is the lifetime of every answer that may be stored, whatever its max-age and Expires say. It does not
// win over no-store, private and the other things that forbid storing.
func OverrideTTL(d time.Duration) RouteOption {
	return routeOption(func(s *routeSettings) {
		if d <= 0 {
			s.fail("OverrideTTL", d, "is not positive; give a duration, Forever, or use Off")
			return
		}
		if s.meant("OverrideTTL", d) {
			s.overrideTTL = d
		}
	})
}

// StatusTTL is the lifetime of answers of one final status that state none of their own, also of a status that is not
// stored otherwise: StatusTTL(404, 5*time.Second). 0 does not store them.
func StatusTTL(code int, d time.Duration) RouteOption {
	return routeOption(func(s *routeSettings) {
		switch {
		case !finalStatus(code):
			s.fail("StatusTTL", code, "is not a final status that can be stored; give 200 to 599, without 206 and 304")
		case d < 0:
			s.fail("StatusTTL", d, "is negative; give a duration, Forever, or 0 to not store the status")
		case s.meant("StatusTTL", d):
			if s.statusTTL == nil {
				s.statusTTL = make(map[int]time.Duration)
			}
			s.statusTTL[code] = d
			s.fallback = &ConfigError{Option: "StatusTTL", Value: code, Reason: besideStandard}
		}
	})
}

func finalStatus(code int) bool { return code >= 200 && code <= 599 && code != 206 && code != 304 }

// TTLFunc computes the lifetime of answers that state none of their own; it wins over [StatusTTL] and [TTL]. What it
// returns for a status is also what decides whether the status is stored: 0 or less does not store. It must not
// change the header. A panic in it is logged and the answer is not stored.
func TTLFunc(fn func(status int, h http.Header) time.Duration) RouteOption {
	return routeOption(func(s *routeSettings) {
		if fn == nil {
			s.fail("TTLFunc", nil, "is nil; give a function or remove the option")
			return
		}
		s.ttlFunc = fn
		s.fallback = &ConfigError{Option: "TTLFunc", Reason: besideStandard}
	})
}

// ClientTTL tells clients the time that an answer has left, as Cache-Control: max-age, where the handler set no
// Cache-Control of its own. Answers that live forever get none.
func ClientTTL() RouteOption {
	return routeOption(func(s *routeSettings) { s.clientTTL = true })
}

// ClientCacheControl is the Cache-Control that clients get. What the handler says steers reprise alone.
func ClientCacheControl(value string) RouteOption {
	return routeOption(func(s *routeSettings) {
		if strings.TrimSpace(value) != value || value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r >= 0x7f }) {
			s.fail("ClientCacheControl", value, `is not a field value; give something like "private, max-age=10"`)
			return
		}
		s.clientCC = value
	})
}

// Vary names request fields that the answers depend on. They are part of the key, which saves the look-up that learning them
// from the response's Vary costs, and they are merged into that field.
func Vary(fields ...string) RouteOption {
	return routeOption(func(s *routeSettings) {
		for _, f := range fields {
			if !isToken(f) || f == "*" {
				s.fail("Vary", f, "is not a field name; give one, such as \"Accept-Language\", or for answers that vary on everything use Off")
				return
			}
			f = http.CanonicalHeaderKey(f)
			if !slices.Contains(s.vary, f) {
				s.vary = append(s.vary, f)
			}
		}
	})
}

// Key replaces the default key: the answer depends on what fn puts into b and on nothing else of the request. The
// namespace, the method and the fields of [Vary] still join it. When fn fails, panics or adds nothing, the request
// bypasses the cache.
func Key(fn KeyFunc) RouteOption {
	return routeOption(func(s *routeSettings) {
		if fn == nil {
			s.fail("Key", nil, "is nil; give a function or remove the option")
			return
		}
		s.key = fn
	})
}

// QueryParams names the query parameters that the answers depend on. Only these are in the key, and only these reach
// the handler: another one cannot change what is stored.
func QueryParams(names ...string) RouteOption {
	return routeOption(func(s *routeSettings) {
		for _, n := range names {
			if n == "" {
				s.fail("QueryParams", n, "is empty; name a parameter")
				return
			}
		}
		s.query.allowSet = true
		s.query.allow = append(s.query.allow, names...)
	})
}

// QueryDefault says that an absent parameter means value: /list and /list?page=1 are then one entry.
func QueryDefault(name, value string) RouteOption {
	return routeOption(func(s *routeSettings) {
		if name == "" {
			s.fail("QueryDefault", name, "is empty; name a parameter")
			return
		}
		s.query.defaults = slices.DeleteFunc(s.query.defaults, func(d queryDefault) bool { return d.name == name })
		s.query.defaults = append(s.query.defaults, queryDefault{name, value})
	})
}

// IgnoreQueryParams names query parameters that the answers do not depend on; a name may end in '*'
// ("utm_*"). They are neither in the key nor shown to the handler.
func IgnoreQueryParams(names ...string) RouteOption {
	return routeOption(func(s *routeSettings) {
		for _, n := range names {
			if n == "" || strings.Contains(strings.TrimSuffix(n, "*"), "*") {
				s.fail("IgnoreQueryParams", n, "is not a parameter name; '*' may only stand at its end")
				return
			}
			if prefix, ok := strings.CutSuffix(n, "*"); ok {
				s.query.ignorePrefix = append(s.query.ignorePrefix, prefix)
			} else {
				s.query.ignore = append(s.query.ignore, n)
			}
		}
	})
}

// Cookies names the cookies that the answers depend on. They are in the key (as a digest) and shown to the handler;
// every other cookie is hidden from it; without names all of them are. A request whose only credentials are cookies is then no longer an identified one.
func Cookies(names ...string) RouteOption {
	return routeOption(func(s *routeSettings) {
		for _, n := range names {
			if !isToken(n) {
				s.fail("Cookies", n, "is not a cookie name; give the name alone, without value and attributes")
				return
			}
			if !slices.Contains(s.cookies, n) {
				s.cookies = append(s.cookies, n)
			}
		}
		s.cookiesSet = true
	})
}

// AnyHost leaves scheme and host out of the key: the answers are the same on every name of the service. What the
// handler makes of the Host field is then shared, so it must not write links from it.
func AnyHost() RouteOption { return routeOption(func(s *routeSettings) { s.anyHost = true }) }

// Scheme tells the scheme that the client used, "http" or "https", where a trusted proxy ends TLS. Any other
// result bypasses the cache.
func Scheme(fn func(*http.Request) string) RouteOption {
	return routeOption(func(s *routeSettings) {
		if fn == nil {
			s.fail("Scheme", nil, "is nil; give a function or remove the option")
			return
		}
		s.scheme = fn
	})
}

// TagsFunc names the answer to a request, beside [Tags]. It runs on misses only.
func TagsFunc(fn func(*http.Request) []string) RouteOption {
	return routeOption(func(s *routeSettings) {
		if fn == nil {
			s.fail("TagsFunc", nil, "is nil; give a function or remove the option")
			return
		}
		s.tagsFunc = fn
	})
}

// PerUser gives each user a partition: id is part of the key (as a digest), private responses may be stored, and
// requests with credentials are served. An empty id or an error bypasses the cache. A route or function around this one that
// is not PerUser stores nothing that is made of it.
func PerUser(id func(*http.Request) (string, error)) RouteOption {
	return routeOption(func(s *routeSettings) {
		if id == nil {
			s.fail("PerUser", nil, "is nil; give a function that names the user")
			return
		}
		s.perUser = id
	})
}

// Public declares that the answers do not depend on who asks. Authorization and Cookie neither prevent storing nor
// reach the handler. Who may ask is decided by [Before], which runs on every request.
func Public() RouteOption { return routeOption(func(s *routeSettings) { s.public = true }) }

// Before runs middleware on every request before the look-up, hits included: authentication, rate limits. The first is the
// outermost. What it passes on is what is keyed.
func Before(mw ...func(http.Handler) http.Handler) RouteOption {
	return routeOption(func(s *routeSettings) {
		if slices.ContainsFunc(mw, func(m func(http.Handler) http.Handler) bool { return m == nil }) {
			s.fail("Before", nil, "holds a nil middleware; remove it")
			return
		}
		s.before = append(s.before, mw...)
	})
}

// Statuses replaces the set of statuses that are stored: 200, 203, 204, 300, 301 and 308, and any final status that
// states a lifetime. No other status is then stored, whatever it states.
func Statuses(codes ...int) RouteOption {
	return routeOption(func(s *routeSettings) {
		for _, c := range codes {
			if !finalStatus(c) {
				s.fail("Statuses", c, "is not a final status that can be stored; give 200 to 599, without 206 and 304")
				return
			}
		}
		if len(codes) == 0 {
			s.fail("Statuses", nil, "is empty; name a status, or use Off")
			return
		}
		s.statuses = slices.Clone(codes)
	})
}

// Storable is asked, last, whether an answer may be stored; false keeps it out. It must change nothing. A panic in it
// is logged and the answer is not stored.
func Storable(fn func(r *http.Request, status int, h http.Header) bool) RouteOption {
	return routeOption(func(s *routeSettings) {
		if fn == nil {
			s.fail("Storable", nil, "is nil; give a function or remove the option")
			return
		}
		s.storable = fn
	})
}

// Methods replaces the methods whose answers are cached, GET and HEAD, and QUERY with [Standard]. Any other one is keyed by a digest of the
// request's body too, of at most 64 KiB; larger bodies bypass. Declare only methods that change nothing.
func Methods(methods ...string) RouteOption {
	return routeOption(func(s *routeSettings) {
		for _, m := range methods {
			switch {
			case !isToken(m):
				s.fail("Methods", m, `is not a method; name one, such as "POST"`)
				return
			case m == http.MethodConnect || m == http.MethodTrace || m == http.MethodOptions:
				s.fail("Methods", m, "cannot be cached; remove it")
				return
			case m != strings.ToUpper(m):
				s.fail("Methods", m, fmt.Sprintf("is not in capitals, and methods are told apart by case; write %q", strings.ToUpper(m)))
				return
			}
		}
		if len(methods) == 0 {
			s.fail("Methods", nil, "is empty; name a method, or use Off")
			return
		}
		s.methods = slices.Clone(methods)
	})
}

// InvalidateOnWrite says whether a successful request with an unsafe method (PUT, POST, PATCH, DELETE …) invalidates
// the stored answers of its URL, and of Location and Content-Location on the same origin (RFC 9111 §4.4). On unless
// switched off.
func InvalidateOnWrite(on bool) RouteOption {
	return routeOption(func(s *routeSettings) { s.noPurge = !on })
}

// MaxBody is the size in bytes of the largest body that is stored, 8 MiB unless set. Larger ones stream through.
func MaxBody(bytes int64) RouteOption {
	return routeOption(func(s *routeSettings) {
		if bytes <= 0 || bytes > math.MaxInt32 {
			s.fail("MaxBody", bytes, "is not between 1 byte and 2 GiB; give the size of the largest body to store, or use Off")
			return
		}
		s.maxBody = bytes
	})
}

// SkipIf bypasses the cache for requests for which fn is true: nothing is read or written.
func SkipIf(fn func(*http.Request) bool) RouteOption {
	return routeOption(func(s *routeSettings) {
		if fn == nil {
			s.fail("SkipIf", nil, "is nil; give a function or remove the option")
			return
		}
		s.skipIf = fn
	})
}

// ETag says whether answers without an entity tag get one, a digest of the body that is the same in every process. On
// unless switched off.
func ETag(on bool) RouteOption { return routeOption(func(s *routeSettings) { s.noETag = !on }) }

// CacheStatus says whether answers carry the Cache-Status field of RFC 9211. On unless switched off.
func CacheStatus(on bool) RouteOption {
	return routeOption(func(s *routeSettings) { s.noStatus = !on })
}

// IgnoreRequestDirectives ignores Cache-Control and Pragma of requests, so that clients cannot force a miss.
func IgnoreRequestDirectives() RouteOption {
	return routeOption(func(s *routeSettings) { s.ignoreReqCC = true })
}

// Detach says what a background refresh keeps of the request's context: it returns to with values of from. The request's
// own values are gone by then, since routers reuse them; only http.ServerContextKey and path values stay.
func Detach(fn func(from, to context.Context) context.Context) RouteOption {
	return routeOption(func(s *routeSettings) {
		if fn == nil {
			s.fail("Detach", nil, "is nil; give a function or remove the option")
			return
		}
		s.detach = fn
	})
}

// TargetedFields names the fields of RFC 9213 that are meant for this route, first the one that counts most: CDN-Cache-Control unless
// set. The first that is there and valid takes the place of Cache-Control and Expires. Without names none does.
func TargetedFields(names ...string) RouteOption {
	return routeOption(func(s *routeSettings) {
		targeted := make([]string, 0, len(names))
		for _, name := range names {
			c := http.CanonicalHeaderKey(name)
			if !isToken(name) || !strings.HasSuffix(c, "-Cache-Control") {
				s.fail("TargetedFields", name, `is not a targeted field; name one, such as "CDN-Cache-Control"`)
				return
			}
			targeted = append(targeted, c)
		}
		s.targeted = targeted
	})
}

// AllowSetCookie stores responses with Set-Cookie and replays every line of it, in order, to everyone who gets the
// stored response. It is almost never right: the cookie of the first visitor becomes everybody's. It is there for cookies that
// are the same for all, such as a consent banner's.
func AllowSetCookie() RouteOption {
	return routeOption(func(s *routeSettings) { s.setCookie = true })
}

// Standard makes the route a shared cache by RFC 9111 to the letter, as a cache in front of another server is:
//
//   - Lifetimes come from the response's fields alone, with the heuristics of §4.2.2; there is no default.
//   - Cookie does not identify a request; see [IdentifyByCookie].
//   - A 502 or 504 counts as an origin that was not reached, in whose place anything stale is served that nothing
//     forbids (§4.2.4).
//   - The handler is shown ranges, and its 206 is kept as a part (§3.3, §3.4).
//   - QUERY is among [Methods], and a POST may answer GET (RFC 9110 §9.3.3).
//   - Cache-Groups (RFC 9875) and No-Vary-Search are obeyed.
//   - A variant in the one language that a client prefers to all others answers it.
//
// Set-Cookie still keeps a response out of the store; see [AllowSetCookie].
func Standard() RouteOption { return routeOption(func(s *routeSettings) { s.standard = true }) }

// IdentifyByCookie makes a request with Cookie or a TLS client certificate an identified one beside [Standard], as it is without
// it: it neither fills nor is answered by what is shared, unless the response says public or s-maxage or the route says
// otherwise. Without Standard it changes nothing.
func IdentifyByCookie() RouteOption { return routeOption(func(s *routeSettings) { s.byCookie = true }) }

const besideStandard = "has no effect beside Standard, which takes lifetimes from the response alone; use OverrideTTL, or leave out Standard"

// check reports what no single option can see.
func (s *routeSettings) check() {
	if s.public && s.perUser != nil {
		s.fail("Public", nil, "contradicts PerUser: an answer is either the same for all or one user's; remove one")
	}
	if s.query.allowSet {
		for _, d := range s.query.defaults {
			if !slices.Contains(s.query.allow, d.name) {
				s.fail("QueryDefault", d.name, "is not among QueryParams, so it is in no key; add it there")
			}
		}
		if len(s.query.ignore)+len(s.query.ignorePrefix) > 0 {
			s.fail("IgnoreQueryParams", nil, "has no effect beside QueryParams, which ignores everything that it does not name; remove one")
		}
	}
	if len(s.tags) > maxTags {
		s.fail("Tags", len(s.tags), fmt.Sprintf("are too many; an answer has at most %d", maxTags))
	}
	if s.standard && s.ttlStated {
		s.fail("TTL", s.ttl, besideStandard)
	}
	if s.standard && s.fallback != nil {
		s.errs = append(s.errs, s.fallback)
	}
	if s.clientTTL && s.clientCC != "" {
		s.fail("ClientTTL", nil, "has no effect beside ClientCacheControl, which says all that clients get; remove one")
	}
}

// isToken reports whether s is a token of RFC 9110 §5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' { // nearly all of them
			continue
		}
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
