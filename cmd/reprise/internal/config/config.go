// Package config reads the file of reprise proxy. Its settings are the flags of the command under the same names, with _ for
// -, and the options of routes under the names of the Go options. What is unknown is a mistake, and every mistake has its line.
package config

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/cmd/reprise/internal/proxy"
)

// Mistake is one thing that is wrong with a file.
type Mistake struct {
	File   string
	Line   int
	Where  string // "listen", or "routes./assets/.override_ttl"
	Reason string
}

func (m *Mistake) Error() string {
	where := m.Where
	if where != "" {
		where += ": "
	}
	return fmt.Sprintf("%s:%d: %s%s", m.File, m.Line, where, m.Reason)
}

// File is what a file says beside the flags that it sets.
type File struct {
	Routes []proxy.RouteConfig

	name  string
	lines map[string]int // of the settings, as flags name them
	errs  []error
	torn  bool // it is no YAML, so that nobody knows what it says
}

// Read reads text, the content of the file of that name, and gives the flags the values that it has for those of them
// that the command line has not set. Flags that a file does not set are named in except. [File.Mistakes] says what is wrong.
func Read(name string, text []byte, flags *pflag.FlagSet, except ...string) *File {
	f := &File{name: name, lines: make(map[string]int)}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		f.errs, f.torn = append(f.errs, fmt.Errorf("%s: %w", name, err)), true
		return f
	}
	if len(doc.Content) == 0 {
		return f
	}
	f.each(doc.Content[0], "", func(key, value *yaml.Node) {
		if key.Value == "routes" {
			f.routes(value)
			return
		}
		f.setting(key, value, flags, except)
	})
	return f
}

// Mistakes returns what is wrong with the file and, found elsewhere, with the settings that it gives: by line, joined. A
// setting that could not be read is not found fault with again.
func (f *File) Mistakes(found error) error {
	errs := slices.Clone(f.errs)
	if f.torn {
		return errors.Join(errs...)
	}
	for _, err := range flatten(found) {
		var m *proxy.Mistake
		if errors.As(err, &m) && f.lines[m.Setting] > 0 {
			where := strings.ReplaceAll(m.Setting, "-", "_")
			if slices.ContainsFunc(f.errs, func(e error) bool {
				var own *Mistake
				return errors.As(e, &own) && own.Where == where
			}) {
				continue
			}
			err = &Mistake{f.name, f.lines[m.Setting], where, m.Reason}
		}
		errs = append(errs, err)
	}
	slices.SortStableFunc(errs, func(a, b error) int { return line(a) - line(b) })
	return errors.Join(errs...)
}

// line returns where a mistake is made; what is in no line of the file comes last.
func line(err error) int {
	var m *Mistake
	if errors.As(err, &m) {
		return m.Line
	}
	return math.MaxInt
}

func (f *File) fail(n *yaml.Node, where, format string, args ...any) {
	f.errs = append(f.errs, &Mistake{f.name, n.Line, where, fmt.Sprintf(format, args...)})
}

// each calls do for every key of a mapping.
func (f *File) each(n *yaml.Node, where string, do func(key, value *yaml.Node)) {
	n = resolved(n)
	if n.Kind != yaml.MappingNode {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!null" {
			f.fail(n, where, "is not a mapping; write it as lines of key: value")
		}
		return
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			f.fail(key, where, "a key is not a plain value")
		case key.Tag == "!!merge":
			f.fail(key, where, "merge keys are not supported; repeat what they hold")
		case seen[key.Value] > 0:
			f.fail(key, join(where, key.Value), "is there twice, first in line %d; remove one", seen[key.Value])
		default:
			seen[key.Value] = key.Line
			do(key, resolved(value))
		}
	}
}

