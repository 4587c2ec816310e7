package reprise_test

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
)

// funcKeyOf returns the key of a function of K, without its namespace and name.
func funcKeyOf[K any](t *testing.T, key K, opts ...reprise.FuncOption) string {
	t.Helper()
	f := newFunc(t, open(t, reprise.Config{}), "f", func(context.Context, K) (int, error) { return 0, nil }, opts...)
	at, err := f.Key(key)
	if err != nil {
		t.Fatal(err)
	}
	rest, ok := strings.CutPrefix(at, "reprise|~f:f")
	if !ok {
		t.Fatalf("Key = %q; want it to begin with the namespace, the kind and the name", at)
	}
	return rest
}

func newFunc[K, V any](t testing.TB, c *reprise.Cache, name string, load func(context.Context, K) (V, error), opts ...reprise.FuncOption) *reprise.Func[K, V] {
	t.Helper()
	f, err := reprise.NewFunc(c, name, load, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

type (
	userID  int64
	address struct{ Street, City string }
	person  struct {
		ID   userID
		name string
		Home address
		_    int
	}
)

func TestFuncKey(t *testing.T) {
	berlin := time.FixedZone("Europe/Berlin", 3600)
	for _, tt := range []struct{ name, got, want string }{
		{"string", funcKeyOf(t, "a|b ~ü"), "|a^7Cb^20^7E^C3^BC"},
		{"empty string", funcKeyOf(t, ""), "|"},
		{"int", funcKeyOf(t, -5), "|~i:-5"},
		{"named int", funcKeyOf(t, userID(7)), "|~i:7"},
		{"duration", funcKeyOf(t, time.Second), "|~i:1000000000"},
		{"uint64", funcKeyOf(t, uint64(math.MaxUint64)), "|~i:18446744073709551615"},
		{"float", funcKeyOf(t, 1e300), "|~d:1e+300"},
		{"negative zero", funcKeyOf(t, math.Copysign(0, -1)), "|~d:-0"},
		{"NaN", funcKeyOf(t, math.NaN()), "|~d:NaN"},
		{"complex", funcKeyOf(t, complex(1, -2)), "|~d:1|~d:-2"},
		{"bool", funcKeyOf(t, true), "|~t:true"},
		{"time", funcKeyOf(t, time.Unix(1, 5).UTC()), "|~m:1.5,0,UTC"},
		{"time elsewhere", funcKeyOf(t, time.Unix(1, 5).In(berlin)), "|~m:1.5,3600,Europe/Berlin"},
		{"bytes", funcKeyOf(t, [3]byte{0, 10, 255}), "|~s:ae6d1e48|~x:000AFF"},
		{"KeyBy", funcKeyOf(t, []string{"a", "b"}, reprise.KeyBy(func(b *reprise.KeyBuilder, key []string) {
			for _, s := range key {
				b.Text(s)
			}
		})), "|~k|a|b"},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: key %q; want %q", tt.name, tt.got, tt.want)
		}
	}

	whole := funcKeyOf(t, person{7, "x", address{"s", "c"}, 9})
	if _, rest, _ := strings.Cut(strings.TrimPrefix(whole, "|~s:"), "|"); rest != "~i:7|x|s|c" {
		t.Errorf("struct: key %q; want its fields in order", whole)
	}
	type renamed struct{ City, Street string }
	if a, b := funcKeyOf(t, address{"x", "y"}), funcKeyOf(t, renamed{"x", "y"}); a == b {
		t.Errorf("structs whose fields mean different things have one key %q", a)
	}
	long := funcKeyOf(t, strings.Repeat("x", 500))
	if len(long) != 200-len("reprise|~f:f") || !strings.Contains(long, "^^") {
		t.Errorf("long: key %q; want 200 bytes with a digest", long)
	}
	if other := funcKeyOf(t, strings.Repeat("x", 501)); other == long {
		t.Error("two long keys are one")
	}
}

// TestFuncKeyAfterLong: a key that had to be shortened, into the prefix of all keys, leaves nothing to the next one.
func TestFuncKeyAfterLong(t *testing.T) {
	load := func(context.Context, string) (int, error) { return 0, nil }
	for _, name := range []string{"f", strings.Repeat("|", 45), strings.Repeat("|", 55), strings.Repeat("|", 64)} { // each | is three bytes
		key := func(f *reprise.Func[string, int], s string) string {
			t.Helper()
			at, err := f.Key(s)
			if err != nil {
				t.Fatal(err)
			}
			return at
		}
		fresh := func() *reprise.Func[string, int] { return newFunc(t, open(t, reprise.Config{}), name, load) }
		f := fresh()
		for range 3 {
			for _, s := range []string{strings.Repeat("x", 500), "a", strings.Repeat("y", 300), "b"} {
				if got, want := key(f, s), key(fresh(), s); got != want {
					t.Errorf("name of %d bytes, after other keys: %q; want %q", len(name), got, want)
				}
			}
		}
	}
}

// FuzzFuncKey: two arguments that are not equal never have one key.
func FuzzFuncKey(f *testing.F) {
	type key struct {
		A, B string
		N    int
		L    [2]string
	}
	f.Add("a", "b-c", 1, "a-b", "c", 1)
	f.Add("a|", "", 1, "a", "|", 1)
	f.Add("^7C", "", 0, "|", "", 0)
	f.Add("~i:1", "", 0, "", "~i:1", 0)
	c := reprise.Must(reprise.New(reprise.Config{}))
	f.Cleanup(func() { _ = c.Close() })
	fn, err := reprise.NewFunc(c, "f", func(context.Context, key) (int, error) { return 0, nil })
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, a1, b1 string, n1 int, a2, b2 string, n2 int) {
		k1, k2 := key{a1, b1, n1, [2]string{b1, a1}}, key{a2, b2, n2, [2]string{b2, a2}}
		at1, err1 := fn.Key(k1)
		at2, err2 := fn.Key(k2)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if (k1 == k2) != (at1 == at2) {
			t.Errorf("Key(%q) = %q, Key(%q) = %q", k1, at1, k2, at2)
		}
		if len(at1) > 200 || strings.ContainsFunc(at1, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			t.Errorf("Key(%q) = %q; want at most 200 printable bytes", k1, at1)
		}
	})
}

