package header

import (
	"strconv"
	"strings"
)

// Range is one range of bytes, as a request asks for it (RFC 9110 §14.1.2): from First to Last, to the end where Last is
// -1, and the last Last bytes where First is -1.
type Range struct{ First, Last int64 }

// String returns r as the value of a Range field.
func (r Range) String() string {
	b := []byte("bytes=")
	if r.First >= 0 {
		b = strconv.AppendInt(b, r.First, 10)
	}
	b = append(b, '-')
	if r.Last >= 0 {
		b = strconv.AppendInt(b, r.Last, 10)
	}
	return string(b)
}

// ParseRange reads a Range field that asks for one range of bytes. It reports false for any other: several ranges,
// another unit, or what is malformed or can never be satisfied, all of which may be ignored.
func ParseRange(lines []string) (Range, bool) {
	if len(lines) != 1 {
		return Range{}, false
	}
	unit, spec, ok := strings.Cut(lines[0], "=")
	if !ok || !equalFold(unit, "bytes") {
		return Range{}, false
	}
	first, last, ok := strings.Cut(trim(spec), "-")
	if !ok {
		return Range{}, false
	}
	r := Range{First: -1, Last: -1}
	if first != "" {
		if r.First, ok = position(first); !ok {
			return Range{}, false
		}
	}
	if last != "" {
		if r.Last, ok = position(last); !ok {
			return Range{}, false
		}
	}
	if r.First < 0 {
		return r, r.Last > 0
	}
	return r, r.Last < 0 || r.First <= r.Last
}

// ContentRange says which bytes of how many a part is; Length is -1 where that is not known.
type ContentRange struct{ First, Last, Length int64 }

// String returns r as the value of a Content-Range field.
func (r ContentRange) String() string {
	b := strconv.AppendInt([]byte("bytes "), r.First, 10)
	b = strconv.AppendInt(append(b, '-'), r.Last, 10)
	if r.Length < 0 {
		return string(append(b, "/*"...))
	}
	return string(strconv.AppendInt(append(b, '/'), r.Length, 10))
}

// ParseContentRange reads the Content-Range field of a 206 (RFC 9110 §14.4). It reports false for what is absent,
// malformed or contradicts itself.
func ParseContentRange(lines []string) (ContentRange, bool) {
	if len(lines) != 1 {
		return ContentRange{}, false
	}
	unit, spec, ok := strings.Cut(lines[0], " ")
	if !ok || !equalFold(unit, "bytes") {
		return ContentRange{}, false
	}
	span, length, ok := strings.Cut(spec, "/")
	first, last, ok2 := strings.Cut(span, "-")
	if !ok || !ok2 {
		return ContentRange{}, false
	}
	r := ContentRange{Length: -1}
	ok3 := true
	if length != "*" {
		r.Length, ok3 = position(length)
	}
	r.First, ok = position(first)
	r.Last, ok2 = position(last)
	if !ok || !ok2 || !ok3 || r.First > r.Last || r.Length >= 0 && r.Last >= r.Length {
		return ContentRange{}, false
	}
	return r, true
}

// position reads digits and nothing else.
func position(s string) (int64, bool) {
	for i := range len(s) {
		if !digit(s[i]) {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
