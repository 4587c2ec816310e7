package wire

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// Version is the version that Append writes. Decode reads it and those before.
//
// A version is a promise: golden files in testdata hold one directory for each version that was ever written. A change
// of meaning is a new version as much as a change of layout is, also a new flag: who does not know it must not serve
// the record.
const Version = 3

// The layout of all versions; 2 has more flags, and in the head of 3 usual field names have numbers. Numbers have a fixed width and are little-endian, so that one check of the length covers
// them all; the head has its own form, see SetHead.
//
//	 0  magic        "\x93rp"
//	 3  version      uint8
//	 4  kind         uint8
//	 5  zero         uint8
//	 6  flags        uint16
//	 8  status       uint16
//	10  zero         uint16
//	12  fields       uint32  where the field lines begin in the head
//	16  born         int64
//	24  expires      int64
//	32  stale while  int64
//	40  stale if     int64
//	48  sequence     uint64
//	56  incarnation  uint64
//	64  head length  uint32
//	68  body length  uint64
//	76  head, body
//	    checksum     uint32  of everything before it
const (
	magic    = "\x93rp"
	fixedLen = 76
	sumLen   = 4
)

// The checksum is CRC-32C. It has to find accidents: a write cut short, two chunks of different writes, a flipped bit,
// another program's value under our key. For those 32 bits are enough: CRC-32C finds every burst up to 32 bits and
// misses one in four thousand million of the rest, it is in the standard library, and it runs at memory speed where the
// processor has an instruction for it. It does not withstand somebody who writes records on purpose, and neither would
// a longer unkeyed sum. Against a hostile store Decode promises only that nothing breaks; that nothing false is served
// needs a key: store/sealedstore.
//
// crc32.MakeTable returns the one table of the standard library for this polynomial and allocates nothing.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// EncodedLen returns how many bytes Append adds.
func (r *Record) EncodedLen() int { return fixedLen + len(r.head) + len(r.Body) + sumLen }

// Append appends the encoded form of r to dst. A record that is beyond the limits of this package, or that has a field
// name or value which no response may have, is appended all the same; Decode refuses it.
func (r *Record) Append(dst []byte) []byte {
	start := len(dst)
	b := slices.Grow(dst, r.EncodedLen())
	le := binary.LittleEndian
	b = append(b, magic...)
	b = append(b, Version, byte(r.Kind), 0)
	b = le.AppendUint16(b, uint16(r.Flags))
	b = le.AppendUint16(b, r.Status)
	b = append(b, 0, 0)
	b = le.AppendUint32(b, r.fields)
	for _, n := range [...]int64{r.Born, r.Expires, int64(r.StaleWhile.Duration()), int64(r.StaleIf.Duration())} {
		b = le.AppendUint64(b, uint64(n)) //nolint:gosec // two's complement, as decode reads it
	}
	b = le.AppendUint64(b, r.Sequence)
	b = le.AppendUint64(b, r.Incarnation)
	b = le.AppendUint32(b, uint32(len(r.head))) //nolint:gosec // a longer head is refused by its checksum or length
	b = le.AppendUint64(b, uint64(len(r.Body)))
	b = append(b, r.head...)
	b = append(b, r.Body...)
	return le.AppendUint32(b, checksum(b[start:]))
}
