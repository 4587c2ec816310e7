package redisstore

import (
	"fmt"
	"math"
	"testing"
	"time"
)

// The slot of a name is the same in every process and release: stores of two releases share their marks.
func TestSlotOf(t *testing.T) {
	for name, want := range map[string]uint32{
		"": 249345, "a": 249058, "b": 172046, "reprise:shop": 74939, "/products/42": 137670, "ä\x00": 14651,
	} {
		if got := slotOf(name); got != want {
			t.Errorf("slotOf(%q) = %d; want %d", name, got, want)
		}
	}
	// Names that differ little spread as evenly as chance has it.
	const names, buckets = 1 << 16, 64
	var count [buckets]int
	for i := range names {
		count[slotOf(fmt.Sprint("/products/", i))/(markSlots/buckets)]++
	}
	const mean = names / buckets
	for i, n := range count {
		if math.Abs(float64(n-mean)) > 6*math.Sqrt(mean) {
			t.Errorf("%d of %d names are in the %dth of %d parts; want about %d", n, names, i, buckets, mean)
		}
	}
}

func TestMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]int64{
		1: 1, time.Millisecond - 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000, math.MaxInt64: 9223372036855,
	} {
		if got := milliseconds(d); got != want {
			t.Errorf("milliseconds(%d) = %d; want %d", d, got, want)
		}
	}
}
