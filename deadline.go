package reprise

import (
	"sync"
	"time"
)

// deadlines are what FillTimeout sets the fills of one route. All last equally long, so they come in the order in
// which the fills began, and one timer does for all of them: a fill that ends in time only leaves the list, and the timer,
// when it comes, goes on to the first that is left. A timer for each would be two allocations and two changes of the
// runtime's heap of timers.
type deadlines struct {
	mu          sync.Mutex
	timed       bool // a timer runs
	first, last *fill
}

// deadline is a fill's place in the list.
type deadline struct {
	before, after *fill
	listed        bool
}

// begin starts f's time. f.mu is held.
func (d *deadlines) begin(f *fill) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f.started = time.Now() // here, so that the order is that of the list
	f.deadline = deadline{before: d.last, listed: true}
	if d.last != nil {
		d.last.deadline.after = f
	} else {
		d.first = f
	}
	d.last = f
	if !d.timed {
		d.timed = true
		time.AfterFunc(f.rt.fillTimeout, d.come)
	}
}

// end takes f off the list if it is there. It may be too late.
func (d *deadlines) end(f *fill) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.deadline.listed {
		d.remove(f)
	}
}

// remove takes f off the list. d.mu is held.
func (d *deadlines) remove(f *fill) {
	before, after := f.deadline.before, f.deadline.after
	f.deadline = deadline{}
	if before != nil {
		before.deadline.after = after
	} else {
		d.first = after
	}
	if after != nil {
		after.deadline.before = before
	} else {
		d.last = before
	}
}

// come is called when the time of the first fill of the list is over, or was before that ended.
func (d *deadlines) come() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.timed = false
	for f := d.first; f != nil; f = d.first {
		if left := f.rt.fillTimeout - time.Since(f.started); left > 0 {
			d.timed = true
			time.AfterFunc(left, d.come)
			return
		}
		d.remove(f)
		go f.tooLate() // ends when the first client has got something else
	}
}
