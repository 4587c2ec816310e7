package memcachedstore_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// counting counts what a store sends by how many reads one exchange is.
type counting struct {
	mu        sync.Mutex
	exchanges map[int]int
}

func (c *counting) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	return countingConn{conn, c}, err
}

// take returns the counts and begins anew.
func (c *counting) take() map[int]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.exchanges
	c.exchanges = nil
	return taken
}

type countingConn struct {
	net.Conn
	c *counting
}

func (c countingConn) Write(b []byte) (int, error) {
	c.c.mu.Lock()
	if c.c.exchanges == nil {
		c.c.exchanges = make(map[int]int)
	}
	c.c.exchanges[bytes.Count(b, []byte("mg "))]++
	c.c.mu.Unlock()
	return c.Conn.Write(b)
}

// warm reads the slots of names until the store knows them.
func warm(t testing.TB, s *memcachedstore.Store, names ...string) {
	t.Helper()
	for range 3 { // the life, the counter, the counter again
		marks(t, s, names...)
	}
}

// TestGetMarkedCommands counts the commands of look-ups.
func TestGetMarkedCommands(t *testing.T) {
	one, two := realserver.Memcached(t)
	for name, servers := range map[string][]string{"one server": {one}, "value on another": {one, two}} {
		t.Run(name, func(t *testing.T) {
			var c counting
			cfg := memcachedstore.Config{Servers: servers, Prefix: prefix(t)}
			peer := open(t, cfg)
			cfg.Dial = c.dial
			s := open(t, cfg)
			key := keyApart(t, s, len(servers) > 1)
			names := []string{"a", "b", "c", "d"}
			if err := s.Set(t.Context(), key, []byte("v"), time.Hour); err != nil {
				t.Fatal(err)
			}
			warm(t, s, names...)
			look := func(what string, want ...int) {
				t.Helper()
				wanted := make(map[int]int)
				if len(servers) > 1 {
					wanted[1]++ // the value
				}
				for i, n := range want {
					if i == 0 && len(servers) > 1 {
						n--
					}
					wanted[n]++
				}
				c.take()
				if v, _, err := s.GetMarked(t.Context(), key, names...); err != nil || string(v) != "v" {
					t.Fatalf("GetMarked = %q, %v", v, err)
				}
				if got := c.take(); !maps.Equal(got, wanted) {
					t.Errorf("%s: exchanges by their reads: %v; want %v", what, got, wanted)
				}
			}
			for range 10 {
				look("nothing has changed", 3)
			}
			raise(t, peer, "unrelated")
			look("the first after another's Raise", 3, 4)
			look("the second", 7)
			look("the third", 3)
			raise(t, s, "unrelated")
			look("the first after one's own Raise", 7)
			look("the second", 3)
			marks(t, peer, "e") // makes a number of it
			names = append(names, "e")
			look("a name that was not asked for yet", 8)
			look("the same again", 3)
			for range 5 {
				raise(t, peer, "unrelated")
				raise(t, s, "unrelated")
				raise(t, peer, "unrelated")
				look("more Raises than look-ups", 8)
			}
		})
	}
}

// keyApart returns a key whose value is, or is not, on another server than the sequence.
func keyApart(t testing.TB, s *memcachedstore.Store, apart bool) string {
	t.Helper()
	for n := range 1000 {
		if key := fmt.Sprintf("key%d", n); (s.Node(key) != s.Node("")) == apart {
			return key
		}
	}
	t.Fatal("all keys are on one server")
	return ""
}

// TestLookUpsSeeRaises has several processes look up and raise at the same time, while items vanish. Whoever begins after a Raise
// has returned finds it, or another incarnation. Most look-ups go by what their process remembers.
func TestLookUpsSeeRaises(t *testing.T) {
	for _, apart := range []bool{false, true} {
		for _, evicts := range []bool{false, true} {
			t.Run(fmt.Sprintf("apart=%v/evicts=%v", apart, evicts), func(t *testing.T) { seeRaises(t, apart, evicts) })
		}
	}
}

// acknowledged is the last Raise of a name that has returned.
type acknowledged struct{ life, number uint64 }

