package memcachedstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore"
	"github.com/reprise-go/reprise/store/storetest"
)

// prefix returns one that no other test uses.
func prefix(t *testing.T) string {
	return fmt.Sprintf("t%x", time.Now().UnixNano())
}

func open(t *testing.T, cfg memcachedstore.Config) *memcachedstore.Store {
	t.Helper()
	if cfg.Prefix == "" {
		cfg.Prefix = prefix(t)
	}
	s, err := memcachedstore.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	one, two := realserver.Memcached(t)
	for name, servers := range map[string][]string{"one server": {one}, "two servers": {one, two}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cfg memcachedstore.Config
			storetest.Run(t, storetest.Config{
				Unit:     time.Second,
				MaxValue: 3 << 20,
				Open: func(t *testing.T) store.Store {
					cfg = memcachedstore.Config{Servers: servers, Prefix: prefix(t)}
					return open(t, cfg)
				},
				Reopen: func(t *testing.T, _ store.Store) store.Store { return open(t, cfg) },
			})
		})
	}
}

func TestConfigMistakes(t *testing.T) {
	_, err := memcachedstore.New(memcachedstore.Config{
		Servers: []string{"a:1", "a:1", "no port", "memcached://b:1"}, Prefix: "a b", ItemBytes: 1, MaxValueBytes: -1, Timeout: -1, MaxIdleConns: -1,
	})
	for _, want := range []string{"a:1 twice", "no port", `"memcached://b:1" is a URL; give host:port`, "Prefix", "ItemBytes", "MaxValueBytes", "Timeout", "MaxIdleConns"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v; want it to name %s", err, want)
		}
	}
	if _, err := memcachedstore.New(memcachedstore.Config{}); err == nil {
		t.Error("New without servers = nil; want an error")
	}
}

func TestItemLimit(t *testing.T) {
	server := realserver.NewMemcached(t, "-I", "512k")
	ctx := t.Context()
	s := open(t, memcachedstore.Config{Servers: []string{server.Addr()}})
	if err := s.Set(ctx, "key", make([]byte, 600<<10), time.Hour); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Set of an item that the server refuses = %v; want ErrTooLarge", err)
	}
	if _, err := s.Get(ctx, "key"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get after that = %v; want ErrNotFound", err)
	}
	value := bytes.Repeat([]byte("0123456789"), 100<<10)
	cut := open(t, memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p", ItemBytes: 400_000, MaxValueBytes: len(value)})
	if err := cut.Set(ctx, "key", value, time.Hour); err != nil {
		t.Fatalf("Set = %v", err)
	}
	// Processes need not agree on ItemBytes.
	other := open(t, memcachedstore.Config{Servers: []string{server.Addr()}, Prefix: "p", ItemBytes: 1 << 10})
	if got, err := other.Get(ctx, "key"); err != nil || !bytes.Equal(got, value) {
		t.Errorf("Get of a value cut by another = %d bytes, %v; want %d", len(got), err, len(value))
	}
	if err := cut.Set(ctx, "key", append(value, 1), time.Hour); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Set above MaxValueBytes = %v; want ErrTooLarge", err)
	}
}