func TestFuncKeyFails(t *testing.T) {
	failure := errors.New("no key")
	for _, tt := range []struct {
		name string
		fn   func(*reprise.KeyBuilder, int)
		want string
	}{
		{"error", func(b *reprise.KeyBuilder, _ int) { b.Fail(failure) }, "no key"},
		{"panic", func(*reprise.KeyBuilder, int) { panic("boom") }, "panicked: boom"},
		{"nothing", func(*reprise.KeyBuilder, int) {}, "added nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var events []reprise.Event
			c := open(t, reprise.Config{Observe: func(_ context.Context, e reprise.Event) { events = append(events, e) }})
			n := 0
			f := newFunc(t, c, "f", func(context.Context, int) (int, error) { n++; return n, nil }, reprise.KeyBy(tt.fn))
			for want := 1; want <= 2; want++ {
				if v, err := f.Get(t.Context(), 1); v != want || err != nil {
					t.Errorf("Get = %d, %v; want %d from the loader", v, err, want)
				}
			}
			for _, e := range events {
				if e.Outcome != reprise.Bypass || e.Reason != reprise.ReasonKeyFailed || e.Err == nil || !strings.Contains(e.Err.Error(), tt.want) {
					t.Errorf("event %+v; want a bypass because %q", e, tt.want)
				}
			}
			if len(events) != 2 {
				t.Errorf("%d events; want 2", len(events))
			}
			if _, err := f.Key(1); err == nil {
				t.Error("Key = nil error")
			}
			if _, err := f.Delete(t.Context(), 1); err == nil {
				t.Error("Delete = nil error")
			}
			if err := f.Set(t.Context(), 1, 1); err == nil {
				t.Error("Set = nil error")
			}
			if values, err := f.GetMany(t.Context(), []int{1, 2}); err != nil || !reflect.DeepEqual(values, []int{3, 4}) {
				t.Errorf("GetMany = %v, %v; want 3, 4 from the loader", values, err)
			}
			if v, err := f.Refresh(t.Context(), 1); v != 5 || err != nil {
				t.Errorf("Refresh = %d, %v; want 5", v, err)
			}
		})
	}
}

// loader is one that is never called.
func loader[K, V any](context.Context, K) (v V, err error) { return v, err }

