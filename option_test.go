package reprise_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/internal/subject"
	"github.com/reprise-go/reprise/store"
)

// configErrors returns the mistakes that err joins.
func configErrors(t *testing.T, err error) (all []*reprise.ConfigError) {
	t.Helper()
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("the error is %T; want several, joined", err)
	}
	for _, e := range joined.Unwrap() {
		var c *reprise.ConfigError
		if !errors.As(e, &c) {
			t.Fatalf("%v is %T; want a *ConfigError", e, e)
		}
		all = append(all, c)
	}
	return all
}

// remedies are the words by which a message says what to do.
var remedies = []string{"give ", "remove ", "leave the option out", "use ", "write ", "name ", "Off", "0.1 shortens", "may only stand", "stands between", "has at most", "0 is the default", "another store", "add it"}

// TestOptionMistakes holds every option's bad values: the message names the option, the value and the remedy.
func TestOptionMistakes(t *testing.T) {
	c := open(t, reprise.Config{})
	long := strings.Repeat("x", 1025)
	for _, tt := range []struct {
		opt    reprise.RouteOption
		option string
		value  any
		text   string // in the message
	}{
		{reprise.TTL(-1), "TTL", time.Duration(-1), "TTL(-1ns): is negative"},
		{reprise.TTL(math.MinInt64), "TTL", time.Duration(math.MinInt64), "is negative"},
		{reprise.TTL(60), "TTL", time.Duration(60), "TTL(60ns): is less than a millisecond; a number alone counts nanoseconds: write 60*time.Second"},
		{reprise.OverrideTTL(3600), "OverrideTTL", time.Duration(3600), "OverrideTTL(3.6µs): is less than a millisecond"},
		{reprise.StatusTTL(404, 5), "StatusTTL", time.Duration(5), "is less than a millisecond"},
		{reprise.StaleWhileRevalidate(30), "StaleWhileRevalidate", time.Duration(30), "is less than a millisecond"},
		{reprise.StaleIfError(30), "StaleIfError", time.Duration(30), "is less than a millisecond"},
		{reprise.StaleWhileRevalidate(-time.Second), "StaleWhileRevalidate", -time.Second, "StaleWhileRevalidate(-1s): is negative"},
		{reprise.StaleIfError(-time.Second), "StaleIfError", -time.Second, "StaleIfError(-1s): is negative"},
		{reprise.Jitter(-0.1), "Jitter", -0.1, "Jitter(-0.1): is not between 0 and 0.99"},
		{reprise.Jitter(1), "Jitter", 1.0, "is not between 0 and 0.99"},
		{reprise.Jitter(math.NaN()), "Jitter", math.NaN(), "Jitter(NaN)"},
		{reprise.Tags("a", ""), "Tags", "", `Tags(""): is empty`},
		{reprise.Tags(long), "Tags", long, "has 1025 bytes"},
		{reprise.Namespaced(""), "Namespaced", "", "is empty"},
		{reprise.Namespaced(":a"), "Namespaced", ":a", `Namespaced(":a"): has an empty level`},
		{reprise.Namespaced("a::b"), "Namespaced", "a::b", "has an empty level"},
		{reprise.Namespaced("a:"), "Namespaced", "a:", "has an empty level"},
		{reprise.Namespaced(long[:65]), "Namespaced", long[:65], "has 65 bytes"},
		{reprise.Namespaced(strings.Repeat("я", 30)), "Namespaced", strings.Repeat("я", 30), "of 188 bytes as it stands in keys"},
		{reprise.FillTimeout(0), "FillTimeout", time.Duration(0), "FillTimeout(0s): is not positive"},
		{reprise.FillTimeout(-1), "FillTimeout", time.Duration(-1), "is not positive"},
		{reprise.OverrideTTL(0), "OverrideTTL", time.Duration(0), "is not positive"},
		{reprise.OverrideTTL(-1), "OverrideTTL", time.Duration(-1), "is not positive"},
		{reprise.StatusTTL(404, -1), "StatusTTL", time.Duration(-1), "is negative"},
		{reprise.StatusTTL(0, 1), "StatusTTL", 0, "StatusTTL(0): is not a final status"},
		{reprise.StatusTTL(103, 1), "StatusTTL", 103, "is not a final status"},
		{reprise.StatusTTL(206, 1), "StatusTTL", 206, "is not a final status"},
		{reprise.StatusTTL(304, 1), "StatusTTL", 304, "is not a final status"},
		{reprise.StatusTTL(600, 1), "StatusTTL", 600, "is not a final status"},
		{reprise.TTLFunc(nil), "TTLFunc", nil, "TTLFunc: is nil"},
		{reprise.ClientCacheControl(""), "ClientCacheControl", "", "is not a field value"},
		{reprise.ClientCacheControl("a\r\nSet-Cookie: x"), "ClientCacheControl", "a\r\nSet-Cookie: x", `ClientCacheControl("a\r\nSet-Cookie: x")`},
		{reprise.Vary("Accept", ""), "Vary", "", "is not a field name"},
		{reprise.Vary("*"), "Vary", "*", "or for answers that vary on everything use Off"},
		{reprise.Vary("Accept, Cookie"), "Vary", "Accept, Cookie", "is not a field name"},
		{reprise.Key(nil), "Key", nil, "is nil"},
		{reprise.QueryParams("a", ""), "QueryParams", "", "is empty"},
		{reprise.QueryDefault("", "1"), "QueryDefault", "", "is empty"},
		{reprise.IgnoreQueryParams(""), "IgnoreQueryParams", "", "is not a parameter name"},
		{reprise.IgnoreQueryParams("*_id"), "IgnoreQueryParams", "*_id", "'*' may only stand at its end"},
		{reprise.IgnoreQueryParams("a**"), "IgnoreQueryParams", "a**", "'*' may only stand at its end"},
		{reprise.Cookies(""), "Cookies", "", "is not a cookie name"},
		{reprise.Cookies("theme=dark"), "Cookies", "theme=dark", "is not a cookie name; give the name alone"},
		{reprise.Scheme(nil), "Scheme", nil, "is nil"},
		{reprise.TagsFunc(nil), "TagsFunc", nil, "is nil"},
		{reprise.PerUser(nil), "PerUser", nil, "is nil"},
		{reprise.Before(nil), "Before", nil, "holds a nil middleware"},
		{reprise.Statuses(), "Statuses", nil, "is empty"},
		{reprise.Statuses(200, 304), "Statuses", 304, "Statuses(304): is not a final status"},
		{reprise.Storable(nil), "Storable", nil, "is nil"},
		{reprise.Methods(), "Methods", nil, "is empty"},
		{reprise.Methods("GET", "get"), "Methods", "get", `Methods("get"): is not in capitals`},
		{reprise.Methods("GET POST"), "Methods", "GET POST", "is not a method"},
		{reprise.Methods("OPTIONS"), "Methods", "OPTIONS", "cannot be cached"},
		{reprise.TargetedFields("Cache-Control"), "TargetedFields", "Cache-Control", "is not a targeted field"},
		{reprise.TargetedFields("CDN-Cache-Control", "Surrogate Control"), "TargetedFields", "Surrogate Control", "is not a targeted field"},
		{reprise.MaxBody(0), "MaxBody", int64(0), "is not between 1 byte and 2 GiB"},
		{reprise.MaxBody(1 << 31), "MaxBody", int64(1 << 31), "is not between 1 byte and 2 GiB"},
		{reprise.SkipIf(nil), "SkipIf", nil, "is nil"},
		{reprise.Detach(nil), "Detach", nil, "is nil"},
		{nil, "RouteOption", nil, "holds a nil option"},
		{reprise.RouteOptions(reprise.ClientTTL(), nil), "RouteOptions", nil, "holds a nil option"},
		{reprise.Policies(nil), "Policies", nil, "holds a nil option"},
		{reprise.RouteOptions(reprise.Policies(reprise.TTL(-1))), "TTL", time.Duration(-1), "is negative"},
	} {
		_, err := c.NewRoute(tt.opt)
		if err == nil {
			t.Errorf("%s(%v): no error", tt.option, tt.value)
			continue
		}
		all := configErrors(t, err)
		e := all[0]
		nan := tt.value != tt.value // NaN alone is not itself
		if len(all) != 1 || e.Option != tt.option || e.Value != tt.value && !nan {
			t.Errorf("NewRoute: %q with Option %q, Value %v; want one with %q, %v", err, e.Option, e.Value, tt.option, tt.value)
		}
		text := err.Error()
		if !strings.HasPrefix(text, "reprise: "+tt.option) || !strings.Contains(text, tt.text) {
			t.Errorf("NewRoute: %q; want the option %q and %q", text, tt.option, tt.text)
		}
		if !slices.ContainsFunc(remedies, func(r string) bool { return strings.Contains(e.Reason, r) }) {
			t.Errorf("%q does not say what to do", text)
		}
	}
}

