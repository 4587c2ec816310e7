package redisstore_test

import (
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/redisstore"
	"github.com/reprise-go/reprise/store/storetest"
)

// prefixes keep the tests apart that share a server.
var prefixes atomic.Int64

func newPrefix(t testing.TB) string {
	return strings.ReplaceAll(t.Name(), " ", "_") + ":" + strconv.FormatInt(prefixes.Add(1), 10) + ":"
}

// open opens a store that ends with the test.
func open(t testing.TB, cfg redisstore.Config) *redisstore.Store {
	t.Helper()
	s, err := redisstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// client opens a client that ends with the test.
func client(t testing.TB, o rueidis.ClientOption) rueidis.Client {
	t.Helper()
	c, err := rueidis.NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// suite runs the conformance suite on stores that configure makes.
func suite(t *testing.T, configure func(prefix string) redisstore.Config) {
	t.Parallel()
	prefixOf := make(map[store.Store]string)
	opened := func(t *testing.T, prefix string) store.Store {
		s := open(t, configure(prefix))
		prefixOf[s] = prefix
		return s
	}
	storetest.Run(t, storetest.Config{
		Open:   func(t *testing.T) store.Store { return opened(t, "p"+strconv.FormatInt(prefixes.Add(1), 10)+"*[a]:") },
		Reopen: func(t *testing.T, s store.Store) store.Store { return opened(t, prefixOf[s]) },
	})
}

func TestSuite(t *testing.T) {
	addr := realserver.Redis(t)
	t.Run("URL", func(t *testing.T) {
		suite(t, func(prefix string) redisstore.Config {
			return redisstore.Config{URL: "redis://" + addr, Prefix: prefix}
		})
	})
	t.Run("Client", func(t *testing.T) {
		c := client(t, rueidis.ClientOption{InitAddress: []string{addr}}) // one that caches and retries
		suite(t, func(prefix string) redisstore.Config {
			return redisstore.Config{Client: c, Prefix: prefix}
		})
	})
}

func TestSuiteCluster(t *testing.T) {
	addrs := realserver.RedisCluster(t)
	t.Run("URL", func(t *testing.T) {
		suite(t, func(prefix string) redisstore.Config {
			return redisstore.Config{URL: "redis://" + addrs[0] + "?addr=" + addrs[1] + "&addr=" + addrs[2], Prefix: prefix}
		})
	})
	t.Run("Client", func(t *testing.T) {
		c := client(t, rueidis.ClientOption{InitAddress: addrs})
		suite(t, func(prefix string) redisstore.Config {
			return redisstore.Config{Client: c, Prefix: prefix}
		})
	})
}

// While a holder writes to another node of a Cluster, nobody else is granted the lease, not even after it ended; and a
// writer that died does not block it for long.
func TestGuardedLease(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	s := open(t, redisstore.Config{URL: "redis://" + addr, Prefix: prefix})
	fence, ok, err := s.Lock(t.Context(), "name", store.Forever)
	if err != nil || !ok {
		t.Fatalf("Lock = %v, %v", ok, err)
	}
	if err := s.Unlock(t.Context(), "name", fence); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(300 * time.Millisecond)
	do(t, addr, "HSET", prefix+"lock{:name}", "guard:x", strconv.FormatInt(until.UnixMilli(), 10))
	if _, ok, err := s.Lock(t.Context(), "name", time.Hour); (ok || err != nil) && time.Now().Before(until) {
		t.Errorf("Lock of a guarded lease = %v, %v; want false", ok, err)
	}
	soon(t, "the lease is granted", func() bool {
		next, ok, err := s.Lock(t.Context(), "name", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return ok && next > fence
	})
}

// A value lives for its ttl, and not for the whole seconds around it.
func TestTimesAreMilliseconds(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	s := open(t, redisstore.Config{URL: "redis://" + addr, Prefix: prefix})
	if err := s.Set(t.Context(), "key", nil, time.Hour+time.Millisecond/2); err != nil {
		t.Fatal(err)
	}
	const want = int64(time.Hour/time.Millisecond) + 1
	if left, err := strconv.ParseInt(do(t, addr, "PTTL", prefix+"{:key}"), 10, 64); err != nil || left > want || left < want/2 {
		t.Errorf("PTTL = %d, %v; want at most %d", left, err, want)
	}
}

// A lease that has ended is remembered, and with it that nobody was granted a later one.
func TestEndedLeaseIsRemembered(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	s := open(t, redisstore.Config{URL: "redis://" + addr, Prefix: prefix})
	fence, ok, err := s.Lock(t.Context(), "name", time.Millisecond)
	if err != nil || !ok {
		t.Fatalf("Lock = %v, %v", ok, err)
	}
	soon(t, "the lease ends", func() bool {
		ok, err := s.Renew(t.Context(), "name", fence, time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		return !ok
	})
	if ok, err := s.SetLocked(t.Context(), "key", []byte("v"), time.Hour, "name", fence); err != nil || !ok {
		t.Errorf("SetLocked by who held the lease last = %v, %v; want true", ok, err)
	}
}

// A fence is larger than the last one also when the server's clock is behind the one that made it, as after a failover.
func TestFenceOfAClockAhead(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	s := open(t, redisstore.Config{URL: "redis://" + addr, Prefix: prefix})
	last := uint64(time.Now().Add(time.Hour).UnixMicro())
	do(t, addr, "HSET", prefix+"lock{:name}", "fence", strconv.FormatUint(last, 10), "until", "0")
	if fence, ok, err := s.Lock(t.Context(), "name", time.Hour); err != nil || !ok || fence <= last {
		t.Errorf("Lock = %d, %v, %v; want a fence above %d", fence, ok, err, last)
	}
}

// What Close leaves behind is nothing.
func TestCloseEndsGoroutines(t *testing.T) {
	addr := realserver.Redis(t)
	before := runtime.NumGoroutine()
	for range 3 {
		s, err := redisstore.New(redisstore.Config{URL: "redis://" + addr, Prefix: newPrefix(t)})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			marks(t, s)
		}
		set(t, s, "key", time.Hour)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	soon(t, "the goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}
