package redisstore_test

import (
	"context"
	"errors"
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

// watcher is a Notify that runs until the test ends.
type watcher struct {
	mu      sync.Mutex
	changed map[string]int
	lost    int
}

func watch(t *testing.T, s *redisstore.Store) *watcher {
	t.Helper()
	w := &watcher{changed: make(map[string]int)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Notify(ctx,
			func(key string) { w.mu.Lock(); defer w.mu.Unlock(); w.changed[key]++ },
			func() { w.mu.Lock(); defer w.mu.Unlock(); w.lost++ })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Notify = %v; want context.Canceled", err)
		}
	})
	soon(t, "lost is called when watching begins", func() bool { return w.losses() == 1 })
	return w
}

func (w *watcher) losses() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

func (w *watcher) told(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed[key] > 0
}

func set(t *testing.T, s *redisstore.Store, key string, ttl time.Duration) {
	t.Helper()
	if err := s.Set(t.Context(), key, []byte("v"), ttl); err != nil {
		t.Fatalf("Set: %v", err)
	}
}

func TestNotifyTellsExpiryAndOnlyKeys(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	cfg := redisstore.Config{URL: "redis://" + addr, Prefix: prefix}
	s, other := open(t, cfg), open(t, cfg)
	w := watch(t, s)
	set(t, other, "short", 100*time.Millisecond)
	soon(t, "the change and the expiry are told", func() bool {
		_, _ = other.Get(t.Context(), "short") // among many keys, a server finds what has expired when it is asked for it
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.changed["short"] == 2
	})

	raise(t, other, "name")
	if _, _, err := other.Lock(t.Context(), "lease", time.Hour); err != nil {
		t.Fatal(err)
	}
	set(t, open(t, redisstore.Config{URL: "redis://" + addr, Prefix: prefix + "longer:"}), "neighbour", time.Hour)
	set(t, other, "last", time.Hour)
	soon(t, "the change is told", func() bool { return w.told("last") })
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.changed) != 2 {
		t.Errorf("told of %v; want of short and last alone", w.changed)
	}
}

// Every way in which announcements are missed is told, and watching goes on.
func TestNotifyLost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		happen func(t *testing.T, server *realserver.Server, proxy *realserver.Proxy)
		mend   func(t *testing.T, server *realserver.Server, proxy *realserver.Proxy)
	}{
		{"FLUSHALL", func(t *testing.T, server *realserver.Server, _ *realserver.Proxy) { do(t, server.Addr(), "FLUSHALL") }, nil},
		{
			"connection_reset", func(_ *testing.T, _ *realserver.Server, proxy *realserver.Proxy) { proxy.Refuse() },
			func(_ *testing.T, _ *realserver.Server, proxy *realserver.Proxy) { proxy.Heal() },
		},
		{
			"silence", func(_ *testing.T, _ *realserver.Server, proxy *realserver.Proxy) { proxy.Hang() },
			func(_ *testing.T, _ *realserver.Server, proxy *realserver.Proxy) { proxy.Heal() },
		},
		{
			"killed", func(_ *testing.T, server *realserver.Server, _ *realserver.Proxy) { server.Kill() },
			func(t *testing.T, server *realserver.Server, _ *realserver.Proxy) { server.Restart(t) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := realserver.NewRedis(t)
			proxy := realserver.NewProxy(t, server.Addr())
			w := watch(t, open(t, redisstore.Config{URL: "redis://" + proxy.Addr()}))
			writer := open(t, redisstore.Config{URL: "redis://" + server.Addr()})
			began := time.Now()
			tt.happen(t, server, proxy)
			soon(t, "the loss is told", func() bool { return w.losses() > 1 })
			t.Logf("told after %v", time.Since(began))
			if tt.mend != nil {
				before := w.losses()
				tt.mend(t, server, proxy)
				soon(t, "the gap is told when watching begins again", func() bool { return w.losses() > before })
			}
			soon(t, "changes are told again", func() bool {
				set(t, writer, "again", time.Hour)
				return w.told("again")
			})
		})
	}
}

// In a Cluster each master announces its own keys.
func TestNotifyCluster(t *testing.T) {
	addrs, prefix := realserver.RedisCluster(t), newPrefix(t)
	cfg := redisstore.Config{URL: "redis://" + addrs[0] + "?addr=" + addrs[1] + "&addr=" + addrs[2], Prefix: prefix}
	w, writer := watch(t, open(t, cfg)), open(t, cfg)
	for i := range 50 {
		key := fmt.Sprint("key", i)
		set(t, writer, key, time.Hour)
		soon(t, "the change of "+key+" is told", func() bool { return w.told(key) })
	}
}

// A receiver that is slow is told that it missed something.
func TestNotifySlowReceiver(t *testing.T) {
	addr, prefix := realserver.Redis(t), newPrefix(t)
	cfg := redisstore.Config{URL: "redis://" + addr, Prefix: prefix}
	s, writer := open(t, cfg), open(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	release, ended, lost := make(chan struct{}), make(chan error, 1), make(chan struct{}, 100)
	go func() { ended <- s.Notify(ctx, func(string) { <-release }, func() { lost <- struct{}{} }) }()
	<-lost // watching begins
	for i := range 3000 {
		set(t, writer, fmt.Sprint("key", i), time.Hour)
	}
	close(release)
	select {
	case <-lost:
	case <-time.After(10 * time.Second):
		t.Error("3000 changes while the first was being handled: no loss was told")
	}
	cancel()
	<-ended
}

// Where the server cannot announce, Notify says so instead of trying for ever.
func TestNotifyRefused(t *testing.T) {
	server := realserver.NewRedis(t)
	do(t, server.Addr(), "ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", "-client")
	for _, url := range []string{
		"redis://" + server.Addr() + "?protocol=2",
		"redis://limited:secret@" + server.Addr(),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := open(t, redisstore.Config{URL: url}).Notify(ctx, func(string) {}, func() {})
		cancel()
		if err == nil || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "does not announce") {
			t.Errorf("Notify = %v; want that the server does not announce", err)
		}
	}
}

// A store that is closed ends its Notify, whoever opened the client.
func TestNotifyEndsWithStore(t *testing.T) {
	addr := realserver.Redis(t)
	for name, cfg := range map[string]redisstore.Config{
		"URL":    {URL: "redis://" + addr, Prefix: newPrefix(t)},
		"Client": {Client: client(t, rueidis.ClientOption{InitAddress: []string{addr}}), Prefix: newPrefix(t)},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, cfg)
			began, ended := make(chan struct{}, 10), make(chan error, 1)
			go func() { ended <- s.Notify(t.Context(), func(string) {}, func() { began <- struct{}{} }) }()
			<-began
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if !errors.Is(err, store.ErrClosed) {
					t.Errorf("Notify = %v; want ErrClosed", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("Notify goes on after Close")
			}
		})
	}
}