// TestOptionConflicts holds mistakes that no option makes alone, and combinations that look like one and are none.
func TestOptionConflicts(t *testing.T) {
	user := func(*http.Request) (string, error) { return "x", nil }
	ttl := func(int, http.Header) time.Duration { return time.Hour }
	c := open(t, reprise.Config{})
	for _, tt := range []struct {
		name   string
		option string // at fault; "" if it is none
		opts   []reprise.RouteOption
	}{
		{"all and one", "Public", []reprise.RouteOption{reprise.Public(), reprise.PerUser(user)}},
		{"a default that is in no key", "QueryDefault", []reprise.RouteOption{reprise.QueryParams("a"), reprise.QueryDefault("b", "1")}},
		{"a default in the key", "", []reprise.RouteOption{reprise.QueryDefault("a", "1"), reprise.QueryParams("a")}},
		{"ignored twice", "IgnoreQueryParams", []reprise.RouteOption{reprise.QueryParams("a"), reprise.IgnoreQueryParams("b")}},
		{"a prefix ignored twice", "IgnoreQueryParams", []reprise.RouteOption{reprise.IgnoreQueryParams("utm_*"), reprise.QueryParams()}},
		{"tags", "Tags", []reprise.RouteOption{reprise.Tags(slices.Repeat([]string{"a"}, 200)...), reprise.Tags(slices.Repeat([]string{"b"}, 57)...)}},
		{"TTL by the RFC", "TTL", []reprise.RouteOption{reprise.Standard(), reprise.TTL(time.Hour)}},
		{"StatusTTL by the RFC", "StatusTTL", []reprise.RouteOption{reprise.StatusTTL(404, time.Hour), reprise.Standard()}},
		{"TTLFunc by the RFC", "TTLFunc", []reprise.RouteOption{reprise.Standard(), reprise.TTLFunc(ttl)}},
		{"OverrideTTL by the RFC", "", []reprise.RouteOption{reprise.Standard(), reprise.OverrideTTL(time.Hour)}},
		{"two words for clients", "ClientTTL", []reprise.RouteOption{reprise.ClientTTL(), reprise.ClientCacheControl("no-cache")}},
		{"public with cookies", "", []reprise.RouteOption{reprise.Public(), reprise.Cookies("theme")}},
		{"off and on again", "", []reprise.RouteOption{reprise.Off(), reprise.TTL(time.Hour)}},
		{"no cookies at all", "", []reprise.RouteOption{reprise.Cookies()}},
		{"nothing", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.NewRoute(tt.opts...)
			if tt.option == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			if all := configErrors(t, err); len(all) != 1 || all[0].Option != tt.option {
				t.Errorf("NewRoute: %v; want one mistake, of %s", err, tt.option)
			}
		})
	}
	t.Run("Standard beside the defaults of the application", func(t *testing.T) {
		c := open(t, reprise.Config{
			Defaults:      []reprise.Policy{reprise.TTL(time.Hour)},
			RouteDefaults: []reprise.RouteOption{reprise.StatusTTL(404, time.Second), reprise.TTLFunc(ttl)},
		})
		if _, err := c.NewRoute(reprise.Standard()); err != nil {
			t.Error(err)
		}
	})
}

