package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
	"github.com/reprise-go/reprise/store/memstore"
)

// running is a proxy on a port of its own.
type running struct {
	front, admin string // base URLs
	addr         string
	stop         func() error // ends it and returns what Run did
}

// start runs a proxy in front of origin. change may be nil.
func start(t *testing.T, origin string, change func(*proxy.Config)) *running {
	t.Helper()
	u, err := url.Parse(origin)
	if err != nil {
		t.Fatal(err)
	}
	m, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := proxy.Defaults()
	cfg.Origin, cfg.Store = u, m
	cfg.Listen, cfg.Admin = "127.0.0.1:0", "127.0.0.1:0"
	cfg.DrainTimeout = time.Minute // a connection without a request is waited for, for five seconds
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	if change != nil {
		change(&cfg)
	}
	s, err := proxy.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	addrs, ended := make(chan [2]net.Addr, 1), make(chan error, 1)
	go func() { ended <- s.Run(ctx, func(front, admin net.Addr) { addrs <- [2]net.Addr{front, admin} }) }()
	p := &running{}
	select {
	case a := <-addrs:
		p.addr = a[0].String()
		p.front, p.admin = "http://"+p.addr, "http://"+a[1].String()
	case err := <-ended:
		t.Fatal(err)
	}
	stopped := false
	p.stop = func() error {
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if !stopped {
			if err := p.stop(); err != nil {
				t.Errorf("Run = %v; want nil", err)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v; want nil", err)
		}
		if err := m.Close(); err != nil {
			t.Errorf("Close of the store = %v; want nil", err)
		}
	})
	return p
}

// originServer serves h.
func originServer(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv
}

// get sends a request with fields "Name: value" and returns the response and its body.
func get(t *testing.T, url string, fields ...string) (*http.Response, string) {
	t.Helper()
	return send(t, http.MethodGet, url, "", fields...)
}

func send(t *testing.T, method, url, body string, fields ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Add(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return res, string(b)
}

func status(t *testing.T, res *http.Response) string {
	t.Helper()
	_, s, _ := strings.Cut(res.Header.Get("Cache-Status"), "; ")
	return s
}

func TestHit(t *testing.T) {
	var runs atomic.Int32
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		runs.Add(1)
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, "page "+r.URL.Path)
	})
	p := start(t, o.URL, nil)
	for i, want := range []string{"fwd=uri-miss; stored", "hit; ttl="} {
		res, body := get(t, p.front+"/a")
		if body != "page /a" || !strings.HasPrefix(status(t, res), want) {
			t.Errorf("GET %d = %q, Cache-Status %q; want the page, %q", i, body, status(t, res), want)
		}
		if via := res.Header.Get("Via"); via != "1.1 reprise" {
			t.Errorf("GET %d: Via = %q; want the proxy once", i, via)
		}
	}
	if n := runs.Load(); n != 1 {
		t.Errorf("the origin was asked %d times; want 1", n)
	}
}

// The rules of a host hold however a client spells it.
func TestRulesOfHost(t *testing.T) {
	o := originServer(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Control", "max-age=60") })
	p := start(t, o.URL, func(cfg *proxy.Config) {
		cfg.Routes = []proxy.RouteConfig{{Pattern: "shop.test/account/", Options: []reprise.RouteOption{reprise.Off()}}}
	})
	for _, tt := range []struct {
		host string
		off  bool
	}{
		{"shop.test", true}, {"SHOP.test", true}, {"shop.test.", true}, {"Shop.Test.:8080", true}, {"shop.test:8080", true},
		{"shop.test.evil", false}, {"myshop.test", false}, {"[::1]:8080", false},
	} {
		for range 2 {
			res, _ := get(t, p.front+"/account/", "Host: "+tt.host)
			if off := res.Header["Cache-Status"] == nil; off != tt.off {
				t.Errorf("GET from %s: Cache-Status %q; off: want %v", tt.host, res.Header["Cache-Status"], tt.off)
			}
		}
	}
}

// What a route says of cookies wins over what holds for all.
func TestCookiesOfRoute(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		all    bool
		route  *bool
		shared bool
	}{
		{false, nil, false}, {true, nil, true}, {false, &yes, true}, {true, &no, false},
	} {
		o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			if r.URL.Path == "/a/set" {
				w.Header().Set("Set-Cookie", "a=b")
			}
		})
		p := start(t, o.URL, func(cfg *proxy.Config) {
			cfg.AllowCookies, cfg.AllowSetCookie = tt.all, tt.all
			cfg.Routes = []proxy.RouteConfig{{Pattern: "/a/", AllowCookies: tt.route, AllowSetCookie: tt.route}}
		})
		for _, request := range [][]string{{"/a/", "Cookie: a=b"}, {"/a/set", "Accept: */*"}} {
			get(t, p.front+request[0], request[1])
			res, _ := get(t, p.front+request[0], request[1])
			if shared := strings.HasPrefix(status(t, res), "hit"); shared != tt.shared {
				t.Errorf("all %v, route %v: second GET %q: Cache-Status %q; want a hit: %v", tt.all, tt.route, request, status(t, res), tt.shared)
			}
		}
	}
}

// An OPTIONS goes as far as Max-Forwards says (RFC 9110 §7.6.2).
func TestMaxForwards(t *testing.T) {
	o := originServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "left "+r.Header.Get("Max-Forwards"))
	})
	p := start(t, o.URL, func(cfg *proxy.Config) { cfg.Reflection = proxy.ReflectionOff })
	for _, tt := range []struct {
		method, value string
		status        int
		body          string
	}{
		{"OPTIONS", "0", 204, ""},
		{"OPTIONS", "1", 200, "left 0"},
		{"OPTIONS", "10", 200, "left 9"},
		{"OPTIONS", "many", 200, "left many"},
		{"OPTIONS", "", 200, "left "},
		{"GET", "0", 200, "left 0"}, // of which it says nothing
	} {
		if res, body := send(t, tt.method, p.front+"/a", "", "Max-Forwards: "+tt.value); res.StatusCode != tt.status || body != tt.body {
			t.Errorf("%s with Max-Forwards %q = %d %q; want %d %q", tt.method, tt.value, res.StatusCode, body, tt.status, tt.body)
		}
	}
}
