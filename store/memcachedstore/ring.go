package memcachedstore

import (
	"cmp"
	"slices"
	"strconv"
)

// ring spreads keys over servers so that a server that is added or taken away moves only its own share: each server
// stands at many points of a circle, and a key belongs to the next point. It depends on the addresses alone, not on
// their order, so that all processes agree.
type ring []point

type point struct {
	at     uint64
	server int
}

// pointsPerServer keeps the share of each of a few servers within about a tenth of its due.
const pointsPerServer = 256

func newRing(addrs []string) ring {
	r := make(ring, 0, len(addrs)*pointsPerServer)
	for i, addr := range addrs {
		for n := range pointsPerServer {
			r = append(r, point{hash(addr + "#" + strconv.Itoa(n)), i})
		}
	}
	slices.SortFunc(r, func(a, b point) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(addrs[a.server], addrs[b.server]))
	})
	return r
}

// server returns the index of the server that key belongs to.
func (r ring) server(key string) int {
	h := hash(key)
	i, _ := slices.BinarySearchFunc(r, h, func(p point, h uint64) int { return cmp.Compare(p.at, h) })
	if i == len(r) {
		i = 0
	}
	return r[i].server
}

// Node implements [store.Partitioned]: it is the address of the server that has the key.
func (s *Store) Node(key string) string {
	if len(s.cfg.Servers) == 1 {
		return ""
	}
	itemKey := s.lifeKey
	if key != "" {
		itemKey = s.dataKey(key)
	}
	return s.cfg.Servers[s.ring.server(itemKey)]
}

// hash is FNV-1a with the bits mixed at the end: texts that differ in their last byte alone end up far apart. It is the
// same in every process and release: another hash would look for keys where they are not, and for marks.
func hash(s string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 0x100000001b3
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
