package rfc9111

import (
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/header"
)

func TestReuse(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name, req string // fields of the request
		stored    Stored
		want      Verdict
		why       Reason
	}{
		{"4.2/fresh", "", Stored{Age: 59 * s, Lifetime: 60 * s}, Fresh, IsFresh},
		{"4.2/at_its_lifetime", "", Stored{Age: 60 * s, Lifetime: 60 * s}, Validate, IsStale},
		{"4.2/stale", "", Stored{Age: 61 * s, Lifetime: 60 * s}, Validate, IsStale},
		{"4.2/no_lifetime", "", Stored{}, Validate, IsStale},
		{"4.2/forever", "", Stored{Age: 1e6 * s, Lifetime: math.MaxInt64}, Fresh, IsFresh},
		{"4.2/clock_went_back", "", Stored{Age: -5 * s, Lifetime: s}, Fresh, IsFresh},
		{"4.2/unknown_directive", "Cache-Control: nothing-to-see-here", Stored{Age: 59 * s, Lifetime: 60 * s}, Fresh, IsFresh},

		{"5.2.2.4/no-cache", "", Stored{Age: s, Lifetime: 60 * s, NoCache: true}, Validate, NoCache},
		{"5.2.2.4/no-cache_max-stale", "Cache-Control: max-stale", Stored{Age: s, Lifetime: 60 * s, NoCache: true}, Validate, NoCache},
		{"5.2.2.2/fresh", "", Stored{Age: s, Lifetime: 60 * s, MustRevalidate: true}, Fresh, IsFresh},
		{"5.2.2.2/stale", "", Stored{Age: 60 * s, Lifetime: 60 * s, MustRevalidate: true}, Validate, MustRevalidate},
		{"5.2.2.2/max-stale", "Cache-Control: max-stale", Stored{Age: 61 * s, Lifetime: 60 * s, MustRevalidate: true}, Validate, MustRevalidate},
		{
			"5.2.2.2/stale-while-revalidate", "",
			Stored{Age: 61 * s, Lifetime: 60 * s, MustRevalidate: true, StaleWhile: 60 * s},
			Validate, MustRevalidate,
		},

		{"5.2.1.1/max-age", "Cache-Control: max-age=600", Stored{Age: 600 * s, Lifetime: 3600 * s}, Fresh, IsFresh},
		{"5.2.1.1/too_old", "Cache-Control: max-age=600", Stored{Age: 1800 * s, Lifetime: 3600 * s}, Validate, RequestMaxAge},
		{"5.2.1.1/1", "Cache-Control: max-age=1", Stored{Age: 3 * s, Lifetime: 3600 * s}, Validate, RequestMaxAge},
		{"5.2.1.1/0", "Cache-Control: max-age=0", Stored{Lifetime: 3600 * s}, Validate, RequestMaxAge},
		{"5.2.1.1/invalid", "Cache-Control: max-age=x", Stored{Lifetime: 3600 * s}, Validate, RequestMaxAge},
		{"5.2.1.1/nothing_stale", "Cache-Control: max-age=600", Stored{Age: 61 * s, Lifetime: 60 * s, StaleWhile: 60 * s}, Validate, RequestMaxAge},
		{"5.2.1.1/with_max-stale", "Cache-Control: max-age=600, max-stale=5", Stored{Age: 61 * s, Lifetime: 60 * s}, StaleAllowed, RequestMaxStale},

		{"5.2.1.2/any", "Cache-Control: max-stale", Stored{Age: 1e6 * s, Lifetime: 60 * s}, StaleAllowed, RequestMaxStale},
		{"5.2.1.2/within", "Cache-Control: max-stale=1000", Stored{Age: 2000 * s, Lifetime: 1500 * s}, StaleAllowed, RequestMaxStale},
		{"5.2.1.2/at", "Cache-Control: max-stale=1", Stored{Age: 61 * s, Lifetime: 60 * s}, StaleAllowed, RequestMaxStale},
		{"5.2.1.2/beyond", "Cache-Control: max-stale=1", Stored{Age: 62 * s, Lifetime: 60 * s}, Validate, RequestMaxStale},
		{"5.2.1.2/invalid", "Cache-Control: max-stale=x", Stored{Age: 61 * s, Lifetime: 60 * s}, Validate, RequestMaxStale},
		{"5.2.1.2/fresh", "Cache-Control: max-stale=1", Stored{Age: 5 * s, Lifetime: 60 * s}, Fresh, IsFresh},

		{"5.2.1.3/fresh_enough", "Cache-Control: min-fresh=10", Stored{Age: 50 * s, Lifetime: 60 * s}, Fresh, IsFresh},
		{"5.2.1.3/not_fresh_enough", "Cache-Control: min-fresh=2000", Stored{Lifetime: 1500 * s}, Validate, RequestMinFresh},
		{"5.2.1.3/too_old", "Cache-Control: min-fresh=1000", Stored{Age: 1000 * s, Lifetime: 1500 * s}, Validate, RequestMinFresh},
		{"5.2.1.3/forever", "Cache-Control: min-fresh=99999999999", Stored{Age: 1000 * s, Lifetime: math.MaxInt64}, Fresh, IsFresh},
		{"5.2.1.3/overflow", "Cache-Control: min-fresh=5", Stored{Age: math.MaxInt64 - s, Lifetime: math.MaxInt64}, Fresh, IsFresh},
		{"5.2.1.3/invalid", "Cache-Control: min-fresh=x", Stored{Age: s, Lifetime: 60 * s}, Fresh, IsFresh},

		{"5.2.1.4/no-cache", "Cache-Control: no-cache", Stored{Lifetime: 3600 * s}, Validate, RequestNoCache},
		{"5.2.1.4/with_fields", "Cache-Control: no-cache=\"a\"", Stored{Lifetime: 3600 * s}, Validate, RequestNoCache},
		{"5.2.1.4/stale-while-revalidate", "Cache-Control: no-cache", Stored{Age: 61 * s, Lifetime: 60 * s, StaleWhile: 60 * s}, Validate, RequestNoCache},
		{"5.4/pragma", "Pragma: no-cache", Stored{Lifetime: 3600 * s}, Validate, RequestNoCache},
		{"5.4/pragma_extension", "Pragma: foo", Stored{Lifetime: 3600 * s}, Fresh, IsFresh},
		{"5.4/pragma_with_cache-control", "Pragma: no-cache\nCache-Control: foo", Stored{Lifetime: 3600 * s}, Fresh, IsFresh},
		{"5.2.1.5/no-store", "Cache-Control: no-store", Stored{Lifetime: 3600 * s}, Fresh, IsFresh},

		{"5.2.1.7/fresh", "Cache-Control: only-if-cached", Stored{Lifetime: 60 * s}, Fresh, IsFresh},
		{"5.2.1.7/stale", "Cache-Control: only-if-cached", Stored{Age: 60 * s, Lifetime: 60 * s}, Validate, OnlyIfCached},
		{"5.2.1.7/max-stale", "Cache-Control: only-if-cached, max-stale", Stored{Age: 60 * s, Lifetime: 60 * s}, StaleAllowed, RequestMaxStale},

		{"RFC5861/3/within", "", Stored{Age: 61 * s, Lifetime: s, StaleWhile: 60 * s}, WhileRevalidate, WhileStale},
		{"RFC5861/3/beyond", "", Stored{Age: 62 * s, Lifetime: s, StaleWhile: 60 * s}, Validate, IsStale},
		{"RFC5861/3/max-stale", "Cache-Control: max-stale=5", Stored{Age: 4 * s, Lifetime: s, StaleWhile: 60 * s}, WhileRevalidate, WhileStale},
		{"RFC5861/3/max-stale_exceeded", "Cache-Control: max-stale=5", Stored{Age: 9 * s, Lifetime: s, StaleWhile: 60 * s}, Validate, RequestMaxStale},
		{"RFC5861/4/is_for_errors", "", Stored{Age: 61 * s, Lifetime: s, StaleIf: 60 * s}, Validate, IsStale},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := directives(t, tt.req)
			if got, why := Reuse(q, tt.stored); got != tt.want || why != tt.why {
				t.Errorf("Reuse(%q, %+v) = %v, %q; want %v, %q", tt.req, tt.stored, got, why, tt.want, tt.why)
			}
			if tt.req != "" {
				return
			}
			if got, why := Reuse(nil, tt.stored); got != tt.want || why != tt.why {
				t.Errorf("Reuse(nil, %+v) = %v, %q; want %v, %q", tt.stored, got, why, tt.want, tt.why)
			}
		})
	}
}

