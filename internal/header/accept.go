package header

import (
	"slices"
	"strings"
)

// Normalize returns the value of a selecting field as it stands in the key of a variant: two requests with the same
// result are served the same variant. name is canonical; lines are the request's. The result is "" only for a field
// that is absent, and never longer than what came in by more than a separator.
func Normalize(name string, lines []string) string {
	switch name {
	case "Accept-Encoding":
		return AcceptEncoding(lines)
	case "Accept-Language":
		return AcceptLanguage(lines)
	}
	if len(lines) == 1 && plain(lines[0]) {
		return lines[0]
	}
	return string(appendList(nil, lines))
}

// AppendNormal appends what Normalize returns.
func AppendNormal(dst []byte, name string, lines []string) []byte {
	switch name {
	case "Accept-Encoding":
		return appendEncodings(dst, lines)
	case "Accept-Language":
		return appendLanguages(dst, lines)
	}
	return appendList(dst, lines)
}

// plain reports whether appendList would return s as it is.
func plain(s string) bool {
	return s != "" && !blank(s[0]) && !blank(s[len(s)-1]) && strings.IndexByte(s, ',') < 0
}

// appendList joins the lines with commas and drops the blanks around commas, which mean nothing in any list. Empty
// elements stay, for the field may be no list at all. A field that is present but empty is ",", to be told from
// an absent one (RFC 9111 §4.1).
func appendList(dst []byte, lines []string) []byte {
	start := len(dst)
	for i, line := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		first := true
		for s := scan(line); s.cut(); first = false {
			if !first {
				dst = append(dst, ',')
			}
			dst = append(dst, s.elem...)
		}
	}
	if len(lines) > 0 && len(dst) == start {
		dst = append(dst, ',')
	}
	return dst
}

// weighted splits an element like "gzip;q=0.5" into name and weight in thousandths (RFC 9110 §12.4.2).
func weighted(s string) (name string, q int, ok bool) {
	i := strings.IndexByte(s, ';')
	if i < 0 {
		return s, 1000, Token(s)
	}
	name, s = trim(s[:i]), trim(s[i+1:])
	if len(s) < 3 || lower(s[0]) != 'q' || s[1] != '=' || !Token(name) {
		return name, 0, false
	}
	q, ok = weight(s[2:])
	return name, q, ok
}

func weight(s string) (int, bool) {
	if s[0] != '0' && s[0] != '1' || len(s) > 5 || len(s) > 1 && s[1] != '.' {
		return 0, false
	}
	q := int(s[0]-'0') * 1000
	unit := 100
	for i := 2; i < len(s); i++ {
		if !digit(s[i]) {
			return 0, false
		}
		q += int(s[i]-'0') * unit
		unit /= 10
	}
	return q, q <= 1000
}

// codings are the registered content codings, and * for the rest, in the order in which they are written.
const codings = "* aes128gcm br compress dcb dcz deflate exi gzip identity pack200-gzip zstd "

const (
	codeStar = 1 << iota
	_
	codeBrotli
	_
	_
	_
	codeDeflate
	_
	codeGzip
	codeIdentity
	_
	codeZstd
)

// coding returns the bit of a content coding, 0 for an unregistered one.
func coding(name string) uint16 {
	switch name { // what browsers send
	case "gzip":
		return codeGzip
	case "deflate":
		return codeDeflate
	case "br":
		return codeBrotli
	case "zstd":
		return codeZstd
	}
	if len(name) > 2 && equalFold(name[:2], "x-") { // RFC 9110 §8.4.1: x-gzip, x-compress
		name = name[2:]
	}
	rest := codings
	for bit := uint16(1); rest != ""; bit <<= 1 {
		i := strings.IndexByte(rest, ' ')
		if equalFold(name, rest[:i]) {
			return bit
		}
		rest = rest[i+1:]
	}
	return 0
}

// KnownCoding reports whether AcceptEncoding tells clients that accept this content coding from those that do not.
func KnownCoding(name string) bool { return coding(name) != 0 }

// AcceptEncoding returns the normal form of an Accept-Encoding field: the registered codings that are accepted, and,
// with ;q=0, those that are refused, in a fixed order; "identity" where nothing else is accepted, "" where the field
// is absent. Preferences among the accepted codings are dropped: each of them is a right answer.
func AcceptEncoding(lines []string) string {
	yes, no, ok := encodings(lines)
	if ok && no == 0 {
		switch yes {
		case 0:
			if len(lines) == 0 {
				return ""
			}
			return "identity"
		case codeGzip:
			return "gzip"
		case codeDeflate | codeGzip:
			return "deflate,gzip"
		case codeBrotli | codeGzip:
			return "br,gzip"
		case codeBrotli | codeDeflate | codeGzip:
			return "br,deflate,gzip"
		case codeBrotli | codeDeflate | codeGzip | codeZstd:
			return "br,deflate,gzip,zstd"
		}
	}
	return string(appendEncodings(nil, lines))
}

