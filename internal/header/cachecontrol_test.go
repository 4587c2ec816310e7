package header

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func seconds(n int) Opt { return Opt{D: time.Duration(n) * time.Second, Set: true} }

var invalid = Opt{Set: true, Invalid: true}

func TestParseCacheControl(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string // lines
		want CacheControl
	}{
		{"absent", "", CacheControl{}},
		{"5.2/list", "public, max-age=60", CacheControl{Public: true, MaxAge: seconds(60)}},
		{"5.2/lines", "max-age=60\nNo-Store", CacheControl{NoStore: true, MaxAge: seconds(60)}},
		{"5.2/case", "MaX-aGe=3600, nO-cAcHe", CacheControl{NoCache: true, MaxAge: seconds(3600)}},
		{"5.2/quoted", `max-age="3600"`, CacheControl{MaxAge: seconds(3600)}},
		{"5.2/empties", ",, max-age=1 ,", CacheControl{MaxAge: seconds(1)}},
		{
			"5.2/all_flags",
			"must-revalidate, proxy-revalidate, must-understand, no-transform, immutable, only-if-cached, private",
			CacheControl{
				MustRevalidate: true, ProxyRevalidate: true, MustUnderstand: true, NoTransform: true,
				Immutable: true, OnlyIfCached: true, Private: true,
			},
		},
		{
			"5.2/all_numbers",
			"s-maxage=1, min-fresh=2, max-stale=3, stale-while-revalidate=4, stale-if-error=5",
			CacheControl{
				SMaxAge: seconds(1), MinFresh: seconds(2), MaxStale: seconds(3),
				StaleWhileRevalidate: seconds(4), StaleIfError: seconds(5),
			},
		},
		{"5.2.1.2/max-stale_any", "max-stale", CacheControl{MaxStaleAny: true}},

		{"1.2.2/zero", "max-age=0", CacheControl{MaxAge: seconds(0)}},
		{"1.2.2/leading_zeros", "max-age=003600", CacheControl{MaxAge: seconds(3600)}},
		{"1.2.2/2^31-1", "max-age=2147483647", CacheControl{MaxAge: seconds(1<<31 - 1)}},
		{"1.2.2/2^31", "max-age=2147483648", CacheControl{MaxAge: seconds(1 << 31)}},
		{"1.2.2/overflow", "max-age=99999999999", CacheControl{MaxAge: seconds(1 << 31)}},
		{"1.2.2/overflow_64_bits", "max-age=36893488147419103232", CacheControl{MaxAge: seconds(1 << 31)}},

		{"4.2.1/first_counts", "max-age=1, max-age=1800\nmax-age=3", CacheControl{MaxAge: seconds(1)}},
		{"4.2.1/first_counts_invalid", "max-age=x, max-age=1800", CacheControl{MaxAge: invalid}},
		{"4.2.1/negative", "max-age=-3600", CacheControl{MaxAge: invalid}},
		{"4.2.1/letters", "max-age=a100, s-maxage=100a", CacheControl{MaxAge: invalid, SMaxAge: invalid}},
		{"4.2.1/fraction", "max-age=3600.0", CacheControl{MaxAge: invalid}},
		{"4.2.1/single_quotes", "max-age='3600'", CacheControl{MaxAge: invalid}},
		{"4.2.1/escaped", `max-age="36\00"`, CacheControl{MaxAge: invalid}},
		{"4.2.1/no_value", "max-age, s-maxage=", CacheControl{MaxAge: invalid, SMaxAge: invalid}},
		{"4.2.1/empty_quotes", `max-age=""`, CacheControl{MaxAge: invalid}},
		{"4.2.1/blank_before_equals", "max-age =3600", CacheControl{MaxAge: invalid}},
		{"4.2.1/blank_after_equals", "max-age= 3600", CacheControl{MaxAge: invalid}},
		{"4.2.1/two_values", "max-age=1 2", CacheControl{MaxAge: invalid}},

		{"5.2.3/extension", "foobar, max-age=1, x=y", CacheControl{MaxAge: seconds(1)}},
		{"5.2.3/quoted_before", `ext="max-age=3600", max-age=1`, CacheControl{MaxAge: seconds(1)}},
		{"5.2.3/quoted_after", `max-age=1, ext="a, max-age=3600, no-store"`, CacheControl{MaxAge: seconds(1)}},
		{"5.2.3/long_name", strings.Repeat("no-store", 9), CacheControl{}},

		{"5.2.2.4/fields", `no-cache="a, Set-cookie"`, CacheControl{NoCacheFields: []string{"A", "Set-Cookie"}}},
		{"5.2.2.4/token", "no-cache=a", CacheControl{NoCacheFields: []string{"A"}}},
		{"5.2.2.4/both", `no-cache="a", no-cache`, CacheControl{NoCache: true, NoCacheFields: []string{"A"}}},
		{"5.2.2.4/no_names", `no-cache=" , "`, CacheControl{NoCache: true}},
		{"5.2.2.4/no_field", `no-cache="a, b c"`, CacheControl{NoCache: true, NoCacheFields: []string{"A"}}},
		{"5.2.2.7/fields", "private=\"a\"\nprivate=\"A, b\"", CacheControl{PrivateFields: []string{"A", "B"}}},
		{"5.2.2.7/open_quote", `private="a`, CacheControl{Private: true}},
		{"5.2.2.7/empty", "private=", CacheControl{Private: true}},

		{"malformed/restricts", "no-store=1, must-revalidate=x", CacheControl{NoStore: true, MustRevalidate: true}},
		{"malformed/does_not_permit", "public=1, immutable=x, must-understand=1", CacheControl{}},
		{"malformed/semicolons", "public; no-store; max-age=60", CacheControl{NoStore: true, MaxAge: invalid}},
		{"malformed/blanks", "public private", CacheControl{Private: true}},
		{"malformed/open_quote", `ext="x, no-store`, CacheControl{NoStore: true}},
		{"malformed/colon", "max-age: 5, no-store", CacheControl{NoStore: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ParseCacheControl(strings.Split(tt.text, "\n")); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseCacheControl(%q) = %+v; want %+v", tt.text, got, tt.want)
			}
		})
	}
}

