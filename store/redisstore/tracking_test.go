package redisstore_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
)

// commands counts what the server is told while f runs, except what is not the store's.
func commands(t *testing.T, addr string, f func()) map[string]int {
	t.Helper()
	do(t, addr, "CONFIG", "RESETSTAT")
	f()
	counts := make(map[string]int)
	for line := range strings.Lines(do(t, addr, "INFO", "commandstats")) {
		name, stats, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if !ok || strings.HasPrefix(name, "config") || name == "ping" {
			continue
		}
		number, _, _ := strings.Cut(stats, ",")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatal(err)
		}
		counts[name] = n
	}
	return counts
}

func getMarked(t *testing.T, s *redisstore.Store, key string, names ...string) store.Marks {
	t.Helper()
	_, m, err := s.GetMarked(t.Context(), key, names...)
	if found(err) != nil {
		t.Fatalf("GetMarked: %v", err)
	}
	return m
}

// meet looks key up so often at once that calls have met on every lane.
func meet(t *testing.T, s *redisstore.Store, key string, names ...string) {
	t.Helper()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				if _, _, err := s.GetMarked(t.Context(), key, names...); found(err) != nil {
					t.Errorf("GetMarked: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

// warm waits until look-ups of key take one command on every lane: the marks of names are known, and the server
// announces when they change.
func warm(t *testing.T, addr string, s *redisstore.Store, key string, names ...string) {
	t.Helper()
	const hits = 20
	soon(t, "look-ups of one command", func() bool {
		meet(t, s, key, names...)
		counts := commands(t, addr, func() {
			for range hits {
				getMarked(t, s, key, names...)
			}
		})
		return len(counts) == 1 && counts["get"] == hits
	})
}

// A look-up that begins after Raise returned sees it, on every lane of every store, also when nothing tells it but the
// server.
func TestRaiseIsSeenByAll(t *testing.T) {
	server := realserver.NewRedis(t)
	cfg := redisstore.Config{URL: "redis://" + server.Addr()}
	const raises, between = 1000, 40 // of each name, and look-ups before the next
	names := []string{"a", "b", "c"}
	stores := []*redisstore.Store{open(t, cfg), open(t, cfg)}
	for _, s := range stores {
		set(t, s, "key", time.Hour)
		warm(t, server.Addr(), s, "key", names...)
	}
	stores = append(stores, open(t, cfg)) // one that only raises

	var acknowledged [3]atomic.Uint64 // by name
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	next := make(chan struct{})
	read := func(s *redisstore.Store) error {
		var floor [len(acknowledged)]uint64
		for i := range floor {
			floor[i] = acknowledged[i].Load()
		}
		_, m, err := s.GetMarked(t.Context(), "key", names...)
		if err != nil {
			return err
		}
		for i, n := range floor {
			if m.Slots[i] < n || m.Newest < n {
				return fmt.Errorf("%+v after Raise(%q) = %d", m, names[i], n)
			}
		}
		return nil
	}
	var readers, raisers sync.WaitGroup
	for _, s := range stores[:2] {
		for range 4 {
			readers.Go(func() {
				defer cancel() // the others need not go on if this one failed
				for i := 1; ctx.Err() == nil; i++ {
					if err := read(s); err != nil {
						t.Errorf("GetMarked: %v", err)
						return
					}
					if i%between == 0 {
						select {
						case next <- struct{}{}:
						case <-ctx.Done():
						}
					}
				}
			})
		}
	}
	counts := commands(t, server.Addr(), func() {
		for i, s := range stores {
			raisers.Go(func() {
				for range raises {
					select {
					case <-next:
					case <-ctx.Done():
						return
					}
					n, err := s.Raise(t.Context(), names[i])
					if err != nil {
						t.Errorf("Raise: %v", err)
						return
					}
					acknowledged[i].Store(n) // nobody else raises this name
				}
			})
		}
		raisers.Wait()
	})
	cancel()
	readers.Wait()
	if counts["eval"] < len(names)*raises {
		t.Errorf("%d raises; want %d", counts["eval"], len(names)*raises)
	}
	// It is about look-ups that do not read the marks.
	if 4*counts["bitfield_ro"] > 3*counts["get"] {
		t.Errorf("%d values and %d times the marks were read; want these to be fewer", counts["get"], counts["bitfield_ro"])
	}
	t.Logf("%d values and %d times the marks were read", counts["get"], counts["bitfield_ro"])
}

// However the marks change, the next look-up tells, on each lane.
func TestChangedBehindTheBack(t *testing.T) {
	for _, tt := range []struct {
		name    string
		happen  func(t *testing.T, server *realserver.Server)
		changes bool // the incarnation
	}{
		{"raised_by_hand", func(t *testing.T, server *realserver.Server) {
			do(t, server.Addr(), "SETRANGE", "reprise:marks:2", "15", "\x07")
		}, false},
		{"DEL", func(t *testing.T, server *realserver.Server) { do(t, server.Addr(), "DEL", "reprise:marks:2") }, true},
		{"SET", func(t *testing.T, server *realserver.Server) { do(t, server.Addr(), "SET", "reprise:marks:2", "x") }, true},
		{"RENAME", func(t *testing.T, server *realserver.Server) {
			do(t, server.Addr(), "RENAME", "reprise:marks:2", "elsewhere")
		}, true},
		{"FLUSHALL", func(t *testing.T, server *realserver.Server) { do(t, server.Addr(), "FLUSHALL") }, true},
		{"FLUSHDB_ASYNC", func(t *testing.T, server *realserver.Server) { do(t, server.Addr(), "FLUSHDB", "ASYNC") }, true},
		{"evicted", func(t *testing.T, server *realserver.Server) {
			do(t, server.Addr(), "CONFIG", "SET", "maxmemory-policy", "allkeys-random")
			do(t, server.Addr(), "CONFIG", "SET", "maxmemory", "1")
			soon(t, "the eviction", func() bool { return do(t, server.Addr(), "DBSIZE") == "0" })
			do(t, server.Addr(), "CONFIG", "SET", "maxmemory", "0")
		}, true},
		{"connections_cut", func(t *testing.T, server *realserver.Server) {
			do(t, server.Addr(), "CLIENT", "KILL", "TYPE", "normal")
		}, false},
		{"cut_and_DEL", func(t *testing.T, server *realserver.Server) {
			do(t, server.Addr(), "CLIENT", "KILL", "TYPE", "normal")
			do(t, server.Addr(), "DEL", "reprise:marks:2")
		}, true},
		{"restarted_empty", func(t *testing.T, server *realserver.Server) { server.RestartEmpty(t) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := realserver.NewRedis(t)
			s := open(t, redisstore.Config{URL: "redis://" + server.Addr()})
			raise(t, s, "name")
			warm(t, server.Addr(), s, "key", "name", "other")
			before := getMarked(t, s, "key", "name", "other")
			tt.happen(t, server)
			var after store.Marks
			soon(t, "GetMarked", func() bool {
				var err error
				_, after, err = s.GetMarked(t.Context(), "key", "name", "other")
				return found(err) == nil
			})
			if changed := after.Incarnation != before.Incarnation; changed != tt.changes {
				t.Errorf("the incarnation changed: %v; want %v", changed, tt.changes)
			}
			direct := marksSoon(t, open(t, redisstore.Config{URL: "redis://" + server.Addr()}), "name", "other")
			for range 20 { // every lane
				soon(t, "GetMarked", func() bool {
					var err error
					_, after, err = s.GetMarked(t.Context(), "key", "name", "other")
					return found(err) == nil
				})
				if after.Incarnation != direct.Incarnation || after.Slots[0] != direct.Slots[0] || after.Newest < direct.Newest && !tt.changes {
					t.Fatalf("GetMarked = %+v; another store reads %+v", after, direct)
				}
			}
			warm(t, server.Addr(), s, "key", "name", "other") // again
		})
	}
}

// A server that does not let itself be asked to announce, or does not announce, costs what it cost before, and nothing
// is tried again and again.
func TestUntracked(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rights []string // beside all; Redis 6 has no "-client|tracking"
		config func(*rueidis.ClientOption)
	}{
		{"no_tracking", []string{"-client", "+client|caching"}, func(*rueidis.ClientOption) {}},
		{"no_caching", []string{"-client", "+client|tracking"}, func(*rueidis.ClientOption) {}},
		{"RESP2", nil, func(o *rueidis.ClientOption) { o.AlwaysRESP2 = true }},
		{"swallowed", nil, func(o *rueidis.ClientOption) {
			swallow := new(atomic.Bool)
			swallow.Store(true)
			o.DialCtxFn = swallowing(swallow)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := realserver.NewRedis(t)
			do(t, server.Addr(), append([]string{"ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all"}, tt.rights...)...)
			o := rueidis.ClientOption{InitAddress: []string{server.Addr()}, Username: "limited", Password: "secret"}
			tt.config(&o)
			s := open(t, redisstore.Config{Options: o})
			other := open(t, redisstore.Config{URL: "redis://" + server.Addr()})
			for range 3 {
				meet(t, s, "key", "name")
			}
			const hits = 50
			counts := commands(t, server.Addr(), func() {
				for range hits {
					n := raise(t, other, "name")
					if m := getMarked(t, s, "key", "name"); m.Slots[0] != n {
						t.Errorf("GetMarked = %+v after Raise = %d", m, n)
					}
				}
				meet(t, s, "key", "name")
			})
			if counts["get"] != counts["bitfield_ro"] || counts["client|tracking"] > 0 || counts["client|caching"] > 0 {
				t.Errorf("look-ups cost %v; want as many GET as BITFIELD_RO and no CLIENT", counts)
			}
		})
	}
}

// A change that is not announced, against all promises, is noticed all the same, a little later.
func TestSwallowedLater(t *testing.T) {
	server := realserver.NewRedis(t)
	var swallow atomic.Bool
	s := open(t, redisstore.Config{Options: rueidis.ClientOption{
		InitAddress: []string{server.Addr()}, DialCtxFn: swallowing(&swallow),
	}})
	other := open(t, redisstore.Config{URL: "redis://" + server.Addr()})
	warm(t, server.Addr(), s, "key", "name")
	swallow.Store(true)
	n := raise(t, other, "name")
	for range 2 { // that it does not come and go
		soon(t, "the mark", func() bool {
			for range 20 {
				if getMarked(t, s, "key", "name").Slots[0] != n {
					return false
				}
			}
			return true
		})
	}
}

type dial = func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error)

// swallowing dials connections on which announcements do not arrive while on is true.
func swallowing(on *atomic.Bool) dial {
	return func(ctx context.Context, addr string, d *net.Dialer, _ *tls.Config) (net.Conn, error) {
		conn, err := d.DialContext(ctx, "tcp", addr)
		return &swallower{Conn: conn, on: on}, err
	}
}

type swallower struct {
	net.Conn
	on *atomic.Bool
}

func (s *swallower) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	if s.on.Load() {
		copy(b, bytes.ReplaceAll(b[:n], []byte("invalidate"), []byte("unheard-of")))
	}
	return n, err
}