// TestOptionMistakeShort holds that a mistake is told without all of a long value.
func TestOptionMistakeShort(t *testing.T) {
	_, err := open(t, reprise.Config{}).NewRoute(reprise.Tags(strings.Repeat("é", 1000)))
	want := `reprise: Tags("` + strings.Repeat("é", 50) + `…"): has 2000 bytes; a tag has at most 1024`
	if err == nil || err.Error() != want {
		t.Errorf("NewRoute = %v; want %s", err, want)
	}
}

// TestOptionMistakesAtOnce holds that every mistake is told at once, and by Wrap and its like as a panic.
func TestOptionMistakesAtOnce(t *testing.T) {
	c := open(t, reprise.Config{})
	bad := []reprise.RouteOption{
		reprise.TTL(-1), nil, reprise.Jitter(2), reprise.Vary("*"), reprise.Public(), reprise.PerUser(nil), reprise.MaxBody(-1),
		reprise.QueryParams("a"), reprise.IgnoreQueryParams("b"),
	}
	want := []string{"TTL", "RouteOption", "Jitter", "Vary", "PerUser", "MaxBody", "IgnoreQueryParams"}
	_, err := c.NewRoute(bad...)
	var got []string
	for _, e := range configErrors(t, err) {
		got = append(got, e.Option)
	}
	if !slices.Equal(got, want) {
		t.Errorf("NewRoute: mistakes of %q; want %q", got, want)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(want) {
		t.Errorf("NewRoute: %q; want a line for each mistake", err)
	}

	handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for name, wrap := range map[string]func(){
		"Wrap":       func() { c.Wrap(handler, bad...) },
		"WrapFunc":   func() { c.WrapFunc(handler, bad...) },
		"Middleware": func() { c.Middleware(bad...) },
	} {
		v := recovered(wrap)
		if e, ok := v.(error); !ok || e.Error() != err.Error() {
			t.Errorf("%s panicked with %v; want what NewRoute returns", name, v)
		}
	}
	deep := strings.Repeat("x", 64)
	for name, wrap := range map[string]func(){
		"Wrap(nil)":     func() { c.Wrap(nil) },
		"WrapFunc(nil)": func() { c.WrapFunc(nil) },
		"Middleware":    func() { c.Middleware()(nil) },
		"Before":        func() { c.Wrap(handler, reprise.Before(func(http.Handler) http.Handler { return nil })) },
		"Namespace":     func() { c.Namespace("") },
		"Namespaces":    func() { c.Namespace(deep).Namespace(deep).Namespace(deep) },
	} {
		v := recovered(wrap)
		var ce *reprise.ConfigError
		if err, ok := v.(error); !ok || !errors.As(err, &ce) {
			t.Errorf("%s panicked with %v; want a *ConfigError at start-up", name, v)
		}
	}
}

func recovered(fn func()) (v any) {
	defer func() { v = recover() }()
	fn()
	return nil
}

// TestLimitMistakes: 250 is 250 nanoseconds, and a record has a limit of its own.
func TestLimitMistakes(t *testing.T) {
	_, err := reprise.New(reprise.Config{Limits: reprise.Limits{StoreTimeout: 250, FieldBytes: 1<<20 + 1}})
	for _, want := range []string{
		"Config.Limits.StoreTimeout(250ns): is less than a millisecond",
		"Config.Limits.FieldBytes(1048577): is more than a record can hold; give at most 1048576",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v; want %q", err, want)
		}
	}
}

