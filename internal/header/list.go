// Package header parses the HTTP fields that a cache reads: comma lists, Cache-Control and its targeted relatives,
// dates, entity tags and the selecting fields of content negotiation. Everything here is a pure function of its
// arguments, and what runs on a hit allocates nothing.
//
// Field values are other people's text. Where one is malformed, the reading chosen is the one that stores, shares and
// reuses less.
package header

import "iter"

// List yields the elements of a comma-separated list that is spread over the lines of a field: trimmed, without the
// empty ones (RFC 9110 §5.6.1). A comma inside a quoted string does not separate. A quote that its line does not close
// is an ordinary character, so that it cannot hide the elements behind it.
func List(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for s := scan(line); s.next(); {
				if !yield(s.elem) {
					return
				}
			}
		}
	}
}

// scanner cuts one line of a list into elements, without allocating and in one pass.
type scanner struct {
	elem    string
	rest    string
	more    bool
	literal bool // an unclosed quote was met: from here on quotes mean nothing
}

func scan(line string) scanner { return scanner{rest: line, more: true} }

// next moves to the next element that is not empty.
func (s *scanner) next() bool {
	for s.cut() {
		if s.elem != "" {
			return true
		}
	}
	return false
}

// cut moves to the next element, which may be empty.
func (s *scanner) cut() bool {
	if !s.more {
		return false
	}
	i := 0
	for i < len(s.rest) && s.rest[i] != ',' {
		if s.rest[i] == '"' && !s.literal {
			if n := quoted(s.rest[i:]); n > 0 {
				i += n
				continue
			}
			s.literal = true
		}
		i++
	}
	s.elem = trim(s.rest[:i])
	s.more = i < len(s.rest)
	if s.more {
		s.rest = s.rest[i+1:]
	}
	return true
}

// quoted returns the length of the quoted string that s begins with, 0 if it is not closed.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return 0
}

// trim cuts blanks (RFC 9110 §5.6.3: space and tab, nothing else) off both ends.
func trim(s string) string {
	for s != "" && blank(s[0]) {
		s = s[1:]
	}
	for s != "" && blank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

func digit(c byte) bool { return '0' <= c && c <= '9' }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

func alphanumeric(c byte) bool {
	c = lower(c)
	return 'a' <= c && c <= 'z' || digit(c)
}

// Token reports whether s is a token (RFC 9110 §5.6.2), which every field name is.
func Token(s string) bool {
	for i := range len(s) {
		if !alphanumeric(s[i]) {
			switch s[i] {
			case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
			default:
				return false
			}
		}
	}
	return s != ""
}
