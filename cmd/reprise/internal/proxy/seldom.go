package proxy

import (
	"sync/atomic"
	"time"
)

// seldom lets one of what happens through in ten seconds, for log lines that clients can cause.
type seldom struct {
	last  atomic.Int64 // in Unix seconds
	total atomic.Uint64
}

// now reports whether it is time, and how often it has happened so far.
func (s *seldom) now() (total uint64, ok bool) {
	total = s.total.Add(1)
	now, last := time.Now().Unix(), s.last.Load()
	return total, now-last >= 10 && s.last.CompareAndSwap(last, now)
}
