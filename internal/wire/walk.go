package wire

import "strings"

// walker checks a head once, so that the readers of Record need no checks of their own: what it accepts, they can walk
// without leaving the head or the key. It mirrors SetHead line by line.
type walker struct {
	head  string
	usual bool // usual names may stand as numbers
	pos   int
	bad   bool
}

// rest checks what follows the key: names, tags, selecting fields and, from offset fields on, the field lines.
func (w *walker) rest(keyLen, fields int) bool {
	for range 3 { // base, host, path
		w.part(keyLen)
	}
	for range w.number(MaxTags) {
		w.text(MaxHead)
	}
	for range w.number(MaxVary) {
		// The value is a request's, normalised, and is compared but never sent: any text may stand there.
		w.name()
		w.text(MaxHead)
	}
	if w.bad || w.pos != fields {
		return false
	}
	last := ""
	names, lines := 0, 0
	for w.pos < len(w.head) && !w.bad {
		name := w.name()
		n := w.number(MaxLines)
		names, lines = names+1, lines+n
		// SetHead sorts the names and leaves out those without lines: so no name stands twice.
		if n == 0 || last >= name || names > MaxFields || lines > MaxLines {
			return false
		}
		for range n {
			if breaks(w.text(MaxValue)) {
				return false
			}
		}
		last = name
	}
	return !w.bad
}

// fail ends the walk: whatever is cut after it is empty or 0.
func (w *walker) fail() { w.bad, w.pos = true, len(w.head) }

// breaks reports whether a field value has what would end it on the way to the client (RFC 9110 §5.5).
func breaks(value string) bool {
	for i := range len(value) {
		if c := value[i]; c <= '\r' && (c == '\r' || c == '\n' || c == 0) {
			return true
		}
	}
	return false
}

// number cuts a uvarint of at most limit. It must be in its shortest form, which for nearly all of them is one byte.
func (w *walker) number(limit int) int {
	if w.pos < len(w.head) && w.head[w.pos] < 0x80 && int(w.head[w.pos]) <= limit {
		w.pos++
		return int(w.head[w.pos-1])
	}
	return w.longNumber(limit)
}

func (w *walker) longNumber(limit int) int {
	n := uint64(0)
	for i := range min(5, len(w.head)-w.pos) {
		c := w.head[w.pos+i]
		if i > 0 && c == 0 {
			break
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if n > uint64(limit) { //nolint:gosec // not negative
				break
			}
			w.pos += i + 1
			return int(n) //nolint:gosec // at most limit
		}
	}
	w.fail()
	return 0
}

// text cuts a text of at most limit bytes.
func (w *walker) text(limit int) string {
	n := w.number(limit)
	if n > len(w.head)-w.pos {
		w.fail()
		return ""
	}
	t := w.head[w.pos : w.pos+n]
	w.pos += n
	return t
}

// part checks a text that may be a reference into the key.
func (w *walker) part(keyLen int) {
	off := w.number(keyLen + 1)
	if off == 0 {
		w.text(MaxHead)
		return
	}
	w.number(keyLen - (off - 1))
}

// name cuts a field name: a usual one, or a token (RFC 9110 §5.6.2) in the canonical form of net/http.
func (w *walker) name() string {
	if w.usual && len(w.head)-w.pos >= 2 && w.head[w.pos] == 0 {
		if n := int(w.head[w.pos+1]); n > 0 && n < len(usual) {
			w.pos += 2
			return usual[n]
		}
	}
	name := w.text(MaxName)
	upper := true // what a letter must be here
	for i := range len(name) {
		c, ok := name[i], false
		switch {
		case 'a' <= c && c <= 'z':
			ok = !upper
		case 'A' <= c && c <= 'Z':
			ok = upper
		default:
			ok = token(c)
		}
		if !ok {
			w.fail()
			return ""
		}
		upper = c == '-'
	}
	if len(name) == 0 {
		w.fail()
	}
	return name
}

// token reports whether c, which is no letter, may stand in a token.
func token(c byte) bool {
	return c == '-' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+.^_`|~", c) >= 0
}
