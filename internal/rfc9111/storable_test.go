package rfc9111

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestStorable(t *testing.T) {
	var (
		std  = Rules{Standard: true}
		ttl  = Rules{DefaultTTL: true}
		user = Rules{Private: true, DefaultTTL: true}
	)
	for _, tt := range []struct {
		name, req, resp string
		rules           Rules
		want            Reason
	}{
		{"3/get", "GET /", "200\nCache-Control: max-age=60", std, ""},
		{"3/head", "HEAD /", "200\nCache-Control: max-age=60", std, ""},
		{"3/query", "QUERY /", "200\nCache-Control: max-age=60", std, ""},
		{"3/put", "PUT /", "200\nCache-Control: max-age=60", std, Method},
		{"3/unknown_method", "FOO /", "200\nCache-Control: max-age=60", std, Method},
		{"3/method_opted_in", "REPORT /", "200", Rules{Method: true, DefaultTTL: true}, ""},
		{"3/post_explicit", "POST /", "200\nCache-Control: max-age=60", std, ""},
		{"3/post_heuristic", "POST /", "200\nCache-Control: public\nLast-Modified: now-1h", std, NoFreshness},
		{"3/post_unless_standard", "POST /", "200\nCache-Control: max-age=60", ttl, Method},
		{"3/post_opted_in", "POST /", "200", Rules{Method: true, DefaultTTL: true}, ""},

		{"3/100", "GET /", "100\nCache-Control: max-age=60", std, Interim},
		{"3/101", "GET /", "101\nCache-Control: max-age=60", std, Interim},
		{"3/103", "GET /", "103\nCache-Control: max-age=60", std, Interim},
		{"3/304", "GET /", "304\nCache-Control: max-age=60", std, NotModifiedReply},
		{"3/explicit_299", "GET /", "299\nCache-Control: max-age=60", Rules{}, ""},
		{"3/explicit_302", "GET /", "302\nCache-Control: max-age=60", Rules{}, ""},
		{"3/explicit_500", "GET /", "500\nCache-Control: max-age=60", std, ""},
		{"3/explicit_599", "GET /", "599\nCache-Control: max-age=60", std, ""},

		{"3.3/206", "GET /", "206\nCache-Control: max-age=60\nContent-Range: bytes 0-4/10", std, PartialContent},
		{"3.3/206_as_part", "GET /", "206\nCache-Control: max-age=60\nContent-Range: bytes 0-4/10", Rules{Partial: true}, ""},
		{
			"3.3/206_multipart", "GET /",
			"206\nCache-Control: max-age=60\nContent-Type: Multipart/byteranges; boundary=x",
			Rules{Partial: true},
			PartialContent,
		},
		{"3.3/content-range_of_a_200", "GET /", "200\nCache-Control: max-age=60\nContent-Range: x", std, ""},

		{"3/max-age", "GET /", "201\nCache-Control: max-age=60", Rules{}, ""},
		{"3/s-maxage", "GET /", "201\nCache-Control: s-maxage=60", Rules{}, ""},
		{"3/expires", "GET /", "201\nExpires: now+60s", Rules{}, ""},
		{"3/stale_at_once", "GET /", "200\nCache-Control: max-age=0\nETag: \"1\"", Rules{}, ""},
		{"3/public", "GET /", "599\nCache-Control: public", std, ""},
		{"3/heuristic_status", "GET /", "404", std, ""},
		{"3/no_heuristic_status", "GET /", "403\nLast-Modified: now-1h", std, NoFreshness},
		{"3/nothing", "GET /", "200", Rules{}, NoFreshness},
		{"3/public_gives_no_lifetime", "GET /", "200\nCache-Control: public", Rules{}, NoFreshness},
		{"3/default_ttl", "GET /", "200", ttl, ""},

		{"5.2.2.5/no-store", "GET /", "200\nCache-Control: no-store", ttl, NoStore},
		{"5.2.2.5/case", "GET /", "200\nCache-Control: No-StOrE", std, NoStore},
		{"5.2.2.5/with_max-age", "GET /", "200\nCache-Control: max-age=60\nCache-Control: no-store\nExpires: now+60s", std, NoStore},
		{"5.2.2.3/understood", "GET /", "200\nCache-Control: max-age=60, no-store, must-understand", std, ""},
		{"5.2.2.3/unknown", "GET /", "599\nCache-Control: max-age=60, no-store, must-understand", std, NotUnderstood},
		{"5.2.2.3/unknown_without_no-store", "GET /", "299\nCache-Control: max-age=60, must-understand", std, NotUnderstood},
		{"5.2.2.3/306", "GET /", "306\nCache-Control: max-age=60, must-understand", std, NotUnderstood},
		{"5.2.1.5/no-store", "GET /\nCache-Control: no-store", "200\nCache-Control: max-age=60", std, RequestNoStore},
		{"5.2.2.4/no-cache", "GET /", "200\nCache-Control: no-cache\nETag: \"1\"", std, ""},
		{"5.4/pragma_of_a_response", "GET /", "200\nCache-Control: max-age=60\nPragma: no-cache, no-store", std, ""},

		{"5.2.2.7/private", "GET /", "200\nCache-Control: private, max-age=60", std, Private},
		{"5.2.2.7/private_and_public", "GET /", "200\nCache-Control: private, public, s-maxage=60", std, Private},
		{"5.2.2.7/private_of_one_user", "GET /", "200\nCache-Control: private, max-age=60", user, ""},
		{"5.2.2.7/private_fields", "GET /", "200\nCache-Control: private=\"x\", max-age=60", std, ""},

		{"3.5/authorization", "GET /\nAuthorization: x", "200\nCache-Control: max-age=60", std, Authorization},
		{"3.5/public", "GET /\nAuthorization: x", "200\nCache-Control: max-age=60, public", std, ""},
		{"3.5/must-revalidate", "GET /\nAuthorization: x", "200\nCache-Control: max-age=60, must-revalidate", std, ""},
		{"3.5/s-maxage", "GET /\nAuthorization: x", "200\nCache-Control: s-maxage=60", std, ""},
		{"3.5/invalid_s-maxage", "GET /\nAuthorization: x", "200\nCache-Control: s-maxage=x", std, Authorization},
		{"3.5/proxy-revalidate", "GET /\nAuthorization: x", "200\nCache-Control: max-age=60, proxy-revalidate", std, Authorization},
		{"3.5/route", "GET /\nAuthorization: x", "200", Rules{DefaultTTL: true, Authorized: true}, ""},
		{"3.5/one_user", "GET /\nAuthorization: x", "200", user, ""},

		{"cookie/default", "GET /\nCookie: a=b", "200\nCache-Control: max-age=60", ttl, Cookie},
		{"cookie/must-revalidate", "GET /\nCookie: a=b", "200\nCache-Control: max-age=60, must-revalidate", ttl, Cookie},
		{"cookie/public", "GET /\nCookie: a=b", "200\nCache-Control: public", ttl, ""},
		{"cookie/s-maxage", "GET /\nCookie: a=b", "200\nCache-Control: s-maxage=60", ttl, ""},
		{"cookie/standard_by_cookie", "GET /\nCookie: a=b", "200\nCache-Control: max-age=60", Rules{Standard: true, ByCookie: true}, Cookie},
		{"cookie/standard", "GET /\nCookie: a=b", "200\nCache-Control: max-age=60", std, ""},
		{"cookie/route", "GET /\nCookie: a=b", "200", Rules{DefaultTTL: true, Cookies: true}, ""},
		{"cookie/one_user", "GET /\nCookie: a=b", "200", user, ""},

		{"7.3/set-cookie", "GET /", "200\nCache-Control: max-age=60\nSet-Cookie: a=b", std, SetCookie},
		{"7.3/set-cookie2", "GET /", "200\nCache-Control: max-age=60\nSet-Cookie2: a=b", std, SetCookie},
		{"7.3/set-cookie_of_one_user", "GET /", "200\nSet-Cookie: a=b", user, SetCookie},
		{"7.3/allowed", "GET /", "200\nCache-Control: max-age=60\nSet-Cookie: a=b", Rules{Standard: true, SetCookie: true}, ""},
		{"7.3/taken_away", "GET /", "200\nCache-Control: max-age=60, no-cache=\"set-cookie\"\nSet-Cookie: a=b", std, ""},

		{"4.1/star", "GET /", "200\nCache-Control: max-age=60\nVary: *", std, VaryStar},
		{"4.1/star_star", "GET /", "200\nCache-Control: max-age=60\nVary: *, *", std, VaryStar},
		{"4.1/star_lines", "GET /", "200\nCache-Control: max-age=60\nVary: *\nVary: *", std, VaryStar},
		{"4.1/empty_star", "GET /", "200\nCache-Control: max-age=60\nVary: , *", std, VaryStar},
		{"4.1/empty_line_star", "GET /", "200\nCache-Control: max-age=60\nVary:\nVary: *", std, VaryStar},
		{"4.1/star_foo", "GET /", "200\nCache-Control: max-age=60\nVary: *, Foo", std, VaryStar},
		{"4.1/foo_star", "GET /", "200\nCache-Control: max-age=60\nVary: Foo, *", ttl, VaryStar},
		{"4.1/foo", "GET /", "200\nCache-Control: max-age=60\nVary: Foo", std, ""},

		{"RFC9213/2.2/replaces", "GET /", "200\nCache-Control: no-store\nCDN-Cache-Control: max-age=60", std, ""},
		{"RFC9213/2.2/no-store", "GET /", "200\nCache-Control: max-age=60\nCDN-Cache-Control: no-store\nExpires: now+1h", std, NoStore},
		{"RFC9213/2.2/private", "GET /", "200\nCache-Control: max-age=60\nCDN-Cache-Control: private", std, Private},
		{"RFC9213/2.1/invalid", "GET /", "200\nCache-Control: no-store\nCDN-Cache-Control: max-age=60, &&&", std, NoStore},
		{"RFC9213/2.1/wrong_type", "GET /", "200\nCache-Control: no-store\nCDN-Cache-Control: max-age=\"60\"", std, NoStore},
		{"RFC9213/2.1/empty", "GET /", "200\nCache-Control: no-store\nCDN-Cache-Control:", std, NoStore},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method, h := request(t, tt.req)
			q := Request{
				Method: method, CC: RequestDirectives(h),
				Authorization: h.Get("Authorization") != "", Cookie: h.Get("Cookie") != "",
			}
			r := parse(t, tt.resp)
			if got := r.Storable(q, tt.rules); got != tt.want {
				t.Errorf("Storable(%q, %q, %+v) = %q; want %q", tt.req, tt.resp, tt.rules, got, tt.want)
			}
		})
	}
}

