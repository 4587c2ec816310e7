package wire

import (
	"math"
	"time"
)

// Window is a duration in four bytes: milliseconds up to 24 days, seconds up to 68 years, and beyond that for ever. 0 is none.
type Window uint32

const (
	inSeconds Window = 1 << 31
	noEnd     Window = math.MaxUint32
)

// WindowOf returns the shortest Window that is not shorter than d; 0 for what is negative.
func WindowOf(d time.Duration) Window {
	if d <= 0 {
		return 0
	}
	if n := (d-1)/time.Millisecond + 1; n < time.Duration(inSeconds) {
		return Window(n)
	}
	if n := (d-1)/time.Second + 1; n < time.Duration(noEnd-inSeconds) {
		return inSeconds | Window(n)
	}
	return noEnd
}

// Duration returns w, math.MaxInt64 for one without end.
func (w Window) Duration() time.Duration {
	switch {
	case w < inSeconds:
		return time.Duration(w) * time.Millisecond
	case w < noEnd:
		return time.Duration(w&^inSeconds) * time.Second
	}
	return math.MaxInt64
}