func seeRaises(t *testing.T, apart, evicts bool) {
	one, two := realserver.NewMemcached(t), realserver.NewMemcached(t)
	var c counting
	cfg := memcachedstore.Config{Servers: []string{one.Addr(), two.Addr()}, Prefix: "p"}
	const processes, readersOfEach, raisers = 3, 2, 2
	lookUps := 2000
	if testing.Short() {
		lookUps = 200
	}
	var last [4]atomic.Pointer[acknowledged] // by name
	names := make([]string, len(last))
	for n := range last {
		names[n] = fmt.Sprintf("name%d", n)
		last[n].Store(new(acknowledged))
	}
	raiseDue, evictDue := make(chan struct{}, 1), make(chan struct{}, 1) // look-ups set the pace
	stop := make(chan struct{})
	var background, readers sync.WaitGroup
	var raised, checked, held atomic.Int64 // held are the look-ups in an incarnation in which something was raised
	// On a busy machine those who raise may be late.
	deadline := time.Now().Add(time.Minute)
	enough := func() bool { return raised.Load() >= int64(lookUps)/20 && held.Load() >= int64(lookUps) }

	for r := range raisers {
		s := open(t, cfg)
		background.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(r)))
			for {
				select {
				case <-stop:
					return
				case <-raiseDue:
				}
				n := rnd.IntN(len(names)/raisers)*raisers + r // nobody else's
				before, err := s.Marks(t.Context())
				if err != nil {
					t.Errorf("Marks = %v", err)
					return
				}
				number, err := s.Raise(t.Context(), names[n], "shared")
				if err != nil {
					t.Errorf("Raise = %v", err)
					return
				}
				raised.Add(1)
				after, err := s.Marks(t.Context())
				if err != nil {
					t.Errorf("Marks = %v", err)
					return
				}
				if after.Incarnation == before.Incarnation { // then it is that of the number
					last[n].Store(&acknowledged{before.Incarnation, number})
				}
			}
		})
	}
	if evicts {
		s := open(t, cfg)
		background.Go(func() { vanish(t, s, s.Node(""), evictDue, stop) })
	}
	cfg.Dial = c.dial // of those that look up
	for p := range processes {
		s := open(t, cfg)
		key := keyApart(t, s, apart)
		if err := s.Set(t.Context(), key, []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
		for r := range readersOfEach {
			readers.Go(func() {
				rnd := rand.New(rand.NewPCG(uint64(p), uint64(r)))
				for i := 0; i < lookUps || !enough() && time.Now().Before(deadline); i++ {
					n := rnd.IntN(len(names))
					want := last[n].Load()
					_, m, err := s.GetMarked(t.Context(), key, names[n], "shared", "host", "namespace")
					if err != nil {
						t.Errorf("GetMarked = %v", err)
						return
					}
					checked.Add(1)
					if m.Incarnation == want.life {
						held.Add(1)
						if least := want.number; m.Newest < least || m.Slots[0] < least || m.Slots[1] < least {
							t.Errorf("GetMarked = %+v after the Raise to %d", m, least)
							return
						}
					}
					for every, due := range map[int]chan struct{}{20: raiseDue, 15: evictDue} {
						if i%every == 0 {
							select {
							case due <- struct{}{}:
							default:
							}
						}
					}
				}
			})
		}
	}
	readers.Wait()
	close(stop)
	background.Wait()
	exchanges := c.take()
	remembered, again := exchanges[3], exchanges[4]
	if apart {
		remembered = exchanges[2]
	}
	t.Logf("%d look-ups; %d met an incarnation in which something was raised; %d went by what was remembered, %d asked again; %d Raises",
		checked.Load(), held.Load(), remembered, again, raised.Load())
	if !enough() || int64(remembered) < checked.Load()/10 {
		t.Error("too few look-ups were put to the test")
	}
	if again == 0 {
		t.Error("no look-up found another counter than was remembered")
	}
}

// vanish deletes an item of the sequence when one is due: slots at random, the counter and the life now and then.
func vanish(t *testing.T, s *memcachedstore.Store, addr string, due, stop <-chan struct{}) {
	rnd := rand.New(rand.NewPCG(1, 2))
	admin := meta.NewServer(meta.Config{Addr: addr, Timeout: 10 * time.Second, MaxIdle: 1, MaxValue: 1 << 10})
	defer admin.Close()
	for n := 1; ; n++ {
		select {
		case <-stop:
			return
		case <-due:
		}
		m, err := s.Marks(t.Context())
		if err != nil {
			t.Errorf("Marks = %v", err)
			return
		}
		counter := fmt.Sprintf("p@%x", m.Incarnation)
		keys := keysOf(t, addr, counter+`\.`)
		switch {
		case n%40 == 0:
			keys = []string{"p@"}
		case n%20 == 0:
			keys = []string{counter}
		case len(keys) == 0:
			continue
		}
		cmd := []meta.Command{{Op: meta.Delete, Key: keys[rnd.IntN(len(keys))]}}
		if err := admin.Do(t.Context(), cmd, make([]meta.Reply, 1)); err != nil {
			t.Error(err)
			return
		}
	}
}