// TestConfigMistakes holds every field of Config, all at once.
func TestConfigMistakes(t *testing.T) {
	_, err := reprise.New(reprise.Config{
		Namespace:       "a::b",
		NamespacePolicy: 7,
		Defaults:        []reprise.Policy{reprise.TTL(-1), nil},
		RouteDefaults:   []reprise.RouteOption{reprise.Vary("*"), nil, reprise.Public(), reprise.PerUser(func(*http.Request) (string, error) { return "", nil })},
		StatusHeader:    reprise.StatusHeader{Name: "X Cache", Hit: "HIT\n", Miss: " "},
		Limits: reprise.Limits{
			StoreTimeout: -1, FillBytes: -1, FieldBytes: -1, Variants: -1, Followers: -1, Ranges: -1, Refreshes: -1,
		},
	})
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		"Config.Namespace", "Config.NamespacePolicy", "Config.StatusHeader.Name", "Config.StatusHeader", "Config.StatusHeader",
		"Config.Limits.StoreTimeout", "Config.Limits.FillBytes", "Config.Limits.FieldBytes", "Config.Limits.Variants",
		"Config.Limits.Followers", "Config.Limits.Ranges", "Config.Limits.Refreshes",
		"TTL", "Config.Defaults", "Vary", "Config.RouteDefaults", "Public",
	}
	var got []string
	for _, e := range configErrors(t, err) {
		got = append(got, e.Option)
		if !slices.ContainsFunc(remedies, func(r string) bool { return strings.Contains(e.Reason, r) }) {
			t.Errorf("%q does not say what to do", e)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("New: mistakes of\n%q; want\n%q", got, want)
	}
	if v := recovered(func() { reprise.Must(nil, err) }); v != any(err) {
		t.Errorf("Must panicked with %v", v)
	}
}

