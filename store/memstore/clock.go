package memstore

import (
	"time"

	"github.com/maypok86/otter/v2"
)

// clock is the time of the cache, which reads it with every look-up: what is up to resolution old costs nothing. Where the exact
// time matters it is read: when something is written, and when something ends soon.
type clock struct {
	coarse *otter.CoarseClock
	began  time.Time
}

const resolution = 500 * time.Millisecond

func newClock() clock { return clock{otter.NewCoarseClock(resolution), time.Now()} }

// now returns the exact time, counted as coarse counts it: whatever is done to the machine's clock, it goes on from when it began.
func (c *clock) now() int64 { return c.began.UnixNano() + int64(time.Since(c.began)) }

// over reports whether the time of e, which was looked up just now, is over.
func (c *clock) over(e *otter.Entry[uint64, entry]) bool {
	return e.ExpiresAtNano-e.SnapshotAtNano <= int64(2*resolution) && e.ExpiresAtNano <= c.now()
}

// behind returns how much older than the time the moment is at which the cache believes e is written.
func (c *clock) behind(e *otter.Entry[uint64, entry]) time.Duration {
	return time.Duration(max(0, c.now()-e.SnapshotAtNano))
}