// resolved follows an alias. An alias cannot refer to what it is in: the parser refuses that.
func resolved(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

func join(where, key string) string {
	if where == "" {
		return key
	}
	return where + "." + key
}

// setting gives one flag its value.
func (f *File) setting(key, value *yaml.Node, flags *pflag.FlagSet, except []string) {
	name := strings.ReplaceAll(key.Value, "_", "-")
	flag := flags.Lookup(name)
	if flag == nil || strings.Contains(key.Value, "-") || slices.Contains(except, name) {
		f.fail(key, key.Value, "is no setting%s", f.suggest(key.Value, settingNames(flags, except)))
		return
	}
	f.lines[name] = key.Line
	var text string
	if many, ok := flag.Value.(pflag.SliceValue); ok {
		list, err := texts(value)
		if err == nil && !flag.Changed {
			err = many.Replace(list)
		}
		if err != nil {
			f.fail(value, key.Value, "%v", err)
		}
		return
	}
	text, err := scalar(value)
	if err != nil {
		f.fail(value, key.Value, "%v", err)
		return
	}
	// Tried on the flag itself, also where the command line has the last word, so that a mistake shows in any case.
	given := flag.Value.String()
	if err := flag.Value.Set(text); err != nil {
		f.fail(value, key.Value, "%q %s", text, fault(flag.Value.Type(), err))
	}
	if flag.Changed {
		_ = flag.Value.Set(given)
	}
}

// fault says why a flag of that type did not take a text.
func fault(flagType string, err error) string {
	switch flagType {
	case "bool":
		return "is neither true nor false"
	case "duration":
		return "is not a duration; write one such as 90s or 10m"
	case "int":
		return "is not a whole number"
	}
	return "is not a valid value: " + err.Error()
}

func settingNames(flags *pflag.FlagSet, except []string) []string {
	names := []string{"routes"}
	flags.VisitAll(func(flag *pflag.Flag) {
		if !slices.Contains(except, flag.Name) {
			names = append(names, strings.ReplaceAll(flag.Name, "-", "_"))
		}
	})
	return names
}

// suggest names what a typing error may have been meant to be, or all there is.
func (f *File) suggest(got string, names []string) string {
	flat := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	for _, name := range names {
		if flat(name) == flat(got) || distance(name, got) <= 2 {
			return fmt.Sprintf("; did you mean %s?", name)
		}
	}
	slices.Sort(names)
	return "; there are " + strings.Join(names, ", ")
}

// distance is how many letters have to be added, removed or replaced to make one of the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := corner
			if a[i] != b[j] {
				cost++
			}
			corner = row[j+1]
			row[j+1] = min(cost, corner+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// routes reads the patterns and their options.
func (f *File) routes(n *yaml.Node) {
	f.each(n, "routes", func(key, value *yaml.Node) {
		where := "routes." + key.Value
		rc := proxy.RouteConfig{Pattern: key.Value}
		lines := make(map[string]int) // of the options, as Go names them
		f.each(value, where, func(option, v *yaml.Node) {
			known := find(option.Value)
			if known == nil {
				f.fail(option, join(where, option.Value), "is no option of a route%s", f.suggest(option.Value, optionNames()))
				return
			}
			lines[known.goName] = option.Line
			if err := known.apply(&rc, v); err != nil {
				f.fail(v, join(where, option.Value), "%v", err)
			}
		})
		if rc.Plain && rc.AllowCookies != nil && *rc.AllowCookies {
			f.errs = append(f.errs, &Mistake{f.name, lines["AllowCookies"], join(where, "allow_cookies"), "has no effect beside standard: false; use public, or cookies"})
		}
		f.tryRoute(key, where, rc, lines)
		if err := proxy.CheckPattern(f.Routes, key.Value); err != nil {
			f.fail(key, where, "%v", err)
			return
		}
		f.Routes = append(f.Routes, rc)
	})
}

// tryRoute lets reprise find what is wrong with the values, and with the options together.
func (f *File) tryRoute(key *yaml.Node, where string, rc proxy.RouteConfig, lines map[string]int) {
	cache, err := reprise.New(reprise.Config{})
	if err != nil {
		f.fail(key, where, "%v", err)
		return
	}
	defer cache.Close()
	_, err = cache.NewRoute(rc.All(proxy.Config{})...)
	if err == nil {
		return
	}
	for _, e := range flatten(err) {
		var ce *reprise.ConfigError
		if !errors.As(e, &ce) {
			f.fail(key, where, "%v", e)
			continue
		}
		line := key.Line
		if lines[ce.Option] > 0 {
			line = lines[ce.Option]
		}
		f.errs = append(f.errs, &Mistake{f.name, line, join(where, yamlName(ce.Option)), inFile(ce)})
	}
}

// inFile is a mistake in the words of the file. Its option is named where it is.
func inFile(e *reprise.ConfigError) string {
	reason := yamlNames(strings.ReplaceAll(e.Reason, "leave out Standard", "say standard: false"))
	if s, ok := e.Value.(string); ok {
		return fmt.Sprintf("%q %s", s, reason)
	}
	if e.Value != nil {
		return fmt.Sprintf("%v %s", e.Value, reason)
	}
	return reason
}

// flatten returns the errors that err is joined of, none for nil.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range joined.Unwrap() {
			errs = append(errs, flatten(e)...)
		}
		return errs
	}
	return []error{err}
}
