package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

func marks(t *testing.T, s *redisstore.Store, names ...string) store.Marks {
	t.Helper()
	m, err := s.Marks(t.Context(), names...)
	if err != nil {
		t.Fatalf("Marks: %v", err)
	}
	return m
}

func raise(t *testing.T, s *redisstore.Store, names ...string) uint64 {
	t.Helper()
	n, err := s.Raise(t.Context(), names...)
	if err != nil {
		t.Fatalf("Raise: %v", err)
	}
	return n
}

// soon waits until ok, for what a server or a connection does in its own time.
func soon(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 15 s", what)
		}
	}
}

// marksSoon reads marks as soon as that is possible again.
func marksSoon(t *testing.T, s *redisstore.Store, names ...string) (m store.Marks) {
	t.Helper()
	var err error
	soon(t, "Marks", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), budget)
		defer cancel()
		m, err = s.Marks(ctx, names...)
		return err == nil
	})
	return m
}

func do(t *testing.T, addr string, args ...string) string {
	t.Helper()
	reply, err := realserver.RedisDo(addr, args...)
	if err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return reply
}

// What a server forgets or may have forgotten is told by another incarnation, and nothing else is.
func TestIncarnation(t *testing.T) {
	keeps := []string{"--appendonly", "yes", "--appendfsync", "always"}
	for _, tt := range []struct {
		name    string
		args    []string
		durable bool
		happen  func(t *testing.T, server *realserver.Server)
		changes bool
	}{
		{"nothing", nil, false, func(*testing.T, *realserver.Server) {}, false},
		{"FLUSHALL", nil, false, func(t *testing.T, server *realserver.Server) { do(t, server.Addr(), "FLUSHALL") }, true},
		{"evicted", nil, false, func(t *testing.T, server *realserver.Server) { do(t, server.Addr(), "DEL", "reprise:marks:2") }, true},
		{"overwritten", nil, false, func(t *testing.T, server *realserver.Server) { do(t, server.Addr(), "SET", "reprise:marks:2", "x") }, true},
		{"connections_cut", nil, false, func(t *testing.T, server *realserver.Server) {
			do(t, server.Addr(), "CLIENT", "KILL", "TYPE", "normal")
		}, false},
		{"restarted_empty", nil, false, func(t *testing.T, server *realserver.Server) { server.RestartEmpty(t) }, true},
		{"restarted_with_data", keeps, false, func(t *testing.T, server *realserver.Server) { server.Restart(t) }, true},
		{"restarted_with_data_durable", keeps, true, func(t *testing.T, server *realserver.Server) { server.Restart(t) }, false},
		{"restarted_empty_durable", nil, true, func(t *testing.T, server *realserver.Server) { server.RestartEmpty(t) }, true},
		{"FLUSHALL_durable", nil, true, func(t *testing.T, server *realserver.Server) { do(t, server.Addr(), "FLUSHALL") }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := realserver.NewRedis(t, tt.args...)
			cfg := redisstore.Config{URL: "redis://" + server.Addr(), Durable: tt.durable}
			s, idle := open(t, cfg), open(t, cfg)
			n := raise(t, s, "raised")
			before := marks(t, idle, "raised", "never")
			if before.Newest != n || before.Slots[0] != n || before.Slots[1] != 0 {
				t.Fatalf("Marks = %+v after Raise = %d", before, n)
			}
			tt.happen(t, server)
			// idle notices nothing before it asks.
			after := marksSoon(t, idle, "raised", "never")
			if changed := after.Incarnation != before.Incarnation; changed != tt.changes {
				t.Errorf("the incarnation changed: %v; want %v", changed, tt.changes)
			}
			if !tt.changes && (after.Newest != n || after.Slots[0] != n) {
				t.Errorf("Marks = %+v, then %+v; want no change", before, after)
			}
			if again := marksSoon(t, s, "raised"); again.Incarnation != after.Incarnation {
				t.Errorf("two stores see the incarnations %d and %d", after.Incarnation, again.Incarnation)
			}
			m := raise(t, s, "raised")
			if got := marks(t, idle, "raised"); got.Slots[0] != m || got.Incarnation != after.Incarnation {
				t.Errorf("Marks = %+v after Raise = %d; want it there, under the incarnation %d", got, m, after.Incarnation)
			}
		})
	}
}

