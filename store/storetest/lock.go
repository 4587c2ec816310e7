package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/store"
)

var lockChecks = []check{
	{name: "lock/exclusion", needs: "Locker", run: exclusion},
	{name: "lock/race", needs: "Locker", run: lockRace},
	{name: "lock/takeover", needs: "Locker", waits: true, run: takeover},
	{name: "lock/renew", needs: "Locker", waits: true, run: renew},
	{name: "lock/set_locked", needs: "Locker", run: setLocked},
}

func (e *env) locker() store.Locker { return e.Store.(store.Locker) }

// lock takes the lease of name, which is free.
func (e *env) lock(name string, ttl time.Duration) uint64 {
	e.Helper()
	fence, ok, err := e.locker().Lock(e.ctx, name, ttl)
	if err != nil || !ok {
		e.Fatalf("Lock(%q) = %v, %v; want true, nil: nobody holds it", name, ok, err)
	}
	return fence
}

// held checks that the lease of name cannot be taken.
func (e *env) held(name string) {
	e.Helper()
	if _, ok, err := e.locker().Lock(e.ctx, name, lifetime); err != nil || ok {
		e.Errorf("Lock(%q) = %v, %v; want false, nil: another holds it", name, ok, err)
	}
}

func (e *env) unlock(name string, fence uint64) {
	e.Helper()
	if err := e.locker().Unlock(e.ctx, name, fence); err != nil {
		e.Errorf("Unlock(%q, %d) = %v; want nil", name, fence, err)
	}
}

func (e *env) setsLocked(want bool, key, value, name string, fence uint64) {
	e.Helper()
	ok, err := e.locker().SetLocked(e.ctx, key, []byte(value), lifetime, name, fence)
	if err != nil || ok != want {
		e.Errorf("SetLocked(%q, fence %d) = %v, %v; want %v, nil", name, fence, ok, err, want)
	}
}

// exclusion: a lease has one holder, and each holder a larger fence than the one before.
func exclusion(e *env) {
	f1 := e.lock("a", lifetime)
	e.held("a")
	b := e.lock("b", lifetime) // another name is another lease
	e.unlock("a", b)           // not its holder
	e.unlock("a", f1+1000)
	e.held("a")
	e.unlock("a", f1)
	e.unlock("a", f1) // nothing to give back
	if ok, err := e.locker().Renew(e.ctx, "a", f1, lifetime); err != nil || ok {
		e.Errorf("Renew of a lease that was given back = %v, %v; want false, nil", ok, err)
	}
	e.unlock("never", 1)
	f2 := e.lock("a", lifetime)
	e.unlock("a", f1)
	e.held("a")
	e.held("b")
	e.unlock("a", f2)
	f3 := e.lock("a", lifetime)
	if f1 == 0 || f2 <= f1 || f3 <= f2 {
		e.Errorf("fences %d, %d, %d; want each larger than the one before", f1, f2, f3)
	}

	// Names are no keys.
	e.hasNot("a")
	e.set("b", "value", lifetime)
	e.has("b", "value")
	e.held("b")
	e.deletes(1, "b")
	e.held("b")
}

// lockRace: of many who try at once, one gets the lease.
func lockRace(e *env) {
	for round := range 5 {
		name := fmt.Sprintf("name%d", round)
		var got atomic.Int32
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if _, ok, err := e.locker().Lock(e.ctx, name, lifetime); err != nil {
					e.Errorf("Lock = %v; want nil", err)
				} else if ok {
					got.Add(1)
				}
			})
		}
		wg.Wait()
		if got.Load() != 1 {
			e.Errorf("%d of 12 got the lease; want 1", got.Load())
		}
	}
}

// takeover: a lease that ran out can be taken, and its former holder has no say any more.
func takeover(e *env) {
	ttl := max(e.cfg.Unit, 200*time.Millisecond)
	f1 := e.lock("a", ttl)
	var f2 uint64
	e.soon(2*ttl+e.cfg.Unit, "the lease runs out", func() bool {
		fence, ok, err := e.locker().Lock(e.ctx, "a", lifetime)
		if err != nil {
			e.Fatalf("Lock = %v; want nil", err)
		}
		f2 = fence
		return ok
	})
	if f2 <= f1 {
		e.Errorf("fence %d after %d; want a larger one", f2, f1)
	}
	if ok, err := e.locker().Renew(e.ctx, "a", f1, lifetime); err != nil || ok {
		e.Errorf("Renew by the former holder = %v, %v; want false, nil", ok, err)
	}
	e.unlock("a", f1)
	e.held("a")
	e.setsLocked(false, "key", "former", "a", f1)
	e.hasNot("key")
	e.setsLocked(true, "key", "present", "a", f2)
	e.has("key", "present")
}

// renew: a lease that is renewed in time does not run out.
func renew(e *env) {
	ttl := max(2*e.cfg.Unit, 400*time.Millisecond)
	begin := time.Now()
	fence := e.lock("a", ttl)
	ok, err := e.locker().Renew(e.ctx, "a", fence, lifetime)
	if err != nil || !ok && time.Since(begin) < ttl {
		e.Fatalf("Renew = %v, %v; want true, nil", ok, err)
	}
	if !ok {
		e.Logf("too slow to renew in time")
		return
	}
	time.Sleep(ttl + e.cfg.Unit)
	e.held("a")
	if ok, err := e.locker().Renew(e.ctx, "never", 1, lifetime); err != nil || ok {
		e.Errorf("Renew of a lease that was never taken = %v, %v; want false, nil", ok, err)
	}
	// A renewal can also shorten.
	if ok, err := e.locker().Renew(e.ctx, "a", fence, ttl); err != nil || !ok {
		e.Errorf("Renew = %v, %v; want true, nil", ok, err)
	}
	e.soon(2*ttl+e.cfg.Unit, "the lease runs out", func() bool {
		_, ok, err := e.locker().Lock(e.ctx, "a", lifetime)
		return ok && err == nil
	})
}

// setLocked: who holds the lease writes; who held it writes until another was granted.
func setLocked(e *env) {
	f1 := e.lock("a", lifetime)
	e.setsLocked(true, "key", "one", "a", f1)
	e.has("key", "one")
	e.unlock("a", f1)
	e.setsLocked(true, "key", "two", "a", f1)
	e.has("key", "two")
	f2 := e.lock("a", lifetime)
	e.setsLocked(false, "key", "three", "a", f1)
	e.setsLocked(false, "new", "three", "a", f1)
	e.has("key", "two")
	e.hasNot("new")
	e.setsLocked(true, "key", "four", "a", f2)
	e.has("key", "four")
	e.unlock("a", f2)
	e.setsLocked(false, "key", "five", "a", f1) // it was granted, and that it ended changes nothing
	e.has("key", "four")
	e.deletes(1, "key")
	e.setsLocked(true, "key", "", "a", f2)
	e.has("key", "")
}