// plain hides what a store can do beside the three methods.
type plain struct{ store.Store }

// TestOptionNeedsSequencer refuses tags where nothing could invalidate by them.
func TestOptionNeedsSequencer(t *testing.T) {
	c := open(t, reprise.Config{Store: plain{subject.NewShared()}})
	_, err := c.NewRoute(reprise.Tags("a"))
	var e *reprise.ConfigError
	if !errors.As(err, &e) || e.Option != "Tags" || !strings.Contains(e.Reason, "store.Sequencer") {
		t.Errorf("NewRoute(Tags) = %v; want a *ConfigError that names the ability", err)
	}
	for name, call := range map[string]func() error{
		"InvalidateTags": func() error { return c.InvalidateTags(t.Context(), "a") },
		"InvalidateURLs": func() error { return c.InvalidateURLs(t.Context(), "/a") },
		"Clear":          func() error { return c.Clear(t.Context()) },
		"Entries": func() error {
			for _, err := range c.Entries(t.Context(), "") {
				return err
			}
			return nil
		},
	} {
		if err := call(); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s = %v; want errors.ErrUnsupported", name, err)
		}
	}
}

// TestDefaults holds what a route does that says nothing, and that later options win over earlier ones.
func TestDefaults(t *testing.T) {
	var events []reprise.Event
	c := open(t, reprise.Config{
		Observe:  func(_ context.Context, e reprise.Event) { events = append(events, e) },
		Defaults: []reprise.Policy{reprise.TTL(time.Hour), reprise.Tags("all")},
	})
	hello := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }
	for _, tt := range []struct {
		name string
		want time.Duration
		opts []reprise.RouteOption
	}{
		{"config", time.Hour, nil},
		{"route", time.Minute, []reprise.RouteOption{reprise.TTL(time.Minute)}},
		{"later", time.Second, []reprise.RouteOption{reprise.TTL(time.Minute), reprise.TTL(time.Second)}},
		{"preset", time.Second, []reprise.RouteOption{reprise.Policies(reprise.TTL(time.Minute), reprise.TTL(time.Second))}},
		{"override", time.Second, []reprise.RouteOption{reprise.OverrideTTL(time.Second), reprise.TTL(time.Minute)}},
		{"status", time.Second, []reprise.RouteOption{reprise.StatusTTL(200, time.Second)}},
		{"forever", reprise.Forever, []reprise.RouteOption{reprise.TTL(reprise.Forever)}},
	} {
		h := c.WrapFunc(hello, append(tt.opts, reprise.Namespaced(tt.name))...)
		get(h, "/a")
		get(h, "/a")
		e := events[len(events)-1]
		if e.Outcome != reprise.Hit || e.TTL > tt.want || e.TTL < tt.want-time.Second {
			t.Errorf("%s: %s with %v left; want a hit with %v", tt.name, e.Outcome, e.TTL, tt.want)
		}
		if entry, err := c.Entry(t.Context(), e.Key); err != nil || !slices.Equal(entry.Tags, []string{"all"}) {
			t.Errorf("%s: entry %+v, %v; want the tag of Config.Defaults", tt.name, entry, err)
		}
	}
	off := c.WrapFunc(hello, reprise.TTL(time.Hour), reprise.Off())
	if w := get(off, "/off"); w.Header().Get("X-Cache") != "" || w.Header().Get("Cache-Status") != "" {
		t.Errorf("Off: the answer has %v", w.Header())
	}
}
