package config_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/reprise-go/reprise/cmd/reprise/internal/config"
	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// settings are flags as a command has them.
type settings struct {
	*pflag.FlagSet
	listen   string
	timeout  time.Duration
	requests int
	h2c      bool
	networks []string
}

func flags() *settings {
	s := &settings{FlagSet: pflag.NewFlagSet("proxy", pflag.ContinueOnError)}
	s.StringVar(&s.listen, "listen", ":8080", "")
	s.DurationVar(&s.timeout, "origin-timeout", time.Second, "")
	s.IntVar(&s.requests, "max-origin-requests", 1, "")
	s.BoolVar(&s.h2c, "h2c", false, "")
	s.StringSliceVar(&s.networks, "trusted-proxies", nil, "")
	s.String("config", "", "")
	return s
}

func TestRead(t *testing.T) {
	s := flags()
	if err := s.Parse([]string{"--listen=:1"}); err != nil {
		t.Fatal(err)
	}
	f := config.Read("r.yaml", []byte(`
listen: ":2"
origin_timeout: 5s
max_origin_requests: 7
h2c: true
trusted_proxies: [10.0.0.0/8, 192.0.2.1]
routes:
  /: {stale_if_error: 1h}
  "GET /assets/":
    override_ttl: 24h
    max_body: 16MiB
    vary: accept-language
    cookies: [theme]
    allow_cookies: true
  /plain/:
    standard: false
    ttl: forever
    status_ttl: {404: 5s}
    query_default: {page: 1}
`), s.FlagSet, "config")
	if err := f.Mistakes(nil); err != nil {
		t.Fatal(err)
	}
	if s.listen != ":1" {
		t.Errorf("listen = %q; want what the command line says", s.listen)
	}
	if s.timeout != 5*time.Second || s.requests != 7 || !s.h2c || strings.Join(s.networks, " ") != "10.0.0.0/8 192.0.2.1" {
		t.Errorf("settings = %v, %d, %v, %q; want those of the file", s.timeout, s.requests, s.h2c, s.networks)
	}
	if len(f.Routes) != 3 {
		t.Fatalf("%d routes; want 3", len(f.Routes))
	}
	if r := f.Routes[1]; r.Pattern != "GET /assets/" || len(r.Options) != 4 || strings.Join(r.Keyed, " ") != "Accept-Language Cookie" || r.AllowCookies == nil || !*r.AllowCookies || r.Plain {
		t.Errorf("route = %+v; want four options, Accept-Language and Cookie in the key", r)
	}
	if r := f.Routes[2]; !r.Plain || len(r.Options) != 3 {
		t.Errorf("route = %+v; want three options without Standard", r)
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string // each a part of a line, in order; the line number first
	}{
		{"none", "", nil},
		{"nothing but a comment", "# later\n", nil},
		{"no YAML", "a: [", []string{"r.yaml: yaml: line 1"}},
		{"no mapping", "- a", []string{":1: is not a mapping"}},
		{"unknown", "colour: red", []string{":1: colour: is no setting; there are"}},
		{"nearly known", "lisen: a", []string{":1: lisen: is no setting; did you mean listen?"}},
		{"as flags spell it", "origin-timeout: 5s", []string{":1: origin-timeout: is no setting; did you mean origin_timeout?"}},
		{"not for files", "config: a", []string{":1: config: is no setting"}},
		{"twice", "h2c: true\nlisten: a\nh2c: true", []string{":3: h2c: is there twice, first in line 1"}},
		{"merge", "a: &a {}\n<<: *a", []string{":1: a: is no setting", ":2: merge keys"}},
		{"no value", "listen:", []string{":1: listen: has no value"}},
		{"a list", "listen: [a, b]", []string{":1: listen: is a list"}},
		{"a list of lists", "trusted_proxies: [[a]]", []string{":1: trusted_proxies: is a list"}},
		{"not a duration", "\norigin_timeout: 5", []string{`:2: origin_timeout: "5" is not a duration; write one such as 90s`}},
		{"not a number", "max_origin_requests: 1.5", []string{`:1: max_origin_requests: "1.5" is not a whole number`}},
		{"not a truth", "h2c: maybe", []string{`:1: h2c: "maybe" is neither true nor false`}},
		{"several", "h2c: maybe\nlisten: a\ncolour: red", []string{":1: h2c", ":3: colour"}},
		{"routes, no mapping", "routes: [a]", []string{":1: routes: is not a mapping"}},
		{"pattern", "routes:\n  /a/{x: {}", []string{":2: routes./a/{x: parsing"}},
		{"patterns in conflict", "routes:\n  /{x}/b: {}\n  /a/{y}: {}", []string{`:3: routes./a/{y}: pattern "/a/{y}" conflicts with pattern "/{x}/b"`}},
		{"unknown option", "routes:\n  /a:\n    color: red", []string{":3: routes./a.color: is no option of a route; there are"}},
		{"nearly known option", "routes:\n  /a:\n    overrideTTL: 1h", []string{"did you mean override_ttl?"}},
		{"value of an option", "routes:\n  /a:\n    off: true\n    jitter: 2", []string{":4: routes./a.jitter: 2 is not between"}},
		{"options in conflict", "routes:\n  /a:\n    off: false\n    ttl: 1m", []string{":4: routes./a.ttl: 1m0s has no effect beside standard, which takes lifetimes from the response alone; use override_ttl, or say standard: false"}},
		{"truth of an option", "routes: {/a: {off: yes}}", []string{`routes./a.off: "yes" is neither true nor false`}},
		{"duration of an option", "routes: {/a: {override_ttl: 60}}", []string{`routes./a.override_ttl: "60" is not a duration`}},
		{"size", "routes: {/a: {max_body: 8MB}}", []string{`routes./a.max_body: "8MB" is not a size`}},
		{"status", "routes: {/a: {statuses: [ok]}}", []string{`routes./a.statuses: "ok" is not a status`}},
		{"status with a lifetime", "routes: {/a: {standard: false, status_ttl: {ok: 1m}}}", []string{`routes./a.status_ttl: "ok" is not a status`}},
		{"pair twice", "routes: {/a: {standard: false, status_ttl: {404: 1m, 404: 2m}}}", []string{`routes./a.status_ttl: "404" is there twice`}},
		{"cookies where they are refused", "routes: {/a: {standard: false, allow_cookies: true}}", []string{":1: routes./a.allow_cookies: has no effect beside standard: false; use public"}},
		{"method in small letters", "routes:\n  get /a: {}", []string{`:2: routes.get /a: the method "get" is not in capitals, and methods are told apart by case; write "GET"`}},
		{"host in capitals", "routes:\n  GET Shop.test./a: {}", []string{`:2: routes.GET Shop.test./a: the host "Shop.test." never matches; write "shop.test"`}},
		{"host with a port", "routes:\n  shop.test:80/a: {}", []string{`the host "shop.test:80" never matches; write "shop.test"`}},
		{"no pairs", "routes: {/a: {query_default: 1}}", []string{"routes./a.query_default: is not a mapping"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := config.Read("r.yaml", []byte(tt.text), flags().FlagSet, "config").Mistakes(nil)
			var got []string
			if err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(tt.want) {
				t.Fatalf("mistakes in %q = %q; want %q", tt.text, got, tt.want)
			}
			for i, want := range tt.want {
				if !strings.Contains(got[i], want) {
					t.Errorf("mistake %d in %q = %q; want %q", i, tt.text, got[i], want)
				}
			}
		})
	}
}

