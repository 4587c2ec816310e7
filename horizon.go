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

// start begins to move h, if nobody does: also if the timer that should have is lost or too late, which those notice who read the
// clock. now is the time.
func (h *horizon) start(now time.Time) {
	if at := h.at.Load(); at == nowhere || at <= now.UnixNano() {
		h.moveFrom(at, now)
	}
}

// moveFrom moves h on, if it is still at at, and again in time.
func (h *horizon) moveFrom(at int64, now time.Time) {
	next := now.Add(horizonAhead).UnixNano()
	if h.at.CompareAndSwap(at, next) {
		time.AfterFunc(horizonAhead/2, func() { h.tick(next) })
	}
}

// tick moves h on, unless nobody has asked since it came to at.
func (h *horizon) tick(at int64) {
	if h.asked.Swap(false) {
		h.moveFrom(at, time.Now())
		return
	}
	h.at.CompareAndSwap(at, nowhere)
}
