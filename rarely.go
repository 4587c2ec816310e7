package reprise

import (
	"sync/atomic"
	"time"
)

// logEvery is how long the same failure is not logged again: what clients cause must not fill a log.
const logEvery = 10 * time.Second

// rarely says when one kind of failure is logged. It is safe for concurrent use.
type rarely struct {
	last atomic.Int64 // in Unix nanoseconds
}

// again reports whether it is time for a line.
func (r *rarely) again() bool {
	now, last := time.Now().UnixNano(), r.last.Load()
	return (last == 0 || now-last >= int64(logEvery)) && r.last.CompareAndSwap(last, now)
}