func TestMayServeOnError(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name, req          string
		stored             Stored
		error, unreachable bool // may it be served instead of an error, or if nothing answers
	}{
		{"4.2.4/stale", "", Stored{Age: 61 * s, Lifetime: 60 * s}, false, true},
		{"4.2.4/fresh", "", Stored{Age: 59 * s, Lifetime: 60 * s}, true, true},
		{"4.2.4/no-cache", "", Stored{Age: 1 * s, Lifetime: 60 * s, NoCache: true, StaleIf: 60 * s}, false, false},
		{"4.2.4/must-revalidate", "", Stored{Age: 61 * s, Lifetime: 60 * s, MustRevalidate: true, StaleIf: 60 * s}, false, false},
		{"4.2.4/must-revalidate_fresh", "Cache-Control: max-age=0", Stored{Age: s, Lifetime: 60 * s, MustRevalidate: true}, true, true},
		{"RFC5861/4/within", "", Stored{Age: 120 * s, Lifetime: 60 * s, StaleIf: 60 * s}, true, true},
		{"RFC5861/4/beyond", "", Stored{Age: 121 * s, Lifetime: 60 * s, StaleIf: 60 * s}, false, true},
		{"RFC5861/4/asked_for", "Cache-Control: stale-if-error=60", Stored{Age: 120 * s, Lifetime: 60 * s}, true, true},
		{"RFC5861/4/asked_for_less", "Cache-Control: stale-if-error=5", Stored{Age: 120 * s, Lifetime: 60 * s}, false, true},
		{"5.2.1.2/max-stale", "Cache-Control: max-stale=60", Stored{Age: 120 * s, Lifetime: 60 * s}, true, true},
		{"5.2.1.2/max-stale_any", "Cache-Control: max-stale", Stored{Age: 1e6 * s, Lifetime: 60 * s}, true, true},
		{"5.2.1.4/no-cache", "Cache-Control: no-cache", Stored{Age: s, Lifetime: 60 * s, StaleIf: 60 * s}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := directives(t, tt.req)
			if got := MayServeOnError(q, tt.stored, false); got != tt.error {
				t.Errorf("MayServeOnError(%q, %+v) on an error = %v; want %v", tt.req, tt.stored, got, tt.error)
			}
			if got := MayServeOnError(q, tt.stored, true); got != tt.unreachable {
				t.Errorf("MayServeOnError(%q, %+v) when disconnected = %v; want %v", tt.req, tt.stored, got, tt.unreachable)
			}
			if got := MayServeOnError(nil, tt.stored, false); tt.req == "" && got != tt.error {
				t.Errorf("MayServeOnError(nil, %+v) = %v; want %v", tt.stored, got, tt.error)
			}
		})
	}
}

