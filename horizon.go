package reprise

import (
	"math"
	"sync/atomic"
	"time"
)

// horizon is a moment that has not come. What ends after it has not ended, which is known without reading the clock: that is a
// quarter of a hit. It is moved on twice a second for as long as somebody asks.
//
// It is at least half a second away, unless the timer that moves it is later than that. Then something may be taken for fresh that
// has ended, no longer than the timer is late: as if the caller had been stopped between asking and being answered.
//
// The zero value is not usable; see newHorizon. It is safe for concurrent use.
type horizon struct {
	at    atomic.Int64 // Unix nanoseconds; nowhere: nobody moves it
	asked atomic.Bool  // since it was moved
}

const (
	nowhere      = math.MaxInt64
	horizonAhead = time.Second
)

func newHorizon() *horizon {
	h := new(horizon)
	h.at.Store(nowhere)
	return h
}

// before reports whether h is before end, in Unix nanoseconds. If it is not, the caller reads the clock, and tells h to be moved.
func (h *horizon) before(end int64) bool {
	if end <= h.at.Load() {
		return false
	}
	if !h.asked.Load() { // no two processors write to it all the time
		h.asked.Store(true)
	}
	return true
}

// start begins to move h, if nobody does. now is the time.
func (h *horizon) start(now time.Time) {
	if h.at.Load() == nowhere && h.at.CompareAndSwap(nowhere, now.Add(horizonAhead).UnixNano()) {
		h.asked.Store(true)
		time.AfterFunc(horizonAhead/2, h.move)
	}
}

// move ends when nobody has asked since the last time.
func (h *horizon) move() {
	if !h.asked.Swap(false) {
		h.at.Store(nowhere)
		return
	}
	h.at.Store(time.Now().Add(horizonAhead).UnixNano())
	time.AfterFunc(horizonAhead/2, h.move)
}
