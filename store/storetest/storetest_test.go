package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// recorder is a test that is watched failing.
type recorder struct {
	testing.TB
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Helper()             {}
func (r *recorder) Logf(string, ...any) {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failuresOf runs the named check on the store that open returns.
func failuresOf(t *testing.T, name string, cfg Config) []string {
	t.Helper()
	i := slices.IndexFunc(checks(), func(c check) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("no check is called %q", name)
	}
	c := checks()[i]
	r := &recorder{}
	run := func(t *testing.T) {
		r.TB = t
		e := newEnv(t, r, cfg)
		done := make(chan struct{})
		go func() { // Fatalf ends the goroutine
			defer close(done)
			c.run(e)
		}()
		<-done
	}
	if c.waits || cfg.Bubble {
		cfg.Bubble = true
		synctest.Test(t, func(t *testing.T) {
			run(t)
			time.Sleep(3 * patience) // what hung ends with the bubble
		})
	} else {
		run(t)
	}
	return r.failures
}

func memory(t *testing.T) *memstore.Store {
	t.Helper()
	s, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// over wraps what is right so that one thing is wrong.
func over[S store.Store](wrap func(*memstore.Store) S) Config {
	return Config{MaxValue: 1 << 20, Open: func(t *testing.T) store.Store { return wrap(memory(t)) }}
}

// brokenStore is a store that is wrong in one way, and the check that must find it.
type brokenStore struct {
	check string
	wrong string
	cfg   Config
}

func brokenStores() []brokenStore {
	return []brokenStore{
		{"store/absent", "no ErrNotFound", over(func(m *memstore.Store) noNotFound { return noNotFound{m} })},
		{"store/set_get", "keeps the first value", over(func(m *memstore.Store) keepsFirst { return keepsFirst{m} })},
		{"store/delete", "counts names", over(func(m *memstore.Store) countsNames { return countsNames{m} })},
		{"store/delete", "removes nothing", over(func(m *memstore.Store) removesNothing { return removesNothing{m} })},
		{"store/delete", "refuses a name given twice", over(func(m *memstore.Store) deleteLimit { return deleteLimit{m, 1000, true} })},
		{"store/delete_many", "limits a batch", over(func(m *memstore.Store) deleteLimit { return deleteLimit{m, 100, false} })},
		{"keys/unlike", "folds case", over(mapped(strings.ToLower))},
		{"keys/unlike", "cleans paths", over(mapped(func(key string) string { return strings.ReplaceAll(key, "//", "/") }))},
		{"keys/unlike", "cuts long keys", over(mapped(func(key string) string { return key[:min(len(key), 199)] }))},
		{"keys/outside", "replaces spaces", over(mapped(func(key string) string { return strings.ReplaceAll(key, " ", "_") }))},
		{"keys/outside", "trims", over(mapped(strings.TrimSpace))},
		{"values/exact", "no empty value", over(func(m *memstore.Store) noEmpty { return noEmpty{m} })},
		{"values/exact", "trims values", over(changedValues(bytes.TrimSpace))},
		{"values/large", "cuts values", over(changedValues(func(b []byte) []byte { return b[:min(len(b), 1<<20)] }))},
		{"values/large", "refuses too early", over(func(m *memstore.Store) refusesLarge { return refusesLarge{m, 1 << 19, store.ErrTooLarge} })},
		{"values/large", "refuses with another error", over(func(m *memstore.Store) refusesLarge { return refusesLarge{m, 1 << 20, errors.New("no")} })},
		{"values/frozen", "reuses a buffer", over(func(m *memstore.Store) oneBuffer { return oneBuffer{m, new([]byte), new(sync.Mutex)} })},
		{"ttl/expiry", "never expires", over(ttls(func(time.Duration) time.Duration { return store.Forever }))},
		{"ttl/expiry", "rounds down to 0", over(ttls(func(d time.Duration) time.Duration { return d.Truncate(time.Second) }))},
		{"ttl/expiry", "30 days become a date", over(ttls(func(d time.Duration) time.Duration {
			if d > 30*day {
				return 1
			}
			return d
		}))},
		{"ttl/expiry", "Forever is a minute", over(ttls(func(d time.Duration) time.Duration {
			if d == store.Forever {
				return 100 * time.Millisecond
			}
			return d
		}))},
		{"ttl/expiry", "the first ttl holds", over(func(m *memstore.Store) firstTTL { return firstTTL{m, &sync.Map{}} })},
		{"ttl/expiry", "Delete counts what expired", over(func(m *memstore.Store) countsExpired { return countsExpired{m} })},
		{"ttl/exact", "late by a nanosecond", over(ttls(func(d time.Duration) time.Duration { return max(d, d+1) }))},
		{"ttl/exact", "early by a nanosecond", over(ttls(func(d time.Duration) time.Duration { return max(d-1, 1) }))},
		{"ttl/not_positive", "0 is for ever", over(ttls(func(d time.Duration) time.Duration {
			if d <= 0 {
				return store.Forever
			}
			return d
		}))},
		{"claims", "claims a lock", over(func(m *memstore.Store) claimsLock { return claimsLock{plain{m}} })},
		{"claims", "claims to notify", over(func(m *memstore.Store) claimsNotify { return claimsNotify{plain{m}} })},
		{"context/cancelled", "ignores the context", over(func(m *memstore.Store) noContext { return noContext{m} })},
		{"context/cancelled", "an error of its own", over(func(m *memstore.Store) ownError { return ownError{m} })},
		{"context/cancelled", "hangs", inBubble(over(func(m *memstore.Store) hangs { return hangs{m} }))},
		{"context/deadline", "ignores the context", over(func(m *memstore.Store) noContext { return noContext{m} })},
		{"concurrent/values", "one slot for all", over(mapped(func(string) string { return "slot" }))},
		{"concurrent/values", "tears values", over(changedValues(func(b []byte) []byte { return b[:len(b)-1] }))},
		{"close/after", "goes on after Close", over(func(m *memstore.Store) neverCloses { return neverCloses{m} })},
		{"close/after", "Close fails", over(func(m *memstore.Store) closeFails { return closeFails{m} })},
		{"close/during", "gives another's value", over(mapped(func(string) string { return "slot" }))},
		{"local/keep_load", "loads nothing", over(func(m *memstore.Store) loadsNothing { return loadsNothing{m} })},
		{"local/one_slot", "a slot each", over(func(m *memstore.Store) slotEach { return slotEach{m, &sync.Map{}} })},
		{"local/refused", "an old value stays", over(func(m *memstore.Store) staysOld { return staysOld{m} })},
		{"local/expiry", "lives for ever", over(func(m *memstore.Store) livesForever { return livesForever{m} })},
		{"local/expiry", "lives a second longer", over(func(m *memstore.Store) livesLonger { return livesLonger{m} })},
		{"local/keys", "folds case", over(func(m *memstore.Store) foldsLive { return foldsLive{m} })},
		{"local/no_allocation", "allocates", over(func(m *memstore.Store) allocates { return allocates{m, new([]byte)} })},
		{"multi/order", "any order", over(multi(func(v [][]byte) [][]byte { slices.Reverse(v); return v }))},
		{"multi/order", "only what is there", over(multi(func(v [][]byte) [][]byte {
			return slices.DeleteFunc(v, func(b []byte) bool { return b == nil })
		}))},
		{"multi/order", "empty is nil", over(multi(func(v [][]byte) [][]byte {
			for i := range v {
				v[i] = append([]byte(nil), v[i]...)
			}
			return v
		}))},
		{"multi/many", "forgets what is beyond 100", over(multi(func(v [][]byte) [][]byte {
			for i := 100; i < len(v); i++ {
				v[i] = nil
			}
			return v
		}))},
		{"sequence/raise", "issues one number twice", over(raises(func(uint64) uint64 { return 1 }))},
		{"sequence/raise", "no incarnation", over(marks(func(m store.Marks) store.Marks { m.Incarnation = 0; return m }))},
		{"sequence/raise", "lowers marks", over(marks(func(m store.Marks) store.Marks {
			for i := range m.Slots {
				m.Slots[i] /= 2
			}
			return m
		}))},
		{"sequence/raise", "Clear forgets marks", over(func(m *memstore.Store) clearForgets { return clearForgets{m, new(bool)} })},
		{"sequence/marked", "no marks for what is absent", over(func(m *memstore.Store) markedAbsent { return markedAbsent{m} })},
		{"sequence/many", "forgets names beyond 100", over(marks(func(m store.Marks) store.Marks {
			for i := 100; i < len(m.Slots); i++ {
				m.Slots[i] = 0
			}
			return m
		}))},
		{"sequence/sparse", "everything is newer", over(marks(func(m store.Marks) store.Marks {
			for i := range m.Slots {
				m.Slots[i] = m.Newest
			}
			return m
		}))},
		{"sequence/whole", "the number before the slots", over(func(m *memstore.Store) numberFirst { return numberFirst{m, false, new(atomic.Uint64)} })},
		{"sequence/whole", "the number before the slots of GetMarked", over(func(m *memstore.Store) numberFirst { return numberFirst{m, true, new(atomic.Uint64)} })},
		{"sequence/concurrent", "a number behind", over(raises(func(n uint64) uint64 { return n/2 + 1 }))},
		{"sequence/sequenced", "another sequence", over(func(m *memstore.Store) otherSequence { return otherSequence{m, store.NewSequence()} })},
		{"lock/exclusion", "grants to all", over(func(m *memstore.Store) grantsAll { return grantsAll{m} })},
		{"lock/exclusion", "anybody unlocks", over(func(m *memstore.Store) anyUnlocks { return anyUnlocks{m, &sync.Map{}} })},
		{"lock/exclusion", "renews what was given back", over(func(m *memstore.Store) renewsEnded { return renewsEnded{m} })},
		{"lock/race", "grants to all", over(func(m *memstore.Store) grantsAll { return grantsAll{m} })},
		{"lock/takeover", "leases do not end", over(func(m *memstore.Store) longLeases { return longLeases{m} })},
		{"lock/takeover", "writes without the lease", over(func(m *memstore.Store) unfenced { return unfenced{m} })},
		{"lock/renew", "does not renew", over(func(m *memstore.Store) noRenewal { return noRenewal{m} })},
		{"lock/set_locked", "writes without the lease", over(func(m *memstore.Store) unfenced { return unfenced{m} })},
		{"list/prefix", "prefix is a pattern", over(func(m *memstore.Store) globs { return globs{m} })},
		{"list/many", "yields twice", over(func(m *memstore.Store) yieldsTwice { return yieldsTwice{m} })},
		{"list/many", "stops at 1000", over(func(m *memstore.Store) lists1000 { return lists1000{m} })},
		{"clear/prefix", "clears everything", over(func(m *memstore.Store) clearsAll { return clearsAll{m} })},
		{"clear/many", "counts nothing", over(func(m *memstore.Store) clearsUncounted { return clearsUncounted{m} })},
		{"size", "counts nothing", inBubble(over(func(m *memstore.Store) noSize { return noSize{m} }))},
		{"notify", "tells nothing", inBubble(over(func(m *memstore.Store) tellsNothing { return tellsNothing{m, true} }))},
		{"notify", "no lost at first", inBubble(over(func(m *memstore.Store) tellsNothing { return tellsNothing{m, false} }))},
		{"peer/values", "sees nothing", apart()},
		{"peer/sequence", "numbers of its own", apart()},
		{"peer/lock", "locks of its own", apart()},
		{"peer/list", "keys of its own", apart()},
		{"peer/after_close", "keeps nothing", apart()},
	}
}

// TestBroken: the suite finds what is wrong with each broken store.
func TestBroken(t *testing.T) {
	for _, tt := range brokenStores() {
		t.Run(tt.check+"/"+tt.wrong, func(t *testing.T) {
			if f := failuresOf(t, tt.check, tt.cfg); len(f) == 0 {
				t.Errorf("the check passes a store that is wrong")
			} else {
				t.Logf("%d failures, the first: %s", len(f), f[0])
			}
		})
	}
}

// TestEveryCheckCanFail: there is a broken store for each check.
func TestEveryCheckCanFail(t *testing.T) {
	for _, c := range checks() {
		if !slices.ContainsFunc(brokenStores(), func(b brokenStore) bool { return b.check == c.name }) {
			t.Errorf("no broken store for the check %q", c.name)
		}
	}
}

func inBubble(cfg Config) Config {
	cfg.Bubble = true
	return cfg
}

// apart is a store whose second opening is another store.
func apart() Config {
	cfg := over(func(m *memstore.Store) *memstore.Store { return m })
	cfg.Reopen = func(t *testing.T, _ store.Store) store.Store { return memory(t) }
	return cfg
}
