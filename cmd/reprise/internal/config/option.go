package config

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// option is an option of routes that a file can have.
type option struct {
	name, goName string
	apply        func(*proxy.RouteConfig, *yaml.Node) error
}

// options returns the options, by the names of those of package reprise.
func options() []option {
	return []option{
		{"allow_cookies", "AllowCookies", func(rc *proxy.RouteConfig, n *yaml.Node) error {
			on, err := truth(n)
			rc.AllowCookies = &on
			return err
		}},
		{"allow_set_cookie", "AllowSetCookie", func(rc *proxy.RouteConfig, n *yaml.Node) error {
			on, err := truth(n)
			rc.AllowSetCookie = &on
			return err
		}},
		{"any_host", "AnyHost", flag(reprise.AnyHost)},
		{"cache_status", "CacheStatus", onOff(reprise.CacheStatus)},
		{"client_cache_control", "ClientCacheControl", text(reprise.ClientCacheControl)},
		{"client_ttl", "ClientTTL", flag(reprise.ClientTTL)},
		{"cookies", "Cookies", func(rc *proxy.RouteConfig, n *yaml.Node) error {
			names, err := texts(n)
			rc.Keyed = append(rc.Keyed, "Cookie") // all of it that is shown
			rc.Options = append(rc.Options, reprise.Cookies(names...))
			return err
		}},
		{"etag", "ETag", onOff(reprise.ETag)},
		{"fill_timeout", "FillTimeout", duration(reprise.FillTimeout)},
		{"ignore_query_params", "IgnoreQueryParams", list(reprise.IgnoreQueryParams)},
		{"ignore_request_directives", "IgnoreRequestDirectives", flag(reprise.IgnoreRequestDirectives)},
		{"invalidate_on_write", "InvalidateOnWrite", onOff(reprise.InvalidateOnWrite)},
		{"jitter", "Jitter", jitter},
		{"max_body", "MaxBody", maxBody},
		{"methods", "Methods", list(reprise.Methods)},
		{"namespaced", "Namespaced", text(reprise.Namespaced)},
		{"off", "Off", flag(reprise.Off)},
		{"override_ttl", "OverrideTTL", duration(reprise.OverrideTTL)},
		{"public", "Public", flag(reprise.Public)},
		{"query_default", "QueryDefault", queryDefault},
		{"query_params", "QueryParams", list(reprise.QueryParams)},
		{"stale_if_error", "StaleIfError", duration(reprise.StaleIfError)},
		{"stale_while_revalidate", "StaleWhileRevalidate", duration(reprise.StaleWhileRevalidate)},
		{"standard", "Standard", func(rc *proxy.RouteConfig, n *yaml.Node) error {
			on, err := truth(n)
			rc.Plain = !on
			return err
		}},
		{"status_ttl", "StatusTTL", statusTTL},
		{"statuses", "Statuses", statuses},
		{"tags", "Tags", list(reprise.Tags)},
		{"targeted_fields", "TargetedFields", list(reprise.TargetedFields)},
		{"ttl", "TTL", duration(reprise.TTL)},
		{"vary", "Vary", func(rc *proxy.RouteConfig, n *yaml.Node) error {
			names, err := texts(n)
			for _, name := range names {
				rc.Keyed = append(rc.Keyed, http.CanonicalHeaderKey(name))
			}
			rc.Options = append(rc.Options, reprise.Vary(names...))
			return err
		}},
	}
}

func find(name string) *option {
	for _, o := range options() {
		if o.name == name {
			return &o
		}
	}
	return nil
}

func optionNames() (names []string) {
	for _, o := range options() {
		names = append(names, o.name)
	}
	return names
}

// yamlName returns the name in files of a Go option.
func yamlName(goName string) string {
	for _, o := range options() {
		if o.goName == goName {
			return o.name
		}
	}
	return goName
}

// yamlNames replaces the Go names of options, and of Forever, in a text.
func yamlNames(text string) string {
	return regexp.MustCompile(`\b[A-Z]\w+`).ReplaceAllStringFunc(text, func(word string) string {
		if word == "Forever" {
			return "forever"
		}
		return yamlName(word)
	})
}

type apply = func(*proxy.RouteConfig, *yaml.Node) error

func add(rc *proxy.RouteConfig, o reprise.RouteOption) { rc.Options = append(rc.Options, o) }

// flag is an option without a value: true sets it, false leaves it out.
func flag[O reprise.RouteOption](make func() O) apply {
	return func(rc *proxy.RouteConfig, n *yaml.Node) error {
		on, err := truth(n)
		if on {
			add(rc, make())
		}
		return err
	}
}