// The first valid field of the list counts, whatever the order in the response (RFC 9213 §2.2).
func TestParseTargetedList(t *testing.T) {
	status, h := response(t, "200\nCDN-Cache-Control: max-age=1\nReprise-Cache-Control: max-age=2\nCache-Control: max-age=3")
	for _, tt := range []struct {
		targeted []string
		want     string
	}{
		{nil, "3s"},
		{[]string{"Cdn-Cache-Control"}, "1s"},
		{[]string{"Reprise-Cache-Control", "Cdn-Cache-Control"}, "2s"},
		{[]string{"Other-Cache-Control", "Cdn-Cache-Control"}, "1s"},
	} {
		r := Parse(status, h, tt.targeted)
		if got := r.CC.MaxAge.D.String(); got != tt.want || r.Targeted != (tt.targeted != nil) {
			t.Errorf("Parse with the list %q: max-age %s, targeted %v; want %s", tt.targeted, got, r.Targeted, tt.want)
		}
	}
}

func TestShareable(t *testing.T) {
	for _, tt := range []struct {
		name, cc                              string
		shareable, authorizable, mustValidate bool
	}{
		{"3.5/nothing", "max-age=60", false, false, false},
		{"3.5/public", "public", true, true, false},
		{"3.5/s-maxage", "s-maxage=0", true, true, true},
		{"3.5/invalid_s-maxage", "s-maxage=x", false, false, true},
		{"3.5/must-revalidate", "must-revalidate", false, true, true},
		{"5.2.2.8/proxy-revalidate", "proxy-revalidate", false, false, true},
		{"5.2.2.7/private", "private, public, s-maxage=1, must-revalidate", false, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := parse(t, "200\nCache-Control: "+tt.cc)
			if got := r.Shareable(); got != tt.shareable {
				t.Errorf("Shareable with %q = %v; want %v", tt.cc, got, tt.shareable)
			}
			if got := r.Authorizable(); got != tt.authorizable {
				t.Errorf("Authorizable with %q = %v; want %v", tt.cc, got, tt.authorizable)
			}
			if got := r.MustRevalidate(); got != tt.mustValidate {
				t.Errorf("MustRevalidate with %q = %v; want %v", tt.cc, got, tt.mustValidate)
			}
		})
	}
}

