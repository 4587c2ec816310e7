package memcachedstore_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// keysOf returns the keys of a server that match pattern.
func keysOf(t testing.TB, addr, pattern string) []string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("lru_crawler metadump all\r\n")); err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(pattern)
	var keys []string
	for lines := bufio.NewScanner(c); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "key="):
			key, err := url.QueryUnescape(strings.Fields(line)[0][4:])
			if err != nil {
				t.Fatal(err)
			}
			if match.MatchString(key) {
				keys = append(keys, key)
			}
		case line == "END":
			return keys
		case strings.HasPrefix(line, "BUSY"): // another test's dump
			return keysOf(t, addr, pattern)
		default:
			t.Fatalf("metadump: %q", line)
		}
	}
	t.Fatal("metadump: cut short")
	return nil
}

// atLeast returns the keys of a server that match pattern, of which there are n or more. A dump leaves out what the server
// is busy with, such as what is asked for again and again.
func atLeast(t testing.TB, addr string, n int, pattern string) []string {
	t.Helper()
	keys := make(map[string]bool)
	for deadline := time.Now().Add(20 * time.Second); len(keys) < n; {
		for _, key := range keysOf(t, addr, pattern) {
			keys[key] = true
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d keys match %s; want %d", len(keys), pattern, n)
		}
	}
	return slices.Collect(maps.Keys(keys))
}

// do executes commands on a server, past the store.
func do(t testing.TB, addr string, cmds ...meta.Command) []meta.Reply {
	t.Helper()
	server := meta.NewServer(meta.Config{Addr: addr, Timeout: 10 * time.Second, MaxValue: 1 << 20})
	defer server.Close()
	replies := make([]meta.Reply, len(cmds))
	if err := server.Do(t.Context(), cmds, replies); err != nil {
		t.Fatal(err)
	}
	return replies
}

// evict removes the keys of the server that match pattern, of which there must be some.
func evict(t testing.TB, addr, pattern string) {
	t.Helper()
	atEach(t, addr, atLeast(t, addr, 1, pattern), meta.Command{Op: meta.Delete})
}

// atEach executes c at each of the keys.
func atEach(t testing.TB, addr string, keys []string, c meta.Command) {
	t.Helper()
	for _, c.Key = range keys {
		do(t, addr, c)
	}
}

func marks(t testing.TB, s *memcachedstore.Store, names ...string) store.Marks {
	t.Helper()
	m, err := s.Marks(t.Context(), names...)
	if err != nil {
		t.Fatalf("Marks = %v", err)
	}
	return m
}

func raise(t testing.TB, s *memcachedstore.Store, names ...string) uint64 {
	t.Helper()
	n, err := s.Raise(t.Context(), names...)
	if err != nil {
		t.Fatalf("Raise = %v", err)
	}
	return n
}

// TestSequenceLoss takes away each kind of item. What was raised must not look as if it had not been.
func TestSequenceLoss(t *testing.T) {
	for name, tt := range map[string]struct {
		lost    string // keys of items; "" is the server
		now     string // what is there then; "" is nothing
		newLife bool
	}{
		"slots":                  {lost: `\.`},
		"counter":                {lost: `@[0-9a-f]+$`, newLife: true},
		"life":                   {lost: `@$`, newLife: true},
		"all":                    {lost: `@`, newLife: true},
		"restart":                {newLife: true},
		"garbage":                {lost: `@`, now: "garbage", newLife: true},
		"garbage in slots":       {lost: `\.`, now: "-1"},
		"garbage in the counter": {lost: `@[0-9a-f]+$`, now: "?", newLife: true},
	} {
		for _, first := range []string{"Marks", "Raise"} {
			t.Run(name+"/"+first, func(t *testing.T) {
				server := realserver.NewMemcached(t)
				cfg := memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p"}
				s, peer := open(t, cfg), open(t, cfg)
				marks(t, s, "a", "b")
				raise(t, s, "other")
				n := raise(t, s, "a")
				before := marks(t, s, "a", "b")
				keys := atLeast(t, server.Addr(), 5, `^p@`) // life, counter, slots
				warm(t, s, "a", "b")
				warm(t, peer, "a", "b")

				keys = slices.DeleteFunc(keys, func(key string) bool { return !regexp.MustCompile(tt.lost).MatchString(key) })
				switch {
				case tt.lost == "":
					server.Restart(t)
				case tt.now == "":
					atEach(t, server.Addr(), keys, meta.Command{Op: meta.Delete})
				default:
					atEach(t, server.Addr(), keys, meta.Command{Op: meta.Set, Value: []byte(tt.now)})
				}
				if first == "Raise" {
					raise(t, peer, "third")
				}
				for _, s := range []*memcachedstore.Store{s, peer, open(t, cfg)} {
					after := marks(t, s, "a", "b")
					if (after.Incarnation != before.Incarnation) != tt.newLife {
						t.Errorf("incarnation %d, before %d; want another: %v", after.Incarnation, before.Incarnation, tt.newLife)
					}
					if !tt.newLife && after.Slots[0] < n {
						t.Errorf("the slot was raised to %d and is %d", n, after.Slots[0])
					}
				}
				// Those that remember nothing read the same.
				one, two := marks(t, open(t, cfg), "a", "b"), marks(t, open(t, cfg), "a", "b")
				if one.Incarnation != two.Incarnation || !slices.Equal(one.Slots, two.Slots) {
					t.Errorf("two processes read %+v and %+v", one, two)
				}
			})
		}
	}
}