func TestFuncConfig(t *testing.T) {
	type private struct {
		Since time.Time
		until time.Time //nolint:unused // private is what it is for
	}
	type bad struct {
		Name string
		Tags []string
		In   struct{ Next *int }
	}
	c := open(t, reprise.Config{})
	newFunc(t, c, "taken", loader[int, int])
	newFunc(t, c, "taken", loader[int, int], reprise.Namespaced("elsewhere"))
	newFunc(t, c.Namespace("handle"), "taken", loader[int, int])
	bare := open(t, reprise.Config{Store: bytesOnly(t)})
	for _, tt := range []struct {
		name string
		make func() (any, error)
		want []string // in the messages, in order
	}{
		{"pointer", func() (any, error) { return reprise.NewFunc(c, "f", loader[*int, int]) }, []string{"*int: a *int is no part of a key"}},
		{"interface", func() (any, error) { return reprise.NewFunc(c, "f", loader[any, int]) }, []string{"a interface {} is no part"}},
		{"context", func() (any, error) { return reprise.NewFunc(c, "f", loader[struct{ C context.Context }, int]) }, []string{".C: a context.Context"}},
		{"fields", func() (any, error) { return reprise.NewFunc(c, "f", loader[bad, int]) }, []string{"bad.Tags: a []string", "bad.In.Next: a *int"}},
		{"array", func() (any, error) { return reprise.NewFunc(c, "f", loader[[2]func(), int]) }, []string{"[2]func()[]: a func()"}},
		{"unexported time", func() (any, error) { return reprise.NewFunc(c, "f", loader[private, int]) }, []string{"private.until: a time in an unexported field"}},
		{"name twice", func() (any, error) { return reprise.NewFunc(c, "taken", loader[int, string]) }, []string{`NewFunc("taken"): is the name of another function`}},
		{"no name", func() (any, error) { return reprise.NewFunc(c, "", loader[int, int]) }, []string{"is no name"}},
		{"no loader", func() (any, error) { return reprise.NewFunc[int, int](c, "f", nil) }, []string{"has no loader"}},
		{"no cache", func() (any, error) { return reprise.NewFunc(nil, "f", loader[int, int]) }, []string{"the cache is nil"}},
		{"nil option", func() (any, error) { return reprise.NewFunc(c, "f", loader[int, int], nil) }, []string{"nil option"}},
		{"types", func() (any, error) {
			return reprise.NewFunc(c, "f", loader[int, int],
				reprise.KeyBy(func(*reprise.KeyBuilder, string) {}),
				reprise.SkipValue(func(string) bool { return false }),
				reprise.CloneWith(func(s string) string { return s }),
				reprise.SizeOf(func(string) int64 { return 0 }),
				reprise.LoadMany(func(context.Context, []string) (map[string]int, error) { return nil, nil }))
		}, []string{
			"LoadMany: has other types than the function: it is a func(context.Context, []string) (map[string]int, error) and has to be a func(context.Context, []int) (map[int]int, error)",
			"KeyBy: has other types", "SkipValue: has other types", "CloneWith: has other types", "SizeOf: has other types",
		}},
		{"nil functions", func() (any, error) {
			return reprise.NewFunc(c, "f", loader[int, int],
				reprise.KeyBy[int](nil), reprise.SkipValue[int](nil), reprise.CloneWith[int](nil), reprise.SizeOf[int](nil),
				reprise.LoadMany[int, int](nil), reprise.UseCodec(nil))
		}, []string{"KeyBy: is nil", "SkipValue: is nil", "CloneWith: is nil", "SizeOf: is nil", "LoadMany: is nil", "UseCodec: is nil"}},
		{"values", func() (any, error) {
			return reprise.NewFunc(c, "f", loader[int, int], reprise.TTL(-1), reprise.ErrorTTL(-1), reprise.RefreshAhead(1))
		}, []string{"TTL(-1ns)", "ErrorTTL(-1ns)", "RefreshAhead(1)"}},
		{"no unit", func() (any, error) {
			return reprise.NewFunc(c, "f", loader[int, int], reprise.TTL(60), reprise.ErrorTTL(1))
		}, []string{"TTL(60ns): is less than a millisecond", "ErrorTTL(1ns): is less than a millisecond"}},
		{"tags without numbers", func() (any, error) { return reprise.NewFunc(bare, "f", loader[int, int], reprise.Tags("t")) }, []string{`Tags("t"): needs a store`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.make()
			var config *reprise.ConfigError
			if !errors.As(err, &config) {
				t.Fatalf("NewFunc = %v; want a *ConfigError", err)
			}
			rest := err.Error()
			for _, want := range tt.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("NewFunc = %q; want %q in it", err, want)
				}
				rest = after
			}
		})
	}

	// A function that was refused has not taken the name.
	newFunc(t, c, "f", loader[int, int])
	defer func() {
		if err, ok := recover().(error); !ok || !strings.Contains(err.Error(), "another function") {
			t.Errorf("Memoize panicked with %v; want the error of NewFunc", err)
		}
	}()
	reprise.Memoize(c, "f", loader[int, int])
}
