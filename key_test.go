package reprise_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/reprise-go/reprise"
)

// alphabet holds the bytes that mean something in a key, and one that does not.
var alphabet = []string{"a", "|", "~", "^", ":", "=", "&", ",", "%", " ", "\x00", "é"}

// texts returns every text of at most n letters.
func texts(n int) []string {
	all := []string{""}
	last := []string{""}
	for range n {
		var next []string
		for _, s := range last {
			for _, c := range alphabet {
				next = append(next, s+c)
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}

// TestKeyOfInjective tries every list of up to three short texts: no two make one key.
func TestKeyOfInjective(t *testing.T) {
	seen := make(map[string]string)
	add := func(parts ...string) {
		key := reprise.KeyOf(func(b *reprise.KeyBuilder) {
			for _, p := range parts {
				b.Text(p)
			}
		})
		id := fmt.Sprintf("%q", parts)
		if other, ok := seen[key]; ok {
			t.Fatalf("KeyOf(%s) = KeyOf(%s) = %q", id, other, key)
		}
		seen[key] = id
		for i := range len(key) {
			if key[i] <= ' ' || key[i] >= 0x7f {
				t.Fatalf("KeyOf(%s) = %q: not printable", id, key)
			}
		}
	}
	two, one := texts(2), texts(1)
	for _, a := range two {
		add(a)
		for _, b := range two {
			add(a, b)
		}
	}
	for _, a := range one {
		for _, b := range one {
			for _, c := range one {
				add(a, b, c)
			}
		}
	}
}

// TestKeyOfKinds holds numbers, truth values and texts apart.
func TestKeyOfKinds(t *testing.T) {
	keys := map[string]string{}
	for name, fn := range map[string]func(*reprise.KeyBuilder){
		"text 1":    func(b *reprise.KeyBuilder) { b.Text("1") },
		"int 1":     func(b *reprise.KeyBuilder) { b.Int(1) },
		"text ~i:1": func(b *reprise.KeyBuilder) { b.Text("~i:1") },
		"true":      func(b *reprise.KeyBuilder) { b.Bool(true) },
		"text true": func(b *reprise.KeyBuilder) { b.Text("true") },
		"1, 2":      func(b *reprise.KeyBuilder) { b.Int(1); b.Int(2) },
		"12":        func(b *reprise.KeyBuilder) { b.Int(12) },
	} {
		key := reprise.KeyOf(fn)
		if other, ok := keys[key]; ok {
			t.Errorf("%s and %s make one key %q", name, other, key)
		}
		keys[key] = name
	}
	if key := reprise.KeyOf(func(*reprise.KeyBuilder) {}); key != "" {
		t.Errorf("KeyOf(nothing) = %q; want none", key)
	}
	if key := reprise.KeyOf(func(b *reprise.KeyBuilder) { b.Text("a"); b.Fail(errors.New("no")) }); key != "" {
		t.Errorf("KeyOf(failed) = %q; want none", key)
	}
	long := reprise.KeyOf(func(b *reprise.KeyBuilder) { b.Text(strings.Repeat("x", 300)) })
	if len(long) > 200 || !strings.Contains(long, "^^") {
		t.Errorf("a long key is %q (%d bytes)", long, len(long))
	}
}

// TestRouteKey shows what keys look like, and holds what shares one and what does not.
func TestRouteKey(t *testing.T) {
	c := open(t, reprise.Config{})
	route := func(opts ...reprise.RouteOption) *reprise.Route {
		t.Helper()
		rt, err := c.NewRoute(opts...)
		if err != nil {
			t.Fatal(err)
		}
		return rt
	}
	plain := route(reprise.Namespaced("shop"))
	for _, tt := range []struct {
		name   string
		rt     *reprise.Route
		target string
		fields string
		want   string
	}{
		{"plain", plain, "/products/42?lang=en", "", "reprise:shop|GET|http://shop.test|/products/42|lang=en"},
		{"order of names", plain, "/q?b=2&a=1&a=0", "", "reprise:shop|GET|http://shop.test|/q|a=1&a=0&b=2"},
		{"encoded slash", plain, "/a%2fb", "", "reprise:shop|GET|http://shop.test|/a%2fb"},
		{"no query", plain, "/a?", "", "reprise:shop|GET|http://shop.test|/a"},
		{"escapes", plain, "/a|b~c?x=%7C", "", "reprise:shop|GET|http://shop.test|/a^7Cb^7Ec|x=%7C"},
		{"semicolon", plain, "/a?x=1;y=2", "", "reprise:shop|GET|http://shop.test|/a|~r:x=1;y=2"},
		{"bad escape", plain, "/a?x=%zz", "", "reprise:shop|GET|http://shop.test|/a|~r:x=%zz"},
		{"any host", route(reprise.AnyHost()), "/a", "", "reprise|GET|*|/a"},
		{"allow-list", route(reprise.QueryParams("b", "a")), "/a?c=3&b=2&a=1", "", "reprise|GET|http://shop.test|/a|a=1&b=2"},
		{"default", route(reprise.QueryDefault("page", "1")), "/a", "", "reprise|GET|http://shop.test|/a|page=1"},
		{"ignore-list", route(reprise.IgnoreQueryParams("utm_*", "x")), "/a?utm_source=1&x=2&y=3", "", "reprise|GET|http://shop.test|/a|y=3"},
		{"declared vary", route(reprise.Vary("accept-language")), "/a", "Accept-Language: en", "reprise|GET|http://shop.test|/a|~v:Accept-Language=en"},
		{"absent field", route(reprise.Vary("x-a")), "/a", "", "reprise|GET|http://shop.test|/a|~v:X-A"},
		{"own key", route(reprise.Key(func(b *reprise.KeyBuilder, r *http.Request) { b.Text("p"); b.Int(7) })), "/a", "", "reprise|GET|~k|p|~i:7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			u, err := url.ParseRequestURI(tt.target)
			if err != nil {
				t.Fatal(err)
			}
			r.URL, r.RequestURI, r.Host = u, tt.target, "Shop.Test:80"
			if name, value, ok := strings.Cut(tt.fields, ": "); ok {
				r.Header.Set(name, value)
			}
			got, err := tt.rt.Key(r)
			if err != nil || got != tt.want {
				t.Errorf("Key(%s) = %q, %v; want %q", tt.target, got, err, tt.want)
			}
		})
	}
}

// TestRouteKeyTellsApart holds requests apart that caches of this kind have taken for one.
func TestRouteKeyTellsApart(t *testing.T) {
	c := open(t, reprise.Config{})
	rt, err := c.NewRoute()
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string)
	for _, target := range []string{
		"/foo?a=1", "/fooa=1", "/foo/a=1", "/foo%3Fa=1", "/foo?a=1&b=", "/foo?a=1&b", "/foo?a=1%26b=", "/foo?a%3D1",
		"/a/b", "/a%2Fb", "/a//b", "/a/b/", "/A/b", "/a/./b", "/a?b=1;c=2", "/a?b=1&c=2", "/a?b=1%3Bc=2",
		"/a|b", "/a%7Cb", "/a?x=%00", "/a?x=", "/a?=x", "/a?x=a+b", "/a?x=a%2Bb",
	} {
		for _, host := range []string{"one.test", "two.test", "one.test:8080"} {
			u, err := url.ParseRequestURI(target)
			if err != nil {
				t.Fatal(err)
			}
			key, err := rt.Key(&http.Request{Method: http.MethodGet, URL: u, RequestURI: target, Host: host, Header: http.Header{}})
			if err != nil {
				t.Fatal(err)
			}
			id := host + target
			if other, ok := seen[key]; ok && !(strings.HasSuffix(id, "&b=") && strings.HasSuffix(other, "&b")) && !(strings.HasSuffix(id, "&b") && strings.HasSuffix(other, "&b=")) {
				t.Errorf("%s and %s make one key %q", id, other, key)
			}
			seen[key] = id
		}
	}
}

// FuzzKeyOf looks for two lists of parts that make one key.
func FuzzKeyOf(f *testing.F) {
	f.Add("a", "b", "a|b", "")
	f.Add("~k", "^7C", "|", "^^")
	f.Fuzz(func(t *testing.T, a, b, c, d string) {
		key := func(parts ...string) string {
			return reprise.KeyOf(func(kb *reprise.KeyBuilder) {
				for _, p := range parts {
					kb.Text(p)
				}
			})
		}
		x, y := key(a, b), key(c, d)
		if (x == y) != (a == c && b == d) {
			t.Errorf("%q, %q make %q; %q, %q make %q", a, b, x, c, d, y)
		}
		if one := key(a); one == x || len(one) > 200 || len(x) > 200 {
			t.Errorf("%q makes %q; %q, %q make %q", a, one, a, b, x)
		}
	})
}

// FuzzRouteKey holds that two requests share a key only if the handler is shown the same parameters on the same path and host.
func FuzzRouteKey(f *testing.F) {
	f.Add("/a?x=1", "/a?x=2", "h.test", "h.test")
	f.Add("/a?x=1&y=2", "/a?y=2&x=1", "h.test", "H.test:80")
	f.Add("/a%2fb", "/a/b", "h", "h")
	f.Add("/a?x=1;y", "/a?x=1%3by", "h", "h")
	c := reprise.Must(reprise.New(reprise.Config{}))
	rt, err := c.NewRoute()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, t1, t2, h1, h2 string) {
		k1, ok1 := keyOf(rt, t1, h1)
		k2, ok2 := keyOf(rt, t2, h2)
		if !ok1 || !ok2 {
			return
		}
		same := sameRequest(t1, t2) && strings.EqualFold(strings.TrimSuffix(h1, ":80"), strings.TrimSuffix(h2, ":80"))
		if k1 == k2 && !same {
			t.Errorf("%q on %q and %q on %q share %q", t1, h1, t2, h2, k1)
		}
		if len(k1) == 0 || len(k1) > 200 {
			t.Errorf("%q makes %q", t1, k1)
		}
	})
}

func keyOf(rt *reprise.Route, target, host string) (string, bool) {
	u, err := url.ParseRequestURI(target)
	if err != nil || !strings.HasPrefix(target, "/") {
		return "", false
	}
	key, err := rt.Key(&http.Request{Method: http.MethodGet, URL: u, RequestURI: target, Host: host, Header: http.Header{}})
	return key, err == nil
}

// sameRequest compares what a handler can see of two targets, but for the order of parameters.
func sameRequest(a, b string) bool {
	pa, qa, _ := strings.Cut(a, "?")
	pb, qb, _ := strings.Cut(b, "?")
	va, ea := url.ParseQuery(qa)
	vb, eb := url.ParseQuery(qb)
	if pa != pb || (ea == nil) != (eb == nil) {
		return false
	}
	if ea != nil {
		return qa == qb
	}
	return va.Encode() == vb.Encode()
}