func TestRequestDirectives(t *testing.T) {
	for _, tt := range []struct {
		name, req string
		want      header.CacheControl
	}{
		{"5.2.1/none", "", header.CacheControl{}},
		{"5.2.1/cache-control", "Cache-Control: no-cache", header.CacheControl{NoCache: true}},
		{"5.2.1.4/fields_mean_all", "Cache-Control: no-cache=\"a\"", header.CacheControl{NoCache: true}},
		{"5.4/pragma", "Pragma: foo, No-Cache", header.CacheControl{NoCache: true}},
		{"5.4/pragma_only_no-cache", "Pragma: no-store, max-age=5", header.CacheControl{}},
		{"5.4/cache-control_wins", "Pragma: no-cache\nCache-Control:", header.CacheControl{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := RequestDirectives(parseFields(t, tt.req)); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("RequestDirectives(%q) = %+v; want %+v", tt.req, got, tt.want)
			}
		})
	}
}

func TestVerdictString(t *testing.T) {
	seen := make(map[string]bool)
	for v := Validate; v <= WhileRevalidate+1; v++ {
		seen[v.String()] = true
	}
	if len(seen) != 5 || !seen["invalid"] {
		t.Errorf("the names of the verdicts are %v", seen)
	}
}

// What is decided for every hit allocates nothing.
func TestHitAllocs(t *testing.T) {
	v := Validators{ETag: `"abc"`, LastModified: "Sun, 06 Nov 1994 08:49:37 GMT", Date: now.Format(time.RFC1123)}
	for _, fields := range []string{
		"", "Pragma: no-cache", "Cache-Control: no-cache", "Cache-Control: max-age=0, max-stale=5",
		"If-None-Match: \"x\", W/\"abc\"", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
		"Range: bytes=0-1\nIf-Range: \"abc\"",
	} {
		h := parseFields(t, fields)
		if n := testing.AllocsPerRun(100, func() {
			q := RequestDirectives(h)
			Reuse(&q, Stored{Age: 1, Lifetime: 2})
			MayServeOnError(&q, Stored{Age: 1, Lifetime: 2}, false)
			v.NotModified(h)
			v.IfRange(h)
		}); n != 0 {
			t.Errorf("a hit with %q allocates %v times; want 0", fields, n)
		}
	}
}