func TestParseCacheControlAllocs(t *testing.T) {
	for _, s := range []string{
		"no-cache", "max-age=60", "public, max-age=60", `Private, S-MaxAge="5", x="a, b"`, "max-age=60; no-store",
	} {
		lines := []string{s}
		if n := testing.AllocsPerRun(100, func() { ParseCacheControl(lines) }); n != 0 {
			t.Errorf("ParseCacheControl(%q) allocates %v times; want 0", s, n)
		}
	}
}

// A field that is repeated means what it means once, and its elements on lines of their own likewise.
func FuzzParseCacheControl(f *testing.F) {
	for _, s := range []string{
		"public, max-age=60", `no-cache="a, b", private=c`, "max-age= 5; no-store", `ext="x, no-store`, "max-stale, max-stale=5",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cc := ParseCacheControl([]string{s})
		if twice := ParseCacheControl([]string{s, s}); !reflect.DeepEqual(twice, cc) {
			t.Errorf("ParseCacheControl of %q is %+v, and of the same twice %+v", s, cc, twice)
		}
		var elems []string
		for e := range List([]string{s}) {
			elems = append(elems, e)
		}
		if apart := ParseCacheControl(elems); !reflect.DeepEqual(apart, cc) {
			t.Errorf("ParseCacheControl of %q is %+v, and of its elements %+v", s, cc, apart)
		}
		for _, o := range []Opt{cc.MaxAge, cc.SMaxAge, cc.MinFresh, cc.MaxStale, cc.StaleWhileRevalidate, cc.StaleIfError} {
			if o.D < 0 || o.D > MaxDelta || !o.Set && o != (Opt{}) || o.Invalid && o.D != 0 {
				t.Errorf("ParseCacheControl(%q) has the directive %+v", s, o)
			}
		}
	})
}