func onOff(make func(bool) reprise.RouteOption) apply {
	return func(rc *proxy.RouteConfig, n *yaml.Node) error {
		on, err := truth(n)
		if err == nil {
			add(rc, make(on))
		}
		return err
	}
}

func text[O reprise.RouteOption](make func(string) O) apply {
	return func(rc *proxy.RouteConfig, n *yaml.Node) error {
		s, err := scalar(n)
		if err == nil {
			add(rc, make(s))
		}
		return err
	}
}

func list[O reprise.RouteOption](make func(...string) O) apply {
	return func(rc *proxy.RouteConfig, n *yaml.Node) error {
		values, err := texts(n)
		if err == nil {
			add(rc, make(values...))
		}
		return err
	}
}

func duration[O reprise.RouteOption](make func(time.Duration) O) apply {
	return func(rc *proxy.RouteConfig, n *yaml.Node) error {
		d, err := timespan(n)
		if err == nil {
			add(rc, make(d))
		}
		return err
	}
}

func jitter(rc *proxy.RouteConfig, n *yaml.Node) error {
	s, err := scalar(n)
	if err != nil {
		return err
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number; write one such as 0.1", s)
	}
	add(rc, reprise.Jitter(x))
	return nil
}

func maxBody(rc *proxy.RouteConfig, n *yaml.Node) error {
	s, err := scalar(n)
	if err != nil {
		return err
	}
	number, unit := s, int64(1)
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
		}
	}
	bytes, err := strconv.ParseInt(number, 10, 32)
	if err != nil {
		return fmt.Errorf("%q is not a size; write one such as 512KiB or 8MiB", s)
	}
	add(rc, reprise.MaxBody(bytes*unit))
	return nil
}

func queryDefault(rc *proxy.RouteConfig, n *yaml.Node) error {
	return pairs(n, func(name string, value *yaml.Node) error {
		s, err := scalar(value)
		add(rc, reprise.QueryDefault(name, s))
		return err
	})
}

func statusTTL(rc *proxy.RouteConfig, n *yaml.Node) error {
	return pairs(n, func(name string, value *yaml.Node) error {
		code, err := strconv.Atoi(name)
		if err != nil {
			return fmt.Errorf("%q is not a status; write one such as 404: 10s", name)
		}
		d, err := timespan(value)
		if err == nil {
			add(rc, reprise.StatusTTL(code, d))
		}
		return err
	})
}

func statuses(rc *proxy.RouteConfig, n *yaml.Node) error {
	values, err := texts(n)
	if err != nil {
		return err
	}
	codes := make([]int, len(values))
	for i, v := range values {
		if codes[i], err = strconv.Atoi(v); err != nil {
			return fmt.Errorf("%q is not a status; write one such as 404", v)
		}
	}
	add(rc, reprise.Statuses(codes...))
	return nil
}

func pairs(n *yaml.Node, do func(name string, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return errors.New("is not a mapping; write it as lines of key: value")
	}
	var errs []error
	seen := make(map[string]bool)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i].Value
		if seen[name] {
			errs = append(errs, fmt.Errorf("%q is there twice; remove one", name))
		}
		seen[name] = true
		errs = append(errs, do(name, resolved(n.Content[i+1])))
	}
	return errors.Join(errs...)
}

func scalar(n *yaml.Node) (string, error) {
	if n.Kind != yaml.ScalarNode {
		return "", errors.New("is a list or a mapping; write one value")
	}
	if n.Tag == "!!null" {
		return "", errors.New("has no value; give one or remove the line")
	}
	return n.Value, nil
}

// texts reads a list, or one value as a list of one.
func texts(n *yaml.Node) ([]string, error) {
	if n.Kind != yaml.SequenceNode {
		s, err := scalar(n)
		return []string{s}, err
	}
	values := make([]string, 0, len(n.Content))
	for _, item := range n.Content {
		s, err := scalar(resolved(item))
		if err != nil {
			return nil, err
		}
		values = append(values, s)
	}
	return values, nil
}

func truth(n *yaml.Node) (bool, error) {
	s, err := scalar(n)
	switch {
	case err != nil:
		return false, err
	case s == "true":
		return true, nil
	case s == "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

func timespan(n *yaml.Node) (time.Duration, error) {
	s, err := scalar(n)
	if err != nil {
		return 0, err
	}
	if s == "forever" {
		return reprise.Forever, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write one such as 90s, 10m or 24h, or forever", s)
	}
	return d, nil
}