// What is found elsewhere has its line too, once.
func TestMistakesFoundElsewhere(t *testing.T) {
	found := errors.Join(
		&proxy.Mistake{Setting: "origin-timeout", Reason: "is not positive"},
		&proxy.Mistake{Setting: "listen", Reason: "is not host:port"},
		&proxy.Mistake{Setting: "origin", Reason: "is missing"},
	)
	f := config.Read("r.yaml", []byte("listen: a\norigin_timeout: 5\n"), flags().FlagSet)
	err := f.Mistakes(found)
	want := []string{"r.yaml:1: listen: is not host:port", `r.yaml:2: origin_timeout: "5" is not a duration; write one such as 90s or 10m`, "origin: is missing"}
	if err == nil || err.Error() != strings.Join(want, "\n") {
		t.Errorf("mistakes = %v; want %q", err, want)
	}
}

// Every option of routes is in the documentation.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/proxy.md")
	if err != nil {
		t.Fatal(err)
	}
	err = config.Read("r.yaml", []byte("routes: {/: {zzzzzz: 1}}"), flags().FlagSet).Mistakes(nil)
	_, names, ok := strings.Cut(err.Error(), "there are ")
	if !ok {
		t.Fatalf("mistakes = %v; want the names of all options", err)
	}
	for name := range strings.SplitSeq(names, ", ") {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("no word of %s in docs/proxy.md", name)
		}
	}
}
