package header

import (
	"time"

	"github.com/dunglas/httpsfv"
)

// ParseTargeted parses the lines of a targeted field such as CDN-Cache-Control (RFC 9213). It reports false for a
// field that is absent, empty, no Structured Fields dictionary, or that gives a number of seconds as anything but a
// non-negative integer: all of these are ignored as a whole (§2.1).
//
// A directive that restricts holds whatever its value is, except ?0.
func ParseTargeted(lines []string) (CacheControl, bool) {
	if len(lines) == 0 {
		return CacheControl{}, false
	}
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dict.Names()) == 0 {
		return CacheControl{}, false
	}
	var cc CacheControl
	for _, name := range dict.Names() {
		member, _ := dict.Get(name)
		item, ok := member.(httpsfv.Item)
		if !ok { // an inner list
			item.Value = nil
		}
		if item.Value == false {
			continue
		}
		if o := cc.seconds(name); o != nil {
			n, ok := item.Value.(int64)
			if !ok || n < 0 {
				return CacheControl{}, false
			}
			*o = Opt{D: time.Duration(min(n, int64(MaxDelta/time.Second))) * time.Second, Set: true}
			continue
		}
		cc.set(name, structured(item.Value))
	}
	return cc, true
}

// seconds returns the directive of that name which a response may have and which takes a number of seconds.
func (cc *CacheControl) seconds(name string) *Opt {
	switch name {
	case "max-age":
		return &cc.MaxAge
	case "s-maxage":
		return &cc.SMaxAge
	case "stale-while-revalidate":
		return &cc.StaleWhileRevalidate
	case "stale-if-error":
		return &cc.StaleIfError
	}
	return nil
}

func structured(v any) argument {
	switch v := v.(type) {
	case bool:
		return argument{}
	case string:
		return argument{kind: given, text: v}
	case httpsfv.Token:
		return argument{kind: given, text: string(v)}
	}
	return argument{kind: malformed}
}
