package header

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseTargeted(t *testing.T) {
	for _, tt := range []struct {
		name string
		text string // lines
		want CacheControl
		ok   bool
	}{
		{"RFC9213/2.1/max-age", "max-age=3600", CacheControl{MaxAge: seconds(3600)}, true},
		{"RFC9213/2.1/zero", "max-age=0", CacheControl{MaxAge: seconds(0)}, true},
		{"RFC9213/2.1/2^31", "max-age=2147483648", CacheControl{MaxAge: seconds(1 << 31)}, true},
		{"RFC9213/2.1/overflow", "max-age=99999999999", CacheControl{MaxAge: seconds(1 << 31)}, true},
		{"RFC9213/2.1/flags", "no-store, private, no-cache", CacheControl{NoStore: true, Private: true, NoCache: true}, true},
		{"RFC9213/2.1/lines", "public\nmax-age=1", CacheControl{Public: true, MaxAge: seconds(1)}, true},
		{"RFC9213/2.1/extension", "foobar, max-age=3600", CacheControl{MaxAge: seconds(3600)}, true},
		{"RFC9213/2.1/unknown_only", "foo", CacheControl{}, true},
		{"RFC9213/2.1/last_counts", "max-age=1, max-age=2", CacheControl{MaxAge: seconds(2)}, true},
		{"RFC9213/2.1/parameters", "max-age=1;x=y", CacheControl{MaxAge: seconds(1)}, true},
		{"RFC9213/2.1/false", "no-store=?0, private=?1", CacheControl{Private: true}, true},
		{"RFC9213/2.1/fields", `no-cache="a, b", private=c`, CacheControl{
			NoCacheFields: []string{"A", "B"}, PrivateFields: []string{"C"},
		}, true},
		{"RFC9213/2.1/windows", "stale-while-revalidate=1, stale-if-error=2, s-maxage=3", CacheControl{
			StaleWhileRevalidate: seconds(1), StaleIfError: seconds(2), SMaxAge: seconds(3),
		}, true},
		{"doubt/restricts", "private=5, no-store=(a b), no-cache=1.5", CacheControl{NoStore: true, NoCache: true, Private: true}, true},
		{"doubt/does_not_permit", "public=5, immutable=a", CacheControl{}, true},

		{"RFC9213/2.1/absent", "", CacheControl{}, false},
		{"RFC9213/2.1/unknown_type", "max-age=10000, &&&&&", CacheControl{}, false},
		{"RFC9213/2.1/string", `max-age="10000"`, CacheControl{}, false},
		{"RFC9213/2.1/decimal", "s-maxage=10.5", CacheControl{}, false},
		{"RFC9213/2.1/negative", "max-age=-1", CacheControl{}, false},
		{"RFC9213/2.1/no_value", "no-store, max-age", CacheControl{}, false},
		{"RFC9213/2.1/inner_list", "stale-if-error=(1 2)", CacheControl{}, false},
		{"RFC9213/2.1/case", "MaX-aGe=3600", CacheControl{}, false},
		{"RFC9213/2.1/blank_before_equals", "max-age =100", CacheControl{}, false},
		{"RFC9213/2.1/blank_after_equals", "max-age= 100", CacheControl{}, false},
		{"RFC9213/2.1/trailing_comma", "max-age=100,", CacheControl{}, false},
		{"RFC9213/2.1/too_long_integer", "max-age=1000000000000000", CacheControl{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := ParseTargeted(strings.Split(tt.text, "\n"))
			if ok != tt.ok || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParseTargeted(%q) = %+v, %v; want %+v, %v", tt.text, got, ok, tt.want, tt.ok)
			}
		})
	}
	if _, ok := ParseTargeted(nil); ok {
		t.Error("ParseTargeted(nil) = _, true; want false")
	}
}

func FuzzParseTargeted(f *testing.F) {
	for _, s := range []string{"max-age=3600, private", `no-cache="a, b"`, "max-age=-1", "x=(a b);c=?0, y=@5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		cc, ok := ParseTargeted([]string{s})
		if !ok && !reflect.DeepEqual(cc, CacheControl{}) {
			t.Errorf("ParseTargeted(%q) = %+v, false", s, cc)
		}
		for _, o := range []Opt{cc.MaxAge, cc.SMaxAge, cc.StaleWhileRevalidate, cc.StaleIfError} {
			if o.D < 0 || o.D > MaxDelta || o.Invalid || !o.Set && o.D != 0 {
				t.Errorf("ParseTargeted(%q) has the directive %+v", s, o)
			}
		}
	})
}