// A Raise that comes first after the marks were lost begins them anew, and in full: what it left of them otherwise would be
// taken for marks without incarnation by a server that is trusted to forget nothing.
func TestRaiseAfterLoss(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	s := open(t, redisstore.Config{URL: "redis://" + addr, Prefix: prefix, Durable: true})
	raise(t, s, "name")
	before := marks(t, s, "name")
	do(t, addr, "DEL", prefix+"marks:2")
	n := raise(t, s, "name")
	if m := marks(t, s, "name"); m.Incarnation == 0 || m.Incarnation == before.Incarnation || m.Newest != n || m.Slots[0] != n {
		t.Errorf("Marks = %+v after Raise = %d, were %+v; want the number under another incarnation", m, n, before)
	}
}

// The marks of a replica may be behind: nobody reads them, also where no write would tell.
func TestReplicaIsRefused(t *testing.T) {
	t.Parallel()
	a, b := realserver.NewRedis(t), realserver.NewRedis(t)
	raise(t, open(t, redisstore.Config{URL: "redis://" + a.Addr(), Durable: true}), "name")
	follow(t, b, a)
	s := open(t, redisstore.Config{URL: "redis://" + b.Addr(), Durable: true})
	if m, err := s.Marks(t.Context(), "name"); err == nil || !strings.Contains(err.Error(), "replica") {
		t.Errorf("Marks of a replica = %+v, %v; want an error that says so", m, err)
	}
}

// Many processes that meet a new run at the same time agree on its incarnation.
func TestIncarnationIsAgreedUpon(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	seen := make(chan uint64, 16)
	var wg sync.WaitGroup
	for range cap(seen) {
		s := open(t, redisstore.Config{URL: "redis://" + addr, Prefix: prefix})
		wg.Go(func() {
			m, err := s.Marks(t.Context())
			if err != nil {
				t.Errorf("Marks: %v", err)
			}
			seen <- m.Incarnation
		})
	}
	wg.Wait()
	first := <-seen
	for len(seen) > 0 {
		if got := <-seen; got != first {
			t.Errorf("incarnations %d and %d; want one", first, got)
		}
	}
}

// A master that was a replica meanwhile may have lost marks, also if no store has met the master in between.
func TestMasterAndBackUnseen(t *testing.T) {
	t.Parallel()
	a, b := realserver.NewRedis(t), realserver.NewRedis(t)
	cfg := redisstore.Config{URL: "redis://" + a.Addr()}
	s, err := redisstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	raise(t, s, "name")
	follow(t, b, a)
	before := marks(t, open(t, cfg), "name")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	do(t, b.Addr(), "REPLICAOF", "NO", "ONE")
	follow(t, a, b)
	do(t, a.Addr(), "REPLICAOF", "NO", "ONE")
	if after := marks(t, open(t, cfg), "name"); after.Incarnation == before.Incarnation {
		t.Error("the incarnation is the same after the data of a replica were taken over; want another")
	}
}

// A master's first replica makes the server begin another replication history. Stores that connected before and after
// agree on one incarnation all the same.
func TestFirstReplica(t *testing.T) {
	t.Parallel()
	a, b := realserver.NewRedis(t), realserver.NewRedis(t)
	cfg := redisstore.Config{URL: "redis://" + a.Addr()}
	early := open(t, cfg)
	raise(t, early, "name")
	follow(t, b, a)
	late := open(t, cfg)
	want := marks(t, late).Incarnation
	for range 20 { // every connection of both
		if x, y := marks(t, early).Incarnation, marks(t, late).Incarnation; x != want || y != want {
			t.Fatalf("incarnations %d and %d; want %d to stay", x, y, want)
		}
	}
}

