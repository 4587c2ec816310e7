package flight_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/reprise-go/reprise/internal/flight"
)

type work struct{ followers int }

func accept(w *work) bool { w.followers++; return true }
func refuse(*work) bool   { return false }
func begin() *work        { return new(work) }

func TestJoin(t *testing.T) {
	g := flight.New[work]()
	epoch := g.Epoch([]byte("home"))
	first, led := g.Join("home", "key", epoch, accept, begin)
	if first == nil || !led {
		t.Fatalf("Join() without work = %p, %v; want work to lead", first, led)
	}
	if w, led := g.Join("home", "key", epoch, accept, begin); w != first || led || first.followers != 1 {
		t.Errorf("Join() = %p, %v with %d followers; want to follow %p", w, led, first.followers, first)
	}
	if w, led := g.Join("home", "other", epoch, accept, begin); w == first || !led {
		t.Errorf("Join() at another key = %p, %v; want other work to lead", w, led)
	}
	second, led := g.Join("home", "key", epoch, refuse, begin)
	if second == first || !led {
		t.Errorf("Join() of work that is refused = %p, %v; want other work to lead", second, led)
	}
	g.End("home", "key", first) // displaced: its successor stays
	if w, led := g.Join("home", "key", g.Epoch([]byte("home")), accept, begin); w != second || led {
		t.Errorf("Join() after displaced work ended = %p, %v; want to follow %p", w, led, second)
	}
}

func TestEpoch(t *testing.T) {
	g := flight.New[work]()
	before := g.Epoch([]byte("home"))
	w, _ := g.Join("home", "key", before, accept, begin)
	if got := g.Epoch([]byte("home")); got != before {
		t.Errorf("Epoch() = %d while work is under way; want %d", got, before)
	}
	g.End("home", "key", w)
	if w, led := g.Join("home", "key", before, accept, begin); w != nil || led {
		t.Errorf("Join() with an epoch in which work ended = %p, %v; want nil, false", w, led)
	}
	if w, led := g.Join("home", "key", g.Epoch([]byte("home")), accept, begin); w == nil || !led {
		t.Errorf("Join() with the epoch read again = %p, %v; want work to lead", w, led)
	}
	// Work elsewhere seldom makes anybody look again.
	again := 0
	for i := range 1000 {
		other := fmt.Sprint("elsewhere", i)
		epoch := g.Epoch([]byte("quiet"))
		w, _ := g.Join(other, "key", g.Epoch([]byte(other)), accept, begin)
		g.End(other, "key", w)
		if g.Epoch([]byte("quiet")) != epoch {
			again++
		}
	}
	if again > 10 {
		t.Errorf("work at 1000 other homes changed the epoch of one %d times; want hardly ever", again)
	}
}

// Of all who look up, fail and join, one does the work: who comes as it ends finds its result.
func TestOneDoesTheWork(t *testing.T) {
	for round := range 200 {
		g := flight.New[work]()
		var stored atomic.Bool
		var done atomic.Int64
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for range i % 5 {
					runtime.Gosched()
				}
				for {
					epoch := g.Epoch([]byte("home"))
					if stored.Load() {
						return
					}
					runtime.Gosched()
					w, led := g.Join("home", "key", epoch, accept, begin)
					if led {
						done.Add(1)
						runtime.Gosched()
						stored.Store(true)
						g.End("home", "key", w)
					}
					if w != nil {
						return
					}
				}
			})
		}
		wg.Wait()
		if n := done.Load(); n != 1 {
			t.Fatalf("round %d: done %d times; want once", round, n)
		}
	}
}

// What a callback panics with leaves nothing locked.
func TestPanic(t *testing.T) {
	g := flight.New[work]()
	func() {
		defer func() { _ = recover() }()
		g.Join("home", "key", 0, accept, func() *work { panic("oops") })
	}()
	if _, led := g.Join("home", "key", 0, accept, begin); !led {
		t.Error("Join() after a panic does not lead")
	}
}
