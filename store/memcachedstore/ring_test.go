package memcachedstore

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store"
)

func TestRing(t *testing.T) {
	addrs := []string{"10.0.0.1:11211", "10.0.0.2:11211", "10.0.0.3:11211", "10.0.0.4:11211"}
	four, reversed := newRing(addrs), newRing([]string{addrs[3], addrs[2], addrs[1], addrs[0]})
	three := newRing(addrs[:3])
	const keys = 40_000
	var share [4]int
	moved := 0
	for i := range keys {
		key := fmt.Sprintf("reprise|key%d", i)
		n := four.server(key)
		share[n]++
		if addrs[n] != addrs[3-reversed.server(key)] {
			t.Fatalf("the order of the servers decides where %s is", key)
		}
		switch m := three.server(key); {
		case m == n:
		case n == 3:
			moved++
		default:
			t.Fatalf("%s moved from a server that stays", key)
		}
	}
	for i, n := range share {
		if math.Abs(float64(n)/keys-0.25) > 0.04 {
			t.Errorf("server %d has %d of %d keys; want about a quarter", i, n, keys)
		}
	}
	if moved != share[3] {
		t.Errorf("%d keys moved; want the %d of the server that left", moved, share[3])
	}
}

// TestHash holds the values on which all processes and releases must agree.
func TestHash(t *testing.T) {
	for text, want := range map[string]uint64{"": 0xefd01f60ba992926, "reprise@": 0xd858ddf31cf6d8b0} {
		if got := hash(text); got != want {
			t.Errorf("hash(%q) = %#x; want %#x", text, got, want)
		}
	}
}

func TestSeconds(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	const day = 24 * time.Hour
	for _, tt := range []struct {
		ttl  time.Duration
		want int64
	}{
		{1, 2},
		{time.Second - 1, 2},
		{time.Second, 2},
		{time.Second + 1, 3},
		{30*day - time.Second, 30 * 86400},
		{30 * day, 1_800_000_000 + 30*86400 + 1},
		{365 * day, 1_800_000_000 + 365*86400 + 1},
		{100 * 365 * day, 0},
		{store.Forever - 1, 0},
		{store.Forever, 0},
	} {
		if got, err := seconds(tt.ttl, now); err != nil || got != tt.want {
			t.Errorf("seconds(%v) = %d, %v; want %d", tt.ttl, got, err, tt.want)
		}
	}
	for _, ttl := range []time.Duration{0, -1, math.MinInt64} {
		if _, err := seconds(ttl, now); err == nil {
			t.Errorf("seconds(%v) = nil; want an error", ttl)
		}
	}
}