func TestClean(t *testing.T) {
	for _, tt := range []struct {
		name, resp string
		want       string // names that stay
	}{
		{
			"3.1/hop-by-hop",
			"200\nConnection: close\nKeep-Alive: x\nProxy-Connection: x\nTE: x\nTrailer: x\nTransfer-Encoding: x\nUpgrade: x\nA: 1",
			"A",
		},
		{"3.1/proxy", "200\nProxy-Authenticate: x\nProxy-Authentication-Info: x\nProxy-Authorization: x\nA: 1", "A"},
		{"3.1/nominated", "200\nConnection: a, B\nConnection: c\nA: 1\nB: 2\nC: 3\nD: 4", "D"},
		{"3.1/nominated_in_vain", "200\nConnection: etag, cache-control, content-type\nETag: \"1\"\nCache-Control: private\nContent-Type: x", "Cache-Control Content-Type Etag"},
		{"3.1/age", "200\nAge: 5\nDate: now", "Date"},
		{"5.2.2.4/fields", "200\nCache-Control: no-cache=\"a, b\"\nA: 1\nB: 2\nC: 3", "C Cache-Control"},
		{"5.2.2.7/fields", "200\nCache-Control: private=\"set-cookie\"\nSet-Cookie: a=b\nC: 3", "C Cache-Control"},
		{"3.1/others", "200\nContent-Range: x\nSet-Cookie: a=b\nWarning: x\nExpires: 0", "Content-Range Expires Set-Cookie Warning"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, h := response(t, tt.resp)
			Clean(h, Parse(status, h, nil).CC)
			if got := strings.Join(slices.Sorted(maps.Keys(h)), " "); got != tt.want {
				t.Errorf("Clean(%q) leaves %q; want %q", tt.resp, got, tt.want)
			}
		})
	}

	h := http.Header{"x-secret": {"1"}, "aGE": {"5"}, "Cache-Control": {`private="X-Secret"`}}
	Clean(h, Parse(200, h, nil).CC)
	if len(h) != 1 {
		t.Errorf("Clean leaves %v of fields whose names are not canonical", h)
	}
}
