// Package wire is the one form in which answers are kept: a small fixed part, a head of texts that is read in place,
// and a body that is never copied. In memory a [Record] is used as it stands; elsewhere it is encoded and decoded by
// Append and Decode, which treat every byte from a store as hostile.
package wire

import (
	"encoding/binary"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Kind says what a record is.
type Kind uint8

const (
	Response Kind = 'r' // a stored response: Status, field lines, Body
	Value    Kind = 'v' // a function's result or an application's value: Body is the codec's
	Index    Kind = 'i' // what a URL varies on: see Names; Body lists the variants
)

// Flags are what the origin or the route said of a response that matters on every reuse.
type Flags uint16

const (
	MustRevalidate Flags = 1 << iota // must-revalidate, proxy-revalidate or s-maxage: never served stale
	NoCache                          // no-cache: every reuse is validated
	Shareable                        // public, s-maxage: may answer identified requests (RFC 9111 §3.5)
	Authorized                       // may also answer requests with Authorization
	PerUser                          // belongs to one partition: not refreshed in the background
	Identified                       // the request that filled it carried credentials
	Immutable                        // RFC 8246
	Explicit                         // the lifetime is the origin's own
	Heuristic                        // the lifetime is a guess (RFC 9111 §4.2.2)
	Partial                          // a 206: Body is a part (RFC 9111 §3.3)
	ErrorValue                       // Value: a remembered error
	Untyped                          // Response: has a body and no Content-Type, and shall not be given one
	OriginTag                        // Response: the entity tag is the origin's own, which it can be asked about
	Lasting                          // Response: of use for a while after its lifetime, to be validated or in place of an origin that is away

	flagsEnd // beyond the last: a record with a flag that is not known here is refused
)

// flagsEnd1 is flagsEnd of version 1.
const flagsEnd1 = Untyped << 1

// Record is a stored response, value or index. It is immutable once it has been shared.
//
// Memory is full of records: they have 96 bytes, without a gap.
type Record struct {
	Body   []byte
	head   string
	fields uint32 // where the field lines begin in head
	Status uint16
	Flags  Flags

	// Born is the moment, in Unix nanoseconds, at which the answer's age was 0; Expires the one at which it ceases to be
	// fresh, math.MaxInt64 for never. StaleWhile and StaleIf are how long after it the answer may still
	// be served while it is refreshed (RFC 5861 §3) or instead of an error (§4).
	StaleWhile, StaleIf Window
	Kind                Kind
	Born, Expires       int64

	// Sequence is the store's number at the look-up that led to the fill, Incarnation the life of that number. Where all numbers have one
	// life, the owner of the record may use Incarnation as a word of its own, by atomic operations, too: on no
	// architecture it lies across words.
	Sequence, Incarnation uint64
}

// Pair is a selecting header field of a variant: its canonical name and normalised value.
type Pair struct{ Name, Value string }

// Head is what SetHead puts into a record.
type Head struct {
	Key    string      // the full key that the record is stored at
	Base   string      // the key without a variant; "" is Key
	URL    string      // host and path as invalidation names them; "" for values
	Path   string      // escaped path of the URL; "" for values
	Tags   []string    // names by which it can be invalidated
	Vary   []Pair      // Response: the selecting fields; Index: the names, values empty
	Fields http.Header // Response: the field lines; order within a name is kept
}

// heads are buffers in which heads are made.
var heads = sync.Pool{New: func() any { return new([]byte) }}

// SetHead makes the head of r. Texts that stand in the key are kept once.
func (r *Record) SetHead(h Head) {
	names := make([]string, 0, 16)
	for name, values := range h.Fields {
		if len(values) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)

	buf := heads.Get().(*[]byte)
	b := appendText((*buf)[:0], h.Key)
	for _, s := range [...]string{h.Base, h.URL, h.Path} {
		b = appendPart(b, h.Key, s)
	}
	b = binary.AppendUvarint(b, uint64(len(h.Tags)))
	for _, t := range h.Tags {
		b = appendText(b, t)
	}
	b = binary.AppendUvarint(b, uint64(len(h.Vary)))
	for _, p := range h.Vary {
		b = appendText(appendName(b, p.Name), p.Value)
	}
	r.fields = uint32(min(len(b), math.MaxInt32))
	for _, name := range names {
		b = appendName(b, name)
		values := h.Fields[name]
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, v := range values {
			b = appendText(b, v)
		}
	}
	r.head = string(b)
	if cap(b) <= 64<<10 {
		*buf = b
		heads.Put(buf)
	}
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// appendPart appends s as a reference into key where it stands there: 1 + offset and length; else 0 and s itself.
func appendPart(b []byte, key, s string) []byte {
	if i := strings.Index(key, s); i >= 0 {
		return binary.AppendUvarint(binary.AppendUvarint(b, uint64(i)+1), uint64(len(s)))
	}
	return appendText(append(b, 0), s)
}

// text cuts a length-prefixed text at pos. Heads are made by SetHead or checked by Decode, so that it needs no bounds
// of its own.
func (r *Record) text(pos int) (string, int) {
	n, pos := r.uvarint(pos)
	return r.head[pos : pos+n], pos + n
}

func (r *Record) uvarint(pos int) (int, int) {
	c := r.head[pos]
	if c < 0x80 {
		return int(c), pos + 1
	}
	return r.longUvarint(pos)
}

func (r *Record) longUvarint(pos int) (int, int) {
	var n uint64
	for shift := 0; ; shift += 7 {
		c := r.head[pos]
		pos++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return int(n), pos //nolint:gosec // checked by SetHead and Decode
		}
	}
}

func (r *Record) part(key string, pos int) (string, int) {
	off, pos := r.uvarint(pos)
	if off == 0 {
		return r.text(pos)
	}
	n, pos := r.uvarint(pos)
	return key[off-1 : off-1+n], pos
}

// Key returns the full key that the record is stored at.
func (r *Record) Key() string {
	key, _ := r.text(0)
	return key
}

// Names returns what an invalidation can name the record by, besides its tags and namespaces.
func (r *Record) Names() (base, url, path string) {
	key, pos := r.text(0)
	base, pos = r.part(key, pos)
	url, pos = r.part(key, pos)
	path, _ = r.part(key, pos)
	if base == "" {
		base = key
	}
	return base, url, path
}

func (r *Record) tags() (count, pos int) {
	key, pos := r.text(0)
	for range 3 {
		_, pos = r.part(key, pos)
	}
	return r.uvarint(pos)
}

// Tags yields the record's tags. It allocates nothing.
func (r *Record) Tags(yield func(string) bool) {
	n, pos := r.tags()
	for range n {
		var tag string
		tag, pos = r.text(pos)
		if !yield(tag) {
			return
		}
	}
}

// Vary yields the selecting fields of a variant, or the names of an index.
func (r *Record) Vary(yield func(Pair) bool) {
	n, pos := r.tags()
	for range n {
		_, pos = r.text(pos)
	}
	n, pos = r.uvarint(pos)
	for range n {
		var p Pair
		p.Name, pos = r.name(pos)
		p.Value, pos = r.text(pos)
		if !yield(p) {
			return
		}
	}
}

// Cursor walks the field lines of a record in place:
//
//	for c := r.Fields(); c.Next(); {
//		for range c.Values {
//			value := c.Value()
//		}
//	}
type Cursor struct {
	r      *Record
	pos    int
	Name   string // canonical name
	Values int    // how many lines; each must be taken by Value before Next
}

// Fields returns a cursor before the first field.
func (r *Record) Fields() Cursor { return Cursor{r: r, pos: int(r.fields)} }

// Next moves to the next field name and reports whether there is one.
func (c *Cursor) Next() bool {
	if c.pos >= len(c.r.head) {
		return false
	}
	c.Name, c.pos = c.r.name(c.pos)
	c.Values, c.pos = c.r.uvarint(c.pos)
	return true
}

// Value returns the next line of the field.
func (c *Cursor) Value() string {
	var v string
	v, c.pos = c.r.text(c.pos)
	return v
}

// Field returns the first line of the field of that canonical name, or "".
func (r *Record) Field(name string) string {
	for c := r.Fields(); c.Next(); {
		for i := range c.Values {
			if v := c.Value(); i == 0 && c.Name == name {
				return v
			}
		}
	}
	return ""
}

// Header returns the field lines as a new map.
func (r *Record) Header() http.Header {
	h := make(http.Header)
	for c := r.Fields(); c.Next(); {
		for range c.Values {
			h[c.Name] = append(h[c.Name], c.Value())
		}
	}
	return h
}

// HeadBytes returns the length of the head.
func (r *Record) HeadBytes() int { return len(r.head) }
