package redisstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

const (
	// budget is the deadline of each call. A cache gives a store less for an answer; this is for a busy machine.
	budget = time.Second
	// slack is how much later than its deadline a call may return on such a machine. Faults last longer than both.
	slack = 2 * time.Second
	// recovery is the time within which everything works again.
	recovery = 20 * time.Second
)

// body is what "key" holds: long enough to be cut within.
var body = bytes.Repeat([]byte("0123456789abcdef"), 512)

// calls are all methods that take a context and end, with arguments that work.
func calls(t *testing.T, s *redisstore.Store) map[string]func(context.Context) error {
	read := func(value []byte, err error) error {
		if err == nil && !bytes.Equal(value, body) {
			t.Errorf("a read returns %d bytes that were never set", len(value))
		}
		return found(err)
	}
	return map[string]func(context.Context) error{
		"Set":      func(ctx context.Context) error { return s.Set(ctx, "key", body, time.Hour) },
		"Get":      func(ctx context.Context) error { return read(s.Get(ctx, "key")) },
		"GetMulti": func(ctx context.Context) error { _, err := s.GetMulti(ctx, []string{"key", "a", "b"}); return err },
		"Delete":   func(ctx context.Context) error { _, err := s.Delete(ctx, "a", "b", "c", "d"); return err },
		"Marks":    func(ctx context.Context) error { _, err := s.Marks(ctx, "name"); return err },
		"Raise":    func(ctx context.Context) error { _, err := s.Raise(ctx, "other"); return err },
		"GetMarked": func(ctx context.Context) error {
			value, _, err := s.GetMarked(ctx, "key", "name")
			return read(value, err)
		},
		"Lock":   func(ctx context.Context) error { _, _, err := s.Lock(ctx, "lease", time.Hour); return err },
		"Renew":  func(ctx context.Context) error { _, err := s.Renew(ctx, "lease", 1, time.Hour); return err },
		"Unlock": func(ctx context.Context) error { return s.Unlock(ctx, "lease", 1) },
		"SetLocked": func(ctx context.Context) error {
			_, err := s.SetLocked(ctx, "key", body, time.Hour, "lease", 1)
			return err
		},
		"Keys": func(ctx context.Context) error {
			for _, err := range s.Keys(ctx, "nothing") {
				if err != nil {
					return err
				}
			}
			return nil
		},
		"Clear": func(ctx context.Context) error { _, err := s.Clear(ctx, "nothing"); return err },
	}
}

