package header

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// MaxDelta is the largest delta-seconds: what exceeds it is read as it (RFC 9111 §1.2.2).
const MaxDelta time.Duration = 1 << 31 * time.Second

// Opt is a directive that takes a number of seconds.
type Opt struct {
	D   time.Duration // 0 to MaxDelta
	Set bool          // the directive is present

	// Invalid says that the value is missing or no number; D is 0 then. A lifetime that cannot be read is none
	// (RFC 9111 §4.2.1: consider the response stale), a tolerance of staleness likewise.
	Invalid bool
}

// CacheControl holds the directives of requests and responses that a cache acts on. The zero value is an absent field.
type CacheControl struct {
	NoStore         bool
	NoCache         bool // without field names
	Private         bool // without field names
	Public          bool
	MustRevalidate  bool
	ProxyRevalidate bool
	MustUnderstand  bool
	NoTransform     bool
	Immutable       bool // RFC 8246
	OnlyIfCached    bool
	MaxStaleAny     bool // max-stale without a value

	MaxAge               Opt
	SMaxAge              Opt
	MinFresh             Opt
	MaxStale             Opt
	StaleWhileRevalidate Opt // RFC 5861 §3
	StaleIfError         Opt // RFC 5861 §4

	NoCacheFields []string // canonical names of no-cache="…"
	PrivateFields []string // canonical names of private="…"
}

// ParseCacheControl parses the lines of a Cache-Control field. Names are read in any case, values as tokens or quoted
// strings, and of a directive that is repeated the first counts (RFC 9111 §4.2.1).
//
// A directive that restricts (no-store, no-cache, private, must-revalidate …) holds also where it is malformed, stands
// between blanks or semicolons instead of commas, or has an argument that it does not take; one that permits (public,
// must-understand, immutable) only as defined.
func ParseCacheControl(lines []string) CacheControl {
	var cc CacheControl
	for _, line := range lines {
		for s := scan(line); s.next(); {
			cc.directive(s.elem)
		}
	}
	return cc
}

func (cc *CacheControl) directive(s string) {
	name, value, valued := strings.Cut(s, "=")
	switch {
	case !Token(name):
	case !valued:
		cc.set(name, argument{})
		return
	case Token(value):
		cc.set(name, argument{kind: given, text: value})
		return
	case len(value) > 1 && value[0] == '"' && quoted(value) == len(value):
		cc.set(name, argument{kind: given, text: value[1 : len(value)-1]})
		return
	}
	for s != "" {
		word := s
		if i := strings.IndexAny(s, " \t;"); i >= 0 {
			word, s = s[:i], s[i+1:]
		} else {
			s = ""
		}
		if i := strings.IndexByte(word, '='); i >= 0 {
			word = word[:i]
		}
		cc.set(word, argument{kind: malformed})
	}
}

type argumentKind uint8

const (
	none argumentKind = iota
	given
	malformed
)

type argument struct {
	text string // without quotes, escapes left
	kind argumentKind
}

func (cc *CacheControl) set(name string, arg argument) {
	var b [len("stale-while-revalidate")]byte
	if len(name) > len(b) {
		return
	}
	for i := range len(name) {
		b[i] = lower(name[i])
	}
	switch string(b[:len(name)]) {
	case "no-store":
		cc.NoStore = true
	case "no-cache":
		cc.NoCacheFields = fields(arg, cc.NoCacheFields, &cc.NoCache)
	case "private":
		cc.PrivateFields = fields(arg, cc.PrivateFields, &cc.Private)
	case "must-revalidate":
		cc.MustRevalidate = true
	case "proxy-revalidate":
		cc.ProxyRevalidate = true
	case "no-transform":
		cc.NoTransform = true
	case "only-if-cached":
		cc.OnlyIfCached = true
	case "public":
		cc.Public = cc.Public || arg.kind == none
	case "must-understand":
		cc.MustUnderstand = cc.MustUnderstand || arg.kind == none
	case "immutable":
		cc.Immutable = cc.Immutable || arg.kind == none
	case "max-age":
		cc.MaxAge.set(arg)
	case "s-maxage":
		cc.SMaxAge.set(arg)
	case "min-fresh":
		cc.MinFresh.set(arg)
	case "max-stale":
		if arg.kind == none {
			cc.MaxStaleAny = true
		} else {
			cc.MaxStale.set(arg)
		}
	case "stale-while-revalidate":
		cc.StaleWhileRevalidate.set(arg)
	case "stale-if-error":
		cc.StaleIfError.set(arg)
	}
}

func (o *Opt) set(arg argument) {
	if o.Set {
		return
	}
	d, ok := Seconds(arg.text)
	ok = ok && arg.kind == given
	if !ok {
		d = 0
	}
	*o = Opt{D: d, Set: true, Invalid: !ok}
}

// fields adds the field names of arg to names, or sets whole where arg names none or something that is no field: what
// is meant to be protected is unknown then.
func fields(arg argument, names []string, whole *bool) []string {
	if arg.kind != given {
		*whole = true
		return names
	}
	for s := scan(arg.text); s.next(); {
		if !Token(s.elem) {
			*whole = true
			return names
		}
		if name := http.CanonicalHeaderKey(s.elem); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if trim(strings.Trim(arg.text, ", \t")) == "" {
		*whole = true
	}
	return names
}

// Seconds parses delta-seconds (RFC 9111 §1.2.2): digits only; what exceeds MaxDelta is MaxDelta.
func Seconds(s string) (time.Duration, bool) {
	const limit = int64(MaxDelta / time.Second)
	var n int64
	for i := range len(s) {
		if !digit(s[i]) {
			return 0, false
		}
		n = min(n*10+int64(s[i]-'0'), limit)
	}
	return time.Duration(n) * time.Second, s != ""
}
