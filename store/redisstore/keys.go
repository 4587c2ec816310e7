package redisstore

import (
	"math/bits"
	"strings"
)

// layout names what the store keeps on the server.
//
// The part in braces decides a Cluster's slot: the first brace and the first closing one after it count, so the prefix
// has none. The colon keeps the part from being empty, which would make the whole key count, where a key begins with a
// closing brace.
type layout struct {
	value string // begins the keys of values
	lock  string // begins the keys of leases
	marks string // their layout is part of the name: releases that differ in it share nothing
}

func newLayout(prefix string) layout {
	return layout{value: prefix + "{:", lock: prefix + "lock{:", marks: prefix + "marks:2"}
}

func (l layout) valueKey(key string) string { return l.value + key + "}" }

func (l layout) lockKey(name string) string { return l.lock + name + "}" }

// key is the inverse of valueKey.
func (l layout) key(valueKey string) (string, bool) {
	rest, ok := strings.CutPrefix(valueKey, l.value)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "}")
}

// pattern matches the values of the keys that begin with prefix.
func (l layout) pattern(prefix string) string {
	// These mean something in a pattern of SCAN. A caret or a hyphen does only within brackets.
	literal := strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`, `\`, `\\`)
	return literal.Replace(l.value+prefix) + "*}"
}

// markSlots is the number of slots that names are mapped to, a power of two.
const markSlots = 1 << 18

// slotOf maps a name to its slot, the same in every process and release. It takes eight bytes at a time, as it is on the
// way of every hit, several times.
func slotOf(name string) uint32 {
	h := uint64(len(name))
	for ; len(name) > 8; name = name[8:] {
		h = mix(h ^ word(name[:8]))
	}
	h = mix(h ^ word(name))
	return uint32((h ^ h>>32) % markSlots)
}

// slotsOf appends the slots of names to slots.
func slotsOf(slots []uint32, names []string) []uint32 {
	for _, name := range names {
		slots = append(slots, slotOf(name))
	}
	return slots
}

// mix makes each bit of its result depend on all of h.
func mix(h uint64) uint64 {
	const seed, odd = 0x9e3779b97f4a7c15, 0xd1342543de82ef95
	high, low := bits.Mul64(h^seed, odd)
	return high ^ low
}

// word is up to eight bytes as a number, little-endian.
func word(s string) uint64 {
	if len(s) == 8 {
		return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
	}
	w := uint64(0)
	for i := len(s) - 1; i >= 0; i-- {
		w = w<<8 | uint64(s[i])
	}
	return w
}