// follow makes replica a replica of master and waits until it has its data.
func follow(t *testing.T, replica, master *realserver.Server) {
	t.Helper()
	host, port, _ := strings.Cut(master.Addr(), ":")
	do(t, master.Addr(), "CONFIG", "SET", "repl-diskless-sync-delay", "0") // no wait for further replicas
	do(t, replica.Addr(), "REPLICAOF", host, port)
	soon(t, "the replica follows", func() bool {
		return strings.Contains(do(t, replica.Addr(), "INFO", "replication"), "master_link_status:up")
	})
}

// A master that was a replica meanwhile has missed nothing of its own run and may have lost marks all the same.
func TestMasterAndBack(t *testing.T) {
	t.Parallel()
	a, b := realserver.NewRedis(t), realserver.NewRedis(t)
	onA := open(t, redisstore.Config{URL: "redis://" + a.Addr()})
	onB := open(t, redisstore.Config{URL: "redis://" + b.Addr()})
	raise(t, onA, "name")
	first := marks(t, onA, "name")

	follow(t, b, a)
	if m, err := onB.Marks(t.Context()); err == nil {
		t.Errorf("Marks of a replica = %+v; want an error", m)
	}
	do(t, b.Addr(), "REPLICAOF", "NO", "ONE")
	second := marksSoon(t, onB, "name")
	follow(t, a, b)
	// The connection to a has survived. What it reads now is b's.
	if m, err := onA.Marks(t.Context()); err == nil {
		t.Errorf("Marks of a former master = %+v; want an error", m)
	}
	if n, err := onA.Raise(t.Context(), "name"); err == nil {
		t.Errorf("Raise at a former master = %d; want an error", n)
	}
	do(t, a.Addr(), "REPLICAOF", "NO", "ONE")
	third := marksSoon(t, onA, "name")
	if second.Incarnation == first.Incarnation || third.Incarnation == first.Incarnation || third.Incarnation == second.Incarnation {
		t.Errorf("incarnations %d, %d, %d; want three", first.Incarnation, second.Incarnation, third.Incarnation)
	}
}

// When a Sentinel promotes a replica, the store follows, under another incarnation.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	master, replica := realserver.NewRedis(t), realserver.NewRedis(t)
	follow(t, replica, master)
	sentinel := realserver.NewRedisSentinel(t, master)
	soon(t, "the Sentinel knows the replica", func() bool {
		return strings.Contains(do(t, sentinel.Addr(), "INFO", "sentinel"), "slaves=1")
	})
	s := open(t, redisstore.Config{URL: "redis://" + sentinel.Addr() + "?master_set=reprise"})
	raise(t, s, "name")
	before := marks(t, s, "name")
	master.Kill()
	after := marksSoon(t, s, "name")
	if after.Incarnation == before.Incarnation {
		t.Errorf("the incarnation is %d before and after the failover; want another", after.Incarnation)
	}
	if n := raise(t, s, "name"); marks(t, s, "name").Slots[0] != n {
		t.Errorf("the mark raised to %d is not there", n)
	}
}

// A client that turns to another master takes the marks along, though the old one lives on and answers.
func TestIsolatedMaster(t *testing.T) {
	t.Parallel()
	old, next := realserver.NewRedis(t), realserver.NewRedis(t)
	sentinel := realserver.NewRedisSentinel(t, old)
	s := open(t, redisstore.Config{Options: rueidis.ClientOption{
		InitAddress: []string{sentinel.Addr()},
		Sentinel:    rueidis.SentinelOption{MasterSet: "reprise", TopologyRefreshInterval: 100 * time.Millisecond},
	}})
	direct := open(t, redisstore.Config{URL: "redis://" + next.Addr()})
	raise(t, s, "name")
	before, want := marks(t, s).Incarnation, marks(t, direct).Incarnation
	_, port, _ := strings.Cut(next.Addr(), ":")
	do(t, sentinel.Addr(), "SENTINEL", "REMOVE", "reprise")
	do(t, sentinel.Addr(), "SENTINEL", "MONITOR", "reprise", "127.0.0.1", port, "1")
	soon(t, "the marks are those of the new master", func() bool {
		m, err := s.Marks(t.Context())
		return err == nil && m.Incarnation == want
	})
	if want == before {
		t.Error("two servers have one incarnation")
	}
	do(t, old.Addr(), "PING") // it was there all the time
}