func appendEncodings(dst []byte, lines []string) []byte {
	yes, no, ok := encodings(lines)
	if !ok {
		return appendList(dst, lines)
	}
	if len(lines) == 0 {
		return dst
	}
	start := len(dst)
	rest := codings
	for bit := uint16(1); rest != ""; bit <<= 1 {
		i := strings.IndexByte(rest, ' ')
		if (yes|no)&bit != 0 {
			if len(dst) > start {
				dst = append(dst, ',')
			}
			dst = append(dst, rest[:i]...)
			if no&bit != 0 {
				dst = append(dst, ";q=0"...)
			}
		}
		rest = rest[i+1:]
	}
	if len(dst) == start {
		dst = append(dst, "identity"...)
	}
	return dst
}

// encodings returns the registered codings accepted and refused. ok is false where the field must be taken as it
// stands: where it is malformed, or where a lenient origin may see a registered coding in an element that is none.
// Otherwise a client could make the origin store a compressed body for clients that accept none.
func encodings(lines []string) (yes, no uint16, ok bool) {
	for _, line := range lines {
		for s := scan(line); s.next(); {
			name, q, ok := weighted(s.elem)
			if !ok {
				return 0, 0, false
			}
			bit := coding(name)
			if bit == 0 {
				if resembles(name) {
					return 0, 0, false
				}
				continue
			}
			if (yes|no)&bit != 0 {
				continue
			}
			if q > 0 {
				yes |= bit
			} else {
				no |= bit
			}
		}
	}
	if no&codeStar == 0 {
		yes &^= codeIdentity // accepted anyway
	}
	return yes, no, true
}

// resembles reports whether the name of a registered coding is part of name.
func resembles(name string) bool {
	name = strings.ToLower(name)
	for c := range strings.FieldsSeq(codings) {
		if strings.Contains(name, c) {
			return true
		}
	}
	return false
}

// maxLanguages is how many languages are put into order. Longer lists, which no browser sends, are taken as they stand.
const maxLanguages = 16

type language struct {
	tag string
	q   int
}

// AcceptLanguage returns the normal form of an Accept-Language field: language ranges in lower case, by falling
// weight and then by name, weights in their shortest form; "" where the field is absent. The order of languages of the same
// weight means nothing (RFC 9110 §12.5.4).
func AcceptLanguage(lines []string) string {
	if len(lines) == 1 && plainLanguage(lines[0]) {
		return lines[0]
	}
	return string(appendLanguages(nil, lines))
}

// plainLanguage reports whether s is one language range in normal form.
func plainLanguage(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != lower(c) || !alphanumeric(c) && c != '-' {
			return false
		}
	}
	return s != ""
}

func appendLanguages(dst []byte, lines []string) []byte {
	var array [maxLanguages]language
	ls, ok := languages(array[:0], lines)
	if !ok || len(ls) == 0 {
		return appendList(dst, lines)
	}
	for i, l := range ls {
		if i > 0 {
			dst = append(dst, ',')
		}
		for j := range len(l.tag) {
			dst = append(dst, lower(l.tag[j]))
		}
		if l.q < 1000 {
			dst = append(dst, ";q=0"...)
			if l.q > 0 {
				dst = append(dst, '.')
			}
			for q := l.q; q > 0; q = q % 100 * 10 {
				dst = append(dst, '0'+byte(q/100))
			}
		}
	}
	return dst
}

// languages puts the language ranges of a field into order. Of a range that is repeated the first counts.
func languages(ls []language, lines []string) ([]language, bool) {
	for _, line := range lines {
		for s := scan(line); s.next(); {
			tag, q, ok := weighted(s.elem)
			if !ok || len(ls) == cap(ls) {
				return nil, false
			}
			if slices.ContainsFunc(ls, func(l language) bool { return compareFold(l.tag, tag) == 0 }) {
				continue
			}
			ls = append(ls, language{tag, q})
			for i := len(ls) - 1; i > 0 && before(ls[i], ls[i-1]); i-- {
				ls[i], ls[i-1] = ls[i-1], ls[i]
			}
		}
	}
	return ls, true
}

func before(a, b language) bool {
	if a.q != b.q {
		return a.q > b.q
	}
	return compareFold(a.tag, b.tag) < 0
}

func compareFold(a, b string) int {
	for i := range min(len(a), len(b)) {
		if c := int(lower(a[i])) - int(lower(b[i])); c != 0 {
			return c
		}
	}
	return len(a) - len(b)
}

// FirstLanguage returns the one language that the lines of an Accept-Language field prefer to all others, as it
// stands there; "" where there is no such one.
func FirstLanguage(lines []string) string {
	var array [maxLanguages]language
	ls, ok := languages(array[:0], lines)
	if !ok || len(ls) == 0 || ls[0].q == 0 || ls[0].tag == "*" || len(ls) > 1 && ls[1].q == ls[0].q {
		return ""
	}
	return ls[0].tag
}
