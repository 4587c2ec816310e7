package reprise

import (
	"container/list"
	"context"
	"math"
	"runtime"
	"sync"
	"time"
)

// crowd is what runs because a store outside the process fails: handlers and loaders that a hit would have spared.
//
// If they take all the processors, a reply of the store lies in its socket until its reader's turn comes, which is after all of them,
// and neither probe nor look-up has it within StoreTimeout: a store that was away for a moment would stay away for good, and
// the process busy. So, where the process is late, no more of them run than keep it busy; the others, who would only wait for a
// processor, wait for those. Where processors are free nobody waits.
//
// How many that are is found as TCP finds the room of a network: fewer when the process is late, some more when as many have ended
// and it was not. With nobody left there is no limit.
type crowd struct {
	mu      sync.Mutex
	running int
	limit   float64   // of running; infinite until the process is late
	least   float64   // that limit is lowered to
	line    list.List // who waits, in order: of chan struct{}, closed when the turn has come
	cut     time.Time // when the limit was lowered
	raised  time.Time // when somebody in the line tried to raise it
	left    time.Time // when somebody has left, or came to where nobody was
	late    func() bool
}

const (
	crowdPerCPU = 4   // at the least: those which keep a processor busy
	crowdGrow   = 2   // when as many have ended as may run
	crowdShrink = 0.9 // of the limit that is left when the process is late
	crowdRise   = 1.1 // of those who run, when they take their time and the process is not late

	// lateness is how long what can run waits where the process cannot keep up. A reply of the store waits three times so long: until
	// its request is written, until it is read, and until its waiter runs.
	lateness = 25 * time.Millisecond
	settles  = 50 * time.Millisecond // what is changed takes time to show

	stuckAfter = time.Second
)

func (c *crowd) open() {
	c.least, c.limit, c.late = float64(crowdPerCPU*runtime.GOMAXPROCS(0)), math.Inf(1), isLate
}

// enter returns when the caller may run; leave follows. With back it returns because that does, which says that the store works
// again; or ctx has ended. Then nothing follows.
func (c *crowd) enter(ctx context.Context, back func() bool) (entered bool) {
	c.mu.Lock()
	if float64(c.running) < c.limit {
		if c.running++; c.running == 1 {
			c.left = time.Now()
		}
		c.mu.Unlock()
		c.look()
		return true
	}
	turn := make(chan struct{})
	place := c.line.PushBack(turn)
	c.mu.Unlock()

	tick := time.NewTicker(settles)
	defer tick.Stop()
	for {
		select {
		case <-turn:
			c.look()
			return true
		case <-tick.C:
			if !back() {
				c.raise()
				continue
			}
		case <-ctx.Done():
		}
		if c.quit(place) {
			return false
		}
		c.leave()
		return false
	}
}

// quit gives up a place in the line. It reports false if its turn has come.
func (c *crowd) quit(place *list.Element) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-place.Value.(chan struct{}):
		return false
	default:
		c.line.Remove(place)
		return true
	}
}

// leave lets the next ones in.
func (c *crowd) leave() {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = now
	c.running--
	if now.Sub(c.cut) > settles {
		c.limit += crowdGrow / c.limit
	}
	if c.running == 0 && c.line.Len() == 0 {
		c.limit = math.Inf(1)
	}
	c.admit()
}

// admit lets in who is next, as long as there is room. c.mu is held.
func (c *crowd) admit() {
	for c.line.Len() > 0 && float64(c.running) < c.limit {
		close(c.line.Remove(c.line.Front()).(chan struct{}))
		c.running++
	}
}

// raise raises the limit for those in the line, at most once in a while, unless the process is late: who is inside may take his time
// without taking a processor, and nobody else ends. If nobody has left for long they may be waiting for somebody in the line, and then
// it is others who make the process late.
func (c *crowd) raise() {
	now := time.Now()
	c.mu.Lock()
	due := now.Sub(c.cut) > settles && now.Sub(c.raised) >= settles
	if due {
		c.raised = now
	}
	stuck := now.Sub(c.left) > stuckAfter
	c.mu.Unlock()
	if !due || c.look() && !stuck {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = max(c.limit, crowdRise*float64(c.running), float64(c.running+1))
	c.admit()
}

// look lowers the limit if the process is late, which it reports.
func (c *crowd) look() bool {
	if !c.late() {
		return false
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.cut) > settles {
		c.cut = now
		c.limit = max(c.least, crowdShrink*min(c.limit, float64(c.running)))
	}
	return true
}

// isLate reports whether what can run waits for a processor.
func isLate() bool {
	began := time.Now()
	runtime.Gosched()
	return time.Since(began) >= lateness
}