// A look-up is one read of the value and one of the marks, and writes nothing.
func TestGetMarkedCommands(t *testing.T) {
	server := realserver.NewRedis(t)
	s := open(t, redisstore.Config{URL: "redis://" + server.Addr()})
	const hits = 100
	if err := s.Set(t.Context(), "key", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for range 100 { // opens every connection
		marks(t, s, "a")
	}
	do(t, server.Addr(), "CONFIG", "RESETSTAT")
	for range hits {
		if _, _, err := s.GetMarked(t.Context(), "key", "a", "b"); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(do(t, server.Addr(), "INFO", "commandstats")) {
		name, stats, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":")
		if !ok || strings.HasPrefix(name, "config") || name == "ping" {
			continue
		}
		if (name != "get" && name != "bitfield_ro") || !strings.HasPrefix(stats, fmt.Sprintf("calls=%d,", hits)) {
			t.Errorf("%d hits cost %s", hits, strings.TrimSpace(line))
		}
	}
}

// An invalidation must not fail because the server is full.
func TestRaiseWhenMemoryIsFull(t *testing.T) {
	server := realserver.NewRedis(t, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
	s := open(t, redisstore.Config{URL: "redis://" + server.Addr()})
	first := raise(t, s, "name")
	full := false
	for i := 0; i < 1000 && !full; i++ {
		full = s.Set(t.Context(), fmt.Sprint("key", i), make([]byte, 100<<10), time.Hour) != nil
	}
	if !full {
		t.Fatal("the server takes more than its maxmemory")
	}
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprint("name", i))
	}
	n := raise(t, s, names...)
	for i, slot := range marks(t, s, names...).Slots {
		if n <= first || slot != n {
			t.Errorf("slot %d = %d after Raise = %d", i, slot, n)
		}
	}
	// Not even if the marks themselves are gone.
	do(t, server.Addr(), "DEL", "reprise:marks:2")
	for i := 0; i < 1000 && s.Set(t.Context(), fmt.Sprint("more", i), make([]byte, 10<<10), time.Hour) == nil; i++ {
		continue
	}
	raise(t, s, "name")
}

// A foreign value under a key of the store is an error, not a value, and does not hide the marks.
func TestForeignValue(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	s := open(t, redisstore.Config{URL: "redis://" + addr, Prefix: prefix})
	do(t, addr, "RPUSH", prefix+"{:key}", "foreign")
	n := raise(t, s, "name")
	value, m, err := s.GetMarked(t.Context(), "key", "name")
	if value != nil || err == nil || m.Newest != n {
		t.Errorf("GetMarked = %q, %+v, %v; want an error and the marks", value, m, err)
	}
	if err := s.Set(t.Context(), "key", []byte("own"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if value, _, err := s.GetMarked(t.Context(), "key"); string(value) != "own" || err != nil {
		t.Errorf("GetMarked after Set = %q, %v", value, err)
	}
}

// A client that another opened is used and not closed.
func TestClientStaysOpen(t *testing.T) {
	c := client(t, rueidis.ClientOption{InitAddress: []string{realserver.Redis(t)}, DisableCache: true, BlockingPoolSize: 8})
	for range 20 { // more than its pool has connections: they must come back
		s, err := redisstore.New(redisstore.Config{Client: c, Prefix: newPrefix(t)})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			marks(t, s)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Do(t.Context(), c.B().Ping().Build()).Error(); err != nil {
		t.Errorf("the client after Close: %v", err)
	}
}
