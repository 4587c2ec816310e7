// Package proxy is a shared HTTP cache in front of one origin: reprise with Standard around httputil.ReverseProxy, with
// what a server on a network needs beside it. A [Server] is made of a [Config] and ends with its context.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store"
)

// Config says what a [Server] does. [Defaults] returns one that lacks an origin and a store.
type Config struct {
	_ [0]func()

	Origin *url.URL    // http or https; a path is put before that of every request
	Store  store.Store // where answers are kept; the caller closes it

	Listen      string // address of the proxy
	Admin       string // address of the admin endpoints; "" is none
	AdminToken  string // what admin requests carry as Authorization: Bearer; "" is nothing, on loopback only
	TLSCert     string // files in PEM; both or neither
	TLSKey      string
	H2C         bool // HTTP/2 without TLS, by prior knowledge
	RewriteHost bool // the origin gets its own host name in Host, and the client's in X-Forwarded-Host alone

	TrustedProxies []netip.Prefix // peers whose X-Forwarded-* are believed

	AllowSetCookie bool       // store responses that set cookies
	AllowCookies   bool       // share stored responses whatever cookies a request carries, as RFC 9111 allows
	Reflection     Reflection // what becomes of a response that repeats what the client sent
	TagField       string     // a field of responses that names their tags; "" is none

	StoreTimeout      time.Duration // for what is asked of the store before one answer; then the origin is asked
	MaxOriginRequests int           // at once; more wait
	MaxWaiting        int           // requests that wait for the origin; more get 503
	OriginTimeout     time.Duration // to the head of the origin's response
	HeaderTimeout     time.Duration // for a request's head
	IdleTimeout       time.Duration // of a connection between requests, and of a client that does not send or read on
	MaxHeaderBytes    int           // of a request
	DrainTimeout      time.Duration // for requests under way when the server is told to end

	Routes []RouteConfig // in no order: the most specific pattern wins

	AccessLog *slog.Logger // one line per request; nil is none
	Logger    *slog.Logger // what goes wrong; nil is slog.Default()
}

// RouteConfig gives the requests that match a pattern of http.ServeMux options of their own, after those that hold for all.
type RouteConfig struct {
	Pattern        string
	Options        []reprise.RouteOption
	Keyed          []string // the fields of requests that Options put into the key
	Plain          bool     // without Standard: lifetimes may come from the route
	AllowCookies   *bool    // in place of Config's; nil is that
	AllowSetCookie *bool
}

// Reflection says what becomes of a response in which a value is found that the client sent in a field that is not in the
// key: by that, one client could choose what others get.
type Reflection string

// The modes.
const (
	ReflectionRefuse  Reflection = "refuse"  // it is not stored, and a log line names the field
	ReflectionObserve Reflection = "observe" // a log line names the field
	ReflectionOff     Reflection = "off"     // nobody looks
)

// Defaults returns the configuration that flags begin with.
func Defaults() Config {
	return Config{
		Listen:            ":8080",
		Admin:             "127.0.0.1:9090",
		Reflection:        ReflectionRefuse,
		StoreTimeout:      250 * time.Millisecond,
		MaxOriginRequests: 512,
		MaxWaiting:        1024,
		OriginTimeout:     30 * time.Second,
		HeaderTimeout:     10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		DrainTimeout:      30 * time.Second,
	}
}

// Mistake is one thing that is wrong with a [Config].
type Mistake struct {
	Setting string // as flags and files name it
	Reason  string
}

func (m *Mistake) Error() string { return m.Setting + ": " + m.Reason }