func found(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// storm makes every call, several at a time, until the time is over, and returns how many failed. Each must return by
// its deadline.
func storm(t *testing.T, s *redisstore.Store, duration time.Duration) (failed, all int) {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := time.Now().Add(duration)
	for name, call := range calls(t, s) {
		for range 2 {
			wg.Go(func() {
				for time.Now().Before(end) {
					ctx, cancel := context.WithTimeout(t.Context(), budget)
					began := time.Now()
					err := call(ctx)
					took := time.Since(began)
					cancel()
					if took > budget+slack {
						t.Errorf("%s took %v of %v: %v", name, took, budget, err)
					}
					mu.Lock()
					all++
					if err != nil {
						failed++
					}
					mu.Unlock()
					time.Sleep(5 * time.Millisecond) // a client's pace, not a busy loop
				}
			})
		}
	}
	wg.Wait()
	return failed, all
}

// recovers measures how long it takes until every call works again.
func recovers(t *testing.T, s *redisstore.Store) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		var failed error
		for name, call := range calls(t, s) {
			ctx, cancel := context.WithTimeout(t.Context(), budget)
			if err := call(ctx); err != nil {
				failed = fmt.Errorf("%s: %w", name, err)
			}
			cancel()
		}
		took := time.Since(began)
		if failed == nil {
			return took
		}
		if took > recovery {
			t.Fatalf("after %v: %v", took, failed)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestFaults(t *testing.T) {
	type world struct {
		server *realserver.Server
		proxy  *realserver.Proxy
	}
	for _, tt := range []struct {
		name  string
		begin func(t *testing.T, w world)
		last  time.Duration
		end   func(t *testing.T, w world)
		some  bool // some calls succeed while it lasts
	}{
		{"killed", func(_ *testing.T, w world) { w.server.Kill() }, time.Second, func(t *testing.T, w world) { w.server.Restart(t) }, false},
		{"stopped", func(t *testing.T, w world) { w.server.Pause(t) }, 5 * time.Second, func(t *testing.T, w world) { w.server.Continue(t) }, false},
		{"restarted_empty", func(t *testing.T, w world) { w.server.RestartEmpty(t) }, time.Second, func(*testing.T, world) {}, true},
		{"refused", func(_ *testing.T, w world) { w.proxy.Refuse() }, time.Second, func(_ *testing.T, w world) { w.proxy.Heal() }, false},
		{"reset_in_reply", func(_ *testing.T, w world) { w.proxy.Reset() }, time.Second, func(_ *testing.T, w world) { w.proxy.Heal() }, true},
		{"cut_short", func(_ *testing.T, w world) { w.proxy.Cut(5000) }, time.Second, func(_ *testing.T, w world) { w.proxy.Heal() }, true},
		{"latency", func(_ *testing.T, w world) { w.proxy.Latency(10 * time.Second) }, 4 * time.Second, func(_ *testing.T, w world) { w.proxy.Heal() }, false},
		{"silent", func(_ *testing.T, w world) { w.proxy.Hang() }, 4 * time.Second, func(_ *testing.T, w world) { w.proxy.Heal() }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := world{server: realserver.NewRedis(t)}
			w.proxy = realserver.NewProxy(t, w.server.Addr())
			s := open(t, redisstore.Config{URL: "redis://" + w.proxy.Addr()})
			recovers(t, s) // from not being connected
			if failed, all := storm(t, s, 100*time.Millisecond); failed > 0 {
				t.Fatalf("before the fault %d of %d calls failed", failed, all)
			}
			onset := make(chan int)
			go func() {
				failed, _ := storm(t, s, tt.last)
				onset <- failed
			}()
			tt.begin(t, w)
			if <-onset == 0 {
				t.Error("no call failed; the fault was none")
			}
			failed, all := storm(t, s, 300*time.Millisecond)
			if failed < all && !tt.some {
				t.Errorf("%d of %d calls failed while the fault lasts; want all", failed, all)
			}
			tt.end(t, w)
			t.Logf("%d of %d calls failed, recovered within %v", failed, all, recovers(t, s))
		})
	}
}

// However many calls are under way when the server falls silent, each returns by its deadline. The client alone makes
// them wait until it gives the connection up.
func TestManyCallsUnderWay(t *testing.T) {
	server := realserver.NewRedis(t)
	s := open(t, redisstore.Config{URL: "redis://" + server.Addr()})
	recovers(t, s)
	storm(t, s, 100*time.Millisecond) // calls have met on every connection
	server.Pause(t)
	for _, name := range []string{"Set", "GetMarked", "GetMulti"} {
		call := calls(t, s)[name]
		var wg sync.WaitGroup
		var slowest atomic.Int64
		for range 4000 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), budget)
				defer cancel()
				began := time.Now()
				if err := call(ctx); err == nil {
					t.Errorf("%s succeeded without a server", name)
				}
				if took := int64(time.Since(began)); took > slowest.Load() {
					slowest.Store(took)
				}
			})
		}
		wg.Wait()
		if took := time.Duration(slowest.Load()); took > budget+2*slack {
			t.Errorf("the slowest of 4000 calls of %s took %v of %v", name, took, budget)
		}
	}
	server.Continue(t)
	recovers(t, s)
}

// A store may be made, and fail, before there is a server.
func TestServerComesLater(t *testing.T) {
	server := realserver.NewRedis(t)
	server.Kill()
	s := open(t, redisstore.Config{URL: "redis://" + server.Addr()})
	if failed, all := storm(t, s, 50*time.Millisecond); failed < all {
		t.Errorf("%d of %d calls failed; want all", failed, all)
	}
	server.Restart(t)
	recovers(t, s)
}

