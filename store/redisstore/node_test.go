package redisstore_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// Node names the node that fails when the key fails.
func TestNode(t *testing.T) {
	nodes := realserver.NewRedisCluster(t)
	s := open(t, redisstore.Config{URL: "redis://" + nodes[0].Addr() + "?addr=" + nodes[1].Addr()})
	marks(t, s)
	soon(t, "the store knows the nodes", func() bool { return s.Node("") != "" })
	keys := make(map[string][]string)
	for i := range 300 {
		// Some keys have what a Cluster cuts the slot out of.
		key := fmt.Sprintf("%d|%s", i, []string{"plain", "{tag}", "{}", "}{", "}"}[i%5])
		keys[s.Node(key)] = append(keys[s.Node(key)], key)
	}
	if len(keys) != 3 {
		t.Fatalf("keys are on %d nodes; want 3", len(keys))
	}
	// The node that dies is one without the marks.
	dead := nodes[0]
	if dead.Addr() == s.Node("") {
		dead = nodes[1]
	}
	dead.Kill()
	for node, keys := range keys {
		for _, key := range keys {
			_, _, err := s.GetMarked(t.Context(), key)
			if failed := !errors.Is(err, store.ErrNotFound); failed != (node == dead.Addr()) {
				t.Errorf("GetMarked(%s) on %s = %v while %s is dead", key, node, err, dead.Addr())
			}
		}
	}
	// Its slots move.
	heir := nodes[2]
	if heir.Addr() == s.Node("") {
		heir = nodes[1]
		if dead == heir {
			heir = nodes[0]
		}
	}
	moved := keys[dead.Addr()][0]
	slot := do(t, heir.Addr(), "CLUSTER", "KEYSLOT", "reprise:{:"+moved+"}")
	for _, n := range nodes {
		if n != dead {
			do(t, n.Addr(), "CLUSTER", "DELSLOTS", slot)
		}
	}
	do(t, heir.Addr(), "CLUSTER", "ADDSLOTS", slot)
	do(t, heir.Addr(), "CLUSTER", "BUMPEPOCH")
	soon(t, "the store learns who has the slot now", func() bool {
		_, _, _ = s.GetMarked(t.Context(), keys[dead.Addr()][1])
		time.Sleep(10 * time.Millisecond)
		return s.Node(moved) == heir.Addr()
	})
}

func TestNodeWithoutCluster(t *testing.T) {
	s := open(t, redisstore.Config{URL: "redis://" + realserver.Redis(t), Prefix: newPrefix(t)})
	marks(t, s)
	if node := s.Node("key") + s.Node(""); node != "" {
		t.Errorf("Node of a single server = %s; want none", strings.TrimSpace(node))
	}
}
