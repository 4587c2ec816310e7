package wire

import (
	"encoding/binary"
	"errors"
	"time"
)

// What Decode returns. Each is a miss to its caller; the name tells why.
var (
	ErrForeign   = errors.New("wire: not a record")
	ErrVersion   = errors.New("wire: unknown version")
	ErrDamaged   = errors.New("wire: damaged record")   // a wrong length or checksum
	ErrMismatch  = errors.New("wire: another record")   // whole, but of another key or kind
	ErrMalformed = errors.New("wire: malformed record") // whole, but nothing that this package's user writes
)

// Limits of what Decode accepts. They are well above those of the package reprise and keep a hostile record from
// costing more than its own length.
const (
	MaxHead   = 4 << 20 // bytes of the head
	MaxTags   = 1 << 14 // tags of a record
	MaxVary   = 1 << 12 // selecting fields
	MaxFields = 1 << 12 // names of field lines
	MaxLines  = 1 << 14 // field lines
	MaxName   = 1 << 12 // bytes of a field name
	MaxValue  = 1 << 20 // bytes of a field value
)

// KindOf returns what kind of record rec says it is. It may be wrong about bytes that are none.
func KindOf(rec []byte) Kind {
	if len(rec) < fixedLen {
		return 0
	}
	return Kind(rec[4])
}

// Decode makes r the record that rec holds, which must be of that kind and stored at that key. It allocates the head
// and nothing else: r.Body is a part of rec, which is frozen from now on. After an error, one of this package's, r is
// unchanged.
//
// rec may be anything. Of a record that Decode has accepted every text can be read by every method, and its status can
// be written.
func (r *Record) Decode(rec []byte, kind Kind, key string) error {
	if len(rec) < len(magic)+1 || string(rec[:len(magic)]) != magic {
		return ErrForeign
	}
	version := rec[len(magic)]
	if version == 0 || version > Version {
		return ErrVersion
	}
	if len(rec) < fixedLen+sumLen {
		return ErrDamaged
	}
	le := binary.LittleEndian
	end := len(rec) - sumLen
	headLen, bodyLen := uint64(le.Uint32(rec[64:])), le.Uint64(rec[68:])
	have := uint64(end - fixedLen) //nolint:gosec // not negative
	if headLen > have || bodyLen != have-headLen {
		return ErrDamaged
	}
	if checksum(rec[:end]) != le.Uint32(rec[end:]) {
		return ErrDamaged
	}

	signed := func(at int) int64 { return int64(le.Uint64(rec[at:])) } //nolint:gosec // two's complement, as Append writes it
	d := Record{
		Kind:        Kind(rec[4]),
		Flags:       Flags(le.Uint16(rec[6:])),
		Status:      le.Uint16(rec[8:]),
		fields:      le.Uint32(rec[12:]),
		Born:        signed(16),
		Expires:     signed(24),
		StaleWhile:  WindowOf(time.Duration(signed(32))),
		StaleIf:     WindowOf(time.Duration(signed(40))),
		Sequence:    le.Uint64(rec[48:]),
		Incarnation: le.Uint64(rec[56:]),
	}
	if d.Kind != kind {
		return ErrMismatch
	}
	flags := flagsEnd
	if version == 1 {
		flags = flagsEnd1
	}
	if rec[5]|rec[10]|rec[11] != 0 || d.Flags >= flags || headLen > MaxHead {
		return ErrMalformed
	}
	// Versions 1 and 2 had windows of any length, which are rounded up.
	exact := int64(d.StaleWhile.Duration()) == signed(32) && int64(d.StaleIf.Duration()) == signed(40)
	if signed(32) < 0 || signed(40) < 0 || version > 2 && !exact {
		return ErrMalformed
	}
	// net/http panics on a status of other than three digits, and 1xx is never an answer.
	if d.Kind == Response && (d.Status < 200 || d.Status > 999) {
		return ErrMalformed
	}
	d.head = string(rec[fixedLen : fixedLen+int(headLen)])
	w := walker{head: d.head, usual: version > 2}
	if stored := w.text(MaxHead); !w.bad && stored != key {
		return ErrMismatch
	}
	if !w.rest(len(key), int(d.fields)) {
		return ErrMalformed
	}
	// The capacity ends with the body: an append of a careless reader does not reach the checksum.
	d.Body = rec[fixedLen+len(d.head) : end : end]
	*r = d
	return nil
}