// A node of a Cluster that is down takes its own keys along and no others.
func TestClusterNodeKilled(t *testing.T) {
	t.Parallel()
	nodes := realserver.NewRedisCluster(t)
	s := open(t, redisstore.Config{URL: "redis://" + nodes[0].Addr() + "?addr=" + nodes[1].Addr() + "&addr=" + nodes[2].Addr()})
	recovers(t, s)
	const keys = 300
	read := func() (failed int) {
		for i := range keys {
			ctx, cancel := context.WithTimeout(t.Context(), budget)
			began := time.Now()
			if _, err := s.Get(ctx, fmt.Sprint("key", i)); found(err) != nil {
				failed++
			}
			cancel()
			if took := time.Since(began); took > budget+slack {
				t.Errorf("Get took %v of %v", took, budget)
			}
		}
		return failed
	}
	if failed := read(); failed > 0 {
		t.Fatalf("%d of %d reads failed with all nodes up", failed, keys)
	}
	nodes[1].Kill()
	storm(t, s, 500*time.Millisecond)
	if failed := read(); failed < keys/5 || failed > keys/2 {
		t.Errorf("%d of %d reads failed with one of three nodes down; want about a third", failed, keys)
	}
	nodes[1].Restart(t)
	// The other nodes need their node timeout of a second to take it back.
	deadline := time.Now().Add(10 * time.Second)
	for read() > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("reads still fail 10 s after the node came back")
		}
	}
	recovers(t, s)
}

// Slots may move to another node while the store is at work, those of the marks included.
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	nodes := realserver.NewRedisCluster(t)
	s := open(t, redisstore.Config{URL: "redis://" + nodes[0].Addr() + "?addr=" + nodes[1].Addr() + "&addr=" + nodes[2].Addr()})
	recovers(t, s)
	n := raise(t, s, "name")
	before := marks(t, s, "name")

	slot := do(t, nodes[0].Addr(), "CLUSTER", "KEYSLOT", "reprise:marks:2")
	var from, to *realserver.Server
	for _, node := range nodes {
		if _, err := realserver.RedisDo(node.Addr(), "EXISTS", "reprise:marks:2"); err == nil {
			from = node
		} else {
			to = node
		}
	}
	fromID, toID := do(t, from.Addr(), "CLUSTER", "MYID"), do(t, to.Addr(), "CLUSTER", "MYID")
	_, port, _ := strings.Cut(to.Addr(), ":")
	do(t, to.Addr(), "CLUSTER", "SETSLOT", slot, "IMPORTING", fromID)
	do(t, from.Addr(), "CLUSTER", "SETSLOT", slot, "MIGRATING", toID)
	do(t, from.Addr(), "MIGRATE", "127.0.0.1", port, "reprise:marks:2", "0", "5000")
	for _, node := range []*realserver.Server{to, from} {
		do(t, node.Addr(), "CLUSTER", "SETSLOT", slot, "NODE", toID)
	}
	after := marksSoon(t, s, "name")
	if after.Incarnation == before.Incarnation && after.Slots[0] != n {
		t.Errorf("Marks = %+v, after the move %+v; want the mark or another incarnation", before, after)
	}
	recovers(t, s)
}

// The rights that docs/stores/redis.md asks for are enough.
func TestLeastPrivileges(t *testing.T) {
	page, err := os.ReadFile("../../docs/stores/redis.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\nACL SETUSER ")
	line, _, ended := strings.Cut(rest, "\n")
	if !found || !ended {
		t.Fatal("docs/stores/redis.md has no line that begins with ACL SETUSER")
	}
	server := realserver.NewRedis(t)
	do(t, server.Addr(), append([]string{"ACL", "SETUSER"}, strings.Fields(line)...)...)
	s := open(t, redisstore.Config{URL: "redis://reprise:secret@" + server.Addr()})
	if failed, all := storm(t, s, 100*time.Millisecond); failed > 0 {
		t.Errorf("%d of %d calls failed", failed, all)
	}
	warm(t, server.Addr(), s, "key", "name")
	watch(t, s)
	set(t, s, "cleared", time.Hour)
	if n, err := s.Clear(t.Context(), "cleared"); n != 1 || err != nil {
		t.Errorf("Clear = %d, %v; want 1", n, err)
	}
}