// Check returns every mistake in cfg that can be seen without opening anything, each a [*Mistake], joined.
func (cfg *Config) Check() error {
	var errs []error
	fail := func(setting, format string, args ...any) {
		errs = append(errs, &Mistake{Setting: setting, Reason: fmt.Sprintf(format, args...)})
	}
	switch u := cfg.Origin; {
	case u == nil:
		fail("origin", "is missing; give the URL of the application, such as http://127.0.0.1:3000")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Opaque != "":
		fail("origin", "%q is not a URL of http or https; give one such as http://127.0.0.1:3000", u.Redacted())
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		fail("origin", "%q has more than scheme, host and path; remove the rest", u.Redacted())
	}
	if reason := addressFault(cfg.Listen); reason != "" {
		fail("listen", "%s", reason)
	}
	if cfg.Admin != "" {
		if reason := addressFault(cfg.Admin); reason != "" {
			fail("admin", "%s", reason)
		} else if cfg.AdminToken == "" && !loopback(cfg.Admin) {
			fail("admin", "%q can be reached by others; use a loopback address, or set admin-token-file", cfg.Admin)
		}
	}
	if (cfg.TLSCert == "") != (cfg.TLSKey == "") {
		fail("tls-cert", "needs tls-key, and the other way round; give both files")
	}
	switch cfg.Reflection {
	case ReflectionRefuse, ReflectionObserve, ReflectionOff:
	default:
		fail("reflection", "%q is none of refuse, observe, off", string(cfg.Reflection))
	}
	if cfg.TagField != "" && !fieldName(cfg.TagField) {
		fail("tag-field", "%q is not a field name; give one, such as Cache-Tag", cfg.TagField)
	}
	for _, x := range []struct {
		setting string
		value   any
		good    bool
	}{
		{"store-timeout", cfg.StoreTimeout, cfg.StoreTimeout > 0},
		{"max-origin-requests", cfg.MaxOriginRequests, cfg.MaxOriginRequests > 0},
		{"origin-timeout", cfg.OriginTimeout, cfg.OriginTimeout > 0},
		{"header-timeout", cfg.HeaderTimeout, cfg.HeaderTimeout > 0},
		{"idle-timeout", cfg.IdleTimeout, cfg.IdleTimeout > 0},
		{"max-header-bytes", cfg.MaxHeaderBytes, cfg.MaxHeaderBytes > 0},
		{"drain-timeout", cfg.DrainTimeout, cfg.DrainTimeout > 0},
	} {
		if !x.good {
			fail(x.setting, "%v is not positive; leave it out for the default", x.value)
		}
	}
	if cfg.MaxWaiting < 0 {
		fail("max-waiting", "%d is negative; 0 lets nobody wait", cfg.MaxWaiting)
	}
	for i, r := range cfg.Routes {
		if err := CheckPattern(cfg.Routes[:i], r.Pattern); err != nil {
			errs = append(errs, &Mistake{Setting: "routes", Reason: err.Error()})
		}
	}
	return errors.Join(errs...)
}

// CheckPattern reports why http.ServeMux does not take pattern beside those of before, which it takes, or why it would never
// match.
func CheckPattern(before []RouteConfig, pattern string) (err error) {
	defer func() {
		if v := recover(); v != nil {
			// Where in this program it was registered says nothing to who wrote the pattern.
			text := regexp.MustCompile(` \(registered at [^)]*\)`).ReplaceAllString(fmt.Sprint(v), "")
			err = errors.New(strings.Join(strings.Fields(text), " "))
		}
	}()
	mux := http.NewServeMux()
	for _, r := range before {
		mux.Handle(r.Pattern, http.NotFoundHandler())
	}
	mux.Handle(pattern, http.NotFoundHandler())
	method, host := "", pattern
	if i := strings.IndexAny(pattern, " \t"); i >= 0 {
		method, host = pattern[:i], strings.TrimLeft(pattern[i:], " \t")
	}
	host, _, _ = strings.Cut(host, "/")
	name, _, _ := strings.Cut(host, ":")
	switch {
	case method != strings.ToUpper(method):
		return fmt.Errorf("the method %q is not in capitals, and methods are told apart by case; write %q", method, strings.ToUpper(method))
	case host != hostName(name) && !strings.HasPrefix(host, "["):
		return fmt.Errorf("the host %q never matches; write %q, which is that host in any spelling and at any port", host, hostName(name))
	}
	return nil
}

func addressFault(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Sprintf("%q is not host:port; leave out the host to listen on all of them", addr)
	}
	if _, err := net.DefaultResolver.LookupPort(context.Background(), "tcp", port); err != nil {
		return fmt.Sprintf("%q has no port between 0 and 65535; write one such as :8080", addr)
	}
	return ""
}

func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// fieldName reports whether s is a token (RFC 9110 §5.1).
func fieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}
