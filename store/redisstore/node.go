package redisstore

import (
	"context"
	"net"
	"strconv"
	"strings"
	"time"
)

// clusterSlots is the number of slots that a Cluster spreads keys over.
const clusterSlots = 1 << 14

const (
	learnTimeout = time.Second
	learnPause   = time.Second // between two questions that failures lead to
)

// topology is which master has which slot of a Cluster.
type topology struct {
	masters []string
	bySlot  [clusterSlots]uint16 // 1 + index of masters; 0: nobody
}

// Node implements [store.Partitioned]: in a Cluster it is the address of the master that has the key; elsewhere "". The
// store learns who has what when it connects, and again when a node does not answer.
func (s *Store) Node(key string) string {
	c := s.client.current.Load()
	if c == nil || !c.cluster {
		return ""
	}
	t := c.topology.Load()
	if t == nil {
		return ""
	}
	serverKey := s.keys.marks
	if key != "" {
		serverKey = s.keys.valueKey(key)
	}
	if at := t.bySlot[clusterSlot(serverKey)]; at > 0 {
		return t.masters[at-1]
	}
	return ""
}

// learn asks the Cluster who has what. If nobody can tell, what was known stays.
func (c *connection) learn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, learnTimeout)
	defer cancel()
	// Each part of the reply is: first slot, last slot, master, replicas. A server begins with address and port.
	parts, err := c.Do(ctx, c.B().ClusterSlots().Build()).ToArray()
	if err != nil {
		return
	}
	t := new(topology)
	known := make(map[string]uint16)
	for _, part := range parts {
		fields, err := part.ToArray()
		if err != nil || len(fields) < 3 {
			return
		}
		from, err1 := fields[0].AsInt64()
		to, err2 := fields[1].AsInt64()
		master, err3 := fields[2].ToArray()
		if err1 != nil || err2 != nil || err3 != nil || from < 0 || to >= clusterSlots || len(master) < 2 {
			return
		}
		host, _ := master[0].ToString() // null where the server does not know its own
		port, err := master[1].AsInt64()
		if err != nil {
			return
		}
		addr := net.JoinHostPort(host, strconv.FormatInt(port, 10))
		at := known[addr]
		if at == 0 {
			t.masters = append(t.masters, addr)
			at = uint16(len(t.masters)) //nolint:gosec // at most one for each slot
			known[addr] = at
		}
		for slot := from; slot <= to; slot++ {
			t.bySlot[slot] = at
		}
	}
	c.topology.Store(t)
}

// relearn is learn after a failure, unless that was done a moment ago.
func (c *connection) relearn() {
	last, now := c.learned.Load(), time.Now().UnixNano()
	if now-last >= int64(learnPause) && c.learned.CompareAndSwap(last, now) {
		c.learn(context.Background())
	}
}

// clusterSlot is the slot of a key of the server's: the CRC-16 (XMODEM) of what stands between the first brace and the
// first closing one after it, or of all where there is nothing between.
func clusterSlot(key string) uint16 {
	if _, rest, ok := strings.Cut(key, "{"); ok {
		if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
			key = tag
		}
	}
	crc := uint16(0)
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			carry := crc >> 15
			crc = crc<<1 ^ carry*0x1021
		}
	}
	return crc % clusterSlots
}
