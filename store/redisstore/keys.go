package redisstore

import "strings"

// layout names what the store keeps on the server.
//
// The part in braces decides a Cluster's slot: the first brace and the first closing one after it count, so the prefix
// has none. The colon keeps the part from being empty, which would make the whole key count, where a key begins with a
// closing brace.
type layout struct {
	value string // begins the keys of values
	lock  string // begins the keys of leases
	marks string
}

func newLayout(prefix string) layout {
	return layout{value: prefix + "{:", lock: prefix + "lock{:", marks: prefix + "marks"}
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

// markSlots is the number of slots that names are mapped to.
const markSlots = 1 << 16

// slotOf maps a name to its slot, the same in every process and release: FNV-1a, whose low bits a finaliser improves.
func slotOf(name string) uint16 {
	const (
		offset = 14695981039346656037
		prime  = 1099511628211
	)
	h := uint64(offset)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * prime
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return uint16(h ^ h>>33) //nolint:gosec // modulo markSlots
}
