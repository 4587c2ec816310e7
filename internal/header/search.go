package header

import (
	"slices"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"
)

// Search says which query parameters do not tell two URLs apart (No-Vary-Search): those of Names, or, where All is set,
// all but those. The zero value is none.
type Search struct {
	All   bool
	Names []string // sorted, each once
}

// ParseSearch parses the lines of a No-Vary-Search field. What is absent or malformed in any part of it is as good as
// absent. key-order means nothing here, for the order of parameters of different names never does.
func ParseSearch(lines []string) Search {
	if len(lines) == 0 {
		return Search{}
	}
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil {
		return Search{}
	}
	if order, ok := dict.Get("key-order"); ok {
		if _, ok := boolean(order); !ok {
			return Search{}
		}
	}
	var s Search
	if params, ok := dict.Get("params"); ok {
		if s.All, ok = boolean(params); !ok {
			if s.Names, ok = texts(params); !ok {
				return Search{}
			}
		}
	}
	if except, ok := dict.Get("except"); ok {
		if s.Names, ok = texts(except); !ok || !s.All {
			return Search{} // an exception from nothing
		}
	}
	slices.Sort(s.Names)
	s.Names = slices.Compact(s.Names)
	return s
}

// Any reports whether some parameter does not matter.
func (s Search) Any() bool { return s.All || len(s.Names) > 0 }

// Ignores reports whether the parameter of that name does not matter.
func (s Search) Ignores(name string) bool {
	_, named := slices.BinarySearch(s.Names, name)
	return named != s.All
}

// String returns a text that is the same for what means the same, and for nothing else.
func (s Search) String() string {
	if !s.Any() {
		return ""
	}
	var b strings.Builder
	if s.All {
		b.WriteByte('*')
	}
	for _, name := range s.Names {
		b.WriteString(strconv.Quote(name))
	}
	return b.String()
}

func boolean(m httpsfv.Member) (value, ok bool) {
	item, _ := m.(httpsfv.Item)
	value, ok = item.Value.(bool)
	return value, ok
}

// texts returns the strings of an inner list.
func texts(m httpsfv.Member) ([]string, bool) {
	list, ok := m.(httpsfv.InnerList)
	if !ok {
		return nil, false
	}
	names := make([]string, 0, len(list.Items))
	for _, item := range list.Items {
		s, ok := item.Value.(string)
		if !ok {
			return nil, false
		}
		name, ok := unescape(s) // as in the URL: a string of this syntax is ASCII
		if !ok {
			return nil, false
		}
		names = append(names, name)
	}
	return names, true
}

// unescape decodes a name as it stands in a query.
func unescape(s string) (string, bool) {
	if !strings.ContainsAny(s, "%+") {
		return s, true
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '+':
			b = append(b, ' ')
		case '%':
			if i+2 >= len(s) {
				return "", false
			}
			c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return "", false
			}
			b = append(b, byte(c))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b), true
}
