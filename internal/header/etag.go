package header

import "strings"

// ValidETag reports whether s is an entity tag (RFC 9110 §8.8.3): a quoted opaque text, after W/ if it is weak.
func ValidETag(s string) bool {
	n := entityTag(s)
	return n > 0 && n == len(s)
}

// IsWeak reports whether the entity tag s is weak.
func IsWeak(s string) bool { return strings.HasPrefix(s, "W/") }

// MatchETag reports whether etag, the entity tag of what is stored or "", is named by the lines of an If-None-Match
// or If-Match field, by strong or weak comparison (RFC 9110 §8.8.3.2). A line that is * names anything, even what has
// no tag. What is no entity tag, on either side, matches nothing.
func MatchETag(lines []string, etag string, strong bool) bool {
	valid := ValidETag(etag)
	for _, s := range lines {
		if trim(s) == "*" {
			return true
		}
		for valid && s != "" {
			if s[0] == ',' || blank(s[0]) {
				s = s[1:]
				continue
			}
			n := entityTag(s)
			end := n
			for end < len(s) && s[end] != ',' {
				end++
			}
			if n > 0 && trim(s[n:end]) == "" && equalETags(s[:n], etag, strong) {
				return true
			}
			s = s[end:]
		}
	}
	return false
}

func equalETags(a, b string, strong bool) bool {
	if strong {
		return a == b && !IsWeak(a)
	}
	return strings.TrimPrefix(a, "W/") == strings.TrimPrefix(b, "W/")
}

// entityTag returns the length of the entity tag that s begins with, 0 if there is none. An entity tag is no quoted
// string: a backslash is itself, and a comma may be part of it.
func entityTag(s string) int {
	i := 0
	if IsWeak(s) {
		i = 2
	}
	if i >= len(s) || s[i] != '"' {
		return 0
	}
	for i++; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c <= ' ' || c == 0x7f:
			return 0
		}
	}
	return 0
}