// TestSequenceUnderEviction raises and reads while items vanish at random: whoever has raised finds it raised, or
// another incarnation.
func TestSequenceUnderEviction(t *testing.T) {
	server := realserver.NewMemcached(t)
	cfg := memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p"}
	var raised, sameLife atomic.Int64
	stop := make(chan struct{})
	var evictor, workers sync.WaitGroup
	evictor.Go(func() {
		rnd := rand.New(rand.NewPCG(1, 2))
		admin := meta.NewServer(meta.Config{Addr: server.Addr(), Timeout: 10 * time.Second, MaxIdle: 1, MaxValue: 1 << 10})
		defer admin.Close()
		var keys []string
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if n%20 == 0 {
				keys = keysOf(t, server.Addr(), `^p@[0-9a-f]+\.`)
				if n%200 == 0 {
					keys = append(keys, keysOf(t, server.Addr(), `^p@[0-9a-f]*$`)...)
				}
			}
			if len(keys) == 0 {
				continue
			}
			cmd := []meta.Command{{Op: meta.Delete, Key: keys[rnd.IntN(len(keys))]}}
			if err := admin.Do(t.Context(), cmd, make([]meta.Reply, 1)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	for w := range 6 {
		s := open(t, cfg)
		workers.Go(func() {
			own := fmt.Sprintf("name%d", w)
			for range rounds {
				before, err := s.Marks(t.Context(), own, "shared")
				if err != nil {
					t.Errorf("Marks = %v", err)
					return
				}
				n, err := s.Raise(t.Context(), own, "shared")
				if err != nil {
					t.Errorf("Raise = %v", err)
					return
				}
				raised.Add(1)
				after, err := s.Marks(t.Context(), own, "shared")
				if err != nil {
					t.Errorf("Marks = %v", err)
					return
				}
				if after.Incarnation != before.Incarnation {
					continue
				}
				sameLife.Add(1)
				if n <= before.Newest || after.Newest < n || after.Slots[0] < n || after.Slots[1] < n {
					t.Errorf("Marks %+v, Raise %d, Marks %+v: a raise was lost", before, n, after)
				}
			}
		})
	}
	workers.Wait()
	close(stop)
	evictor.Wait()
	if sameLife.Load() == 0 || sameLife.Load() == raised.Load() {
		t.Errorf("%d of %d raises were read in their own life; the test wants some and not all", sameLife.Load(), raised.Load())
	}
}

func TestRaiseCostsTwoRoundTrips(t *testing.T) {
	server := realserver.NewMemcached(t)
	s := open(t, memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p"})
	names := []string{"a", "b", "c"}
	marks(t, s, names...)
	proxy := realserver.NewProxy(t, server.Addr())
	slow := open(t, memcachedstore.Config{Servers: []string{proxy.Addr()}, Prefix: "p", Timeout: 10 * time.Second})
	marks(t, slow, names...)
	const latency = 300 * time.Millisecond // more than a busy machine takes on top
	proxy.Latency(latency)
	look := func() { _, _, _ = slow.GetMarked(t.Context(), "key", names...) }
	for what, tt := range map[string]struct {
		trips int
		call  func()
	}{
		"Marks":                           {1, func() { marks(t, slow, names...) }},
		"GetMarked":                       {1, look},
		"GetMarked after another's Raise": {2, func() { raise(t, s, "other"); look() }},
		"Raise":                           {2, func() { raise(t, slow, names...) }},
	} {
		begin := time.Now()
		tt.call()
		if took := time.Since(begin); took >= time.Duration(tt.trips+1)*latency {
			t.Errorf("%s took %v at a latency of %v; want %d round trips", what, took, latency, tt.trips)
		}
	}
}

// halting stops a store's process once in the middle of what it sends, as SIGSTOP would.
type halting struct {
	before  func(sent int64, b []byte) int // says where in b, after sent writes; -1 is not in this one
	armed   atomic.Bool
	sent    atomic.Int64
	stopped chan struct{} // closed when it has stopped
	proceed chan struct{}
}

func newHalting(before func(int64, []byte) int) *halting {
	return &halting{before: before, stopped: make(chan struct{}), proceed: make(chan struct{})}
}

func (h *halting) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	return haltingConn{c, h}, err
}

type haltingConn struct {
	net.Conn
	h *halting
}

func (c haltingConn) Write(b []byte) (int, error) {
	h := c.h
	if !h.armed.Load() {
		return c.Conn.Write(b)
	}
	at := h.before(h.sent.Add(1)-1, b)
	if at < 0 {
		return c.Conn.Write(b)
	}
	h.armed.Store(false)
	first, err := c.Conn.Write(b[:at])
	if err != nil {
		return first, err
	}
	close(h.stopped)
	<-h.proceed
	rest, err := c.Conn.Write(b[at:])
	return first + rest, err
}

// TestRaiseHalfway stops a process in the middle of a Raise. A reader that knows of the new number must not find the slot as
// it was: it would take what is old for good, and make something of it that bears the new number.
func TestRaiseHalfway(t *testing.T) {
	server := realserver.NewMemcached(t)
	cfg := memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p", Timeout: 10 * time.Second}
	reader := open(t, cfg)
	h := newHalting(func(sent int64, _ []byte) int {
		if sent == 1 {
			return 0 // the first exchange is done
		}
		return -1
	})
	cfg.Dial = h.dial
	raiser := open(t, cfg)
	old := raise(t, raiser, "a")
	raise(t, raiser, "other")
	warm(t, reader, "a")
	before := marks(t, reader, "a")
	if before.Slots[0] != old {
		t.Fatalf("the slot is %d; want %d", before.Slots[0], old)
	}

	h.armed.Store(true)
	raised := make(chan uint64)
	go func() {
		n, err := raiser.Raise(t.Context(), "a")
		if err != nil {
			t.Error(err)
		}
		raised <- n
	}()
	<-h.stopped
	during := marks(t, reader, "a")
	close(h.proceed)
	n := <-raised
	if during.Newest >= n && during.Slots[0] < n {
		t.Errorf("a reader found number %d, and the slot that was raised to it at %d", during.Newest, during.Slots[0])
	}
	if after := marks(t, reader, "a"); after.Slots[0] < n || after.Incarnation != before.Incarnation {
		t.Errorf("after it: %+v; want a slot of at least %d", after, n)
	}
}

// TestRaiseInLostLife has the life end in the middle of a Raise. What it raised until then nobody reads any more: it begins again
// in the next life.
func TestRaiseInLostLife(t *testing.T) {
	server := realserver.NewMemcached(t)
	cfg := memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p", Timeout: 10 * time.Second}
	reader := open(t, cfg)
	h := newHalting(func(sent int64, _ []byte) int {
		if sent == 1 {
			return 0 // the number is issued, the slot not raised
		}
		return -1
	})
	cfg.Dial = h.dial
	raiser := open(t, cfg)
	raise(t, raiser, "a")
	before := marks(t, reader, "a")

	h.armed.Store(true)
	raised := make(chan uint64)
	go func() {
		n, err := raiser.Raise(t.Context(), "a")
		if err != nil {
			t.Error(err)
		}
		raised <- n
	}()
	<-h.stopped
	evict(t, server.Addr(), `^p@$`)
	next := marks(t, reader, "a")
	if next.Incarnation == before.Incarnation {
		t.Fatal("the life goes on")
	}
	close(h.proceed)
	n := <-raised
	if m := marks(t, reader, "a"); m.Incarnation != next.Incarnation || m.Newest != n || m.Slots[0] != n {
		t.Errorf("Marks = %+v after Raise = %d; want it there, in the life that began meanwhile (%d)", m, n, next.Incarnation)
	}
}

// TestRaiseDisturbed has a reader make a number of one slot before the Raise has issued its own, so that it issues another.
// The slot that nobody disturbed has to reach that one, too.
func TestRaiseDisturbed(t *testing.T) {
	server := realserver.NewMemcached(t)
	cfg := memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p", Timeout: 10 * time.Second}
	reader := open(t, cfg)
	h := newHalting(func(_ int64, b []byte) int { return bytes.Index(b, []byte("ma ")) }) // where it increases the counter
	cfg.Dial = h.dial
	raiser := open(t, cfg)
	first := raise(t, raiser, "a", "b")
	slots := atLeast(t, server.Addr(), 2, `^p@.*\.`)

	h.armed.Store(true)
	raised := make(chan uint64)
	go func() {
		n, err := raiser.Raise(t.Context(), "a", "b")
		if err != nil {
			t.Error(err)
		}
		raised <- n
	}()
	<-h.stopped
	for deadline := time.Now().Add(10 * time.Second); len(slots) > 0; { // what was sent is not there at once
		slots = slices.DeleteFunc(slots, func(key string) bool {
			return string(do(t, server.Addr(), meta.Command{Op: meta.Get, Key: key})[0].Value) == "?"
		})
		if time.Now().After(deadline) {
			t.Fatalf("the slots at %v have numbers", slots)
		}
	}
	marks(t, reader, "b")
	close(h.proceed)
	n := <-raised
	if n < first+2 {
		t.Errorf("numbers %d and %d: the Raise was not disturbed", first, n)
	}
	if after := marks(t, reader, "a", "b"); after.Slots[0] < n || after.Slots[1] < n {
		t.Errorf("slots %d after a Raise to %d", after.Slots, n)
	}
}
