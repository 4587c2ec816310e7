package memcachedstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// Config says which servers a Store uses, and how.
type Config struct {
	_ [0]func()

	// Servers are the addresses, host:port or the path of a Unix socket. Every process that shares the store must
	// have the same, in any order: see the package documentation before you change them. Required.
	Servers []string

	// Prefix begins every key, so that several stores and other programs can share the servers: up to 40 letters,
	// digits and the bytes ".:_-". "" is "reprise".
	Prefix string

	// ItemBytes is the length of the longest value that is sent as one item; longer ones are cut. It must leave
	// room for the key below the servers' item limit (memcached -I). 0 is 1,000,000, for the default limit of 1 MiB.
	ItemBytes int

	// MaxValueBytes is the length of the longest value that is kept; Set refuses a longer one with
	// [store.ErrTooLarge]. 0 is 16 MiB.
	MaxValueBytes int

	// Timeout bounds each exchange with a server, under whatever deadline the caller has. 0 is one second.
	Timeout time.Duration

	// MaxIdleConns is how many connections to each server are kept. It should exceed the number of simultaneous
	// operations. 0 is 64.
	MaxIdleConns int

	// Dial opens a connection, for TLS and the like. nil is a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

const (
	minItemBytes = 1 << 10
	maxPrefix    = 40
)

// withDefaults returns cfg with the defaults in place, or every mistake in it.
func (cfg Config) withDefaults() (Config, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("memcachedstore: "+format, args...))
	}
	if len(cfg.Servers) == 0 {
		bad("Servers is empty; give host:port of each")
	}
	for i, addr := range cfg.Servers {
		if strings.Contains(addr, "://") {
			bad("Servers: %q is a URL; give host:port, or the path of a socket", addr)
		} else if !strings.Contains(addr, "/") {
			if _, _, err := net.SplitHostPort(addr); err != nil {
				bad("Servers: %w; give host:port, or the path of a socket", err)
			}
		}
		if slices.Contains(cfg.Servers[:i], addr) {
			bad("Servers has %s twice; remove one", addr)
		}
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "reprise"
	}
	if len(cfg.Prefix) > maxPrefix || strings.ContainsFunc(cfg.Prefix, func(r rune) bool { return !isPrefixRune(r) }) {
		bad("Prefix %q is not up to %d letters, digits and bytes of \".:_-\"", cfg.Prefix, maxPrefix)
	}
	if cfg.ItemBytes == 0 {
		cfg.ItemBytes = 1_000_000
	}
	if cfg.ItemBytes < minItemBytes {
		bad("ItemBytes %d is below %d; 0 is 1,000,000", cfg.ItemBytes, minItemBytes)
	}
	if cfg.MaxValueBytes == 0 {
		cfg.MaxValueBytes = 16 << 20
	}
	if cfg.MaxValueBytes < 0 {
		bad("MaxValueBytes %d is negative; 0 is 16 MiB", cfg.MaxValueBytes)
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	if cfg.Timeout < 0 {
		bad("Timeout %v is negative; 0 is a second", cfg.Timeout)
	}
	if cfg.MaxIdleConns == 0 {
		cfg.MaxIdleConns = 64
	}
	if cfg.MaxIdleConns < 0 {
		bad("MaxIdleConns %d is negative; 0 is 64", cfg.MaxIdleConns)
	}
	return cfg, errors.Join(errs...)
}

func isPrefixRune(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(".:_-", r)
}

// Store keeps values in Memcached. It is a [store.MultiGetter], a [store.Sequencer] and a [store.Locker].
type Store struct {
	cfg     Config
	ring    ring
	servers []*server

	lifeKey   string  // of the item that the sequence begins with
	sequencer *server // that has the sequence: the one that lifeKey belongs to
	known     atomic.Pointer[known]
	exchanges sync.Pool // of *exchange
}

var (
	_ store.MultiGetter = (*Store)(nil)
	_ store.Sequencer   = (*Store)(nil)
	_ store.Locker      = (*Store)(nil)
	_ store.Partitioned = (*Store)(nil)
)

// New returns a store on the servers of cfg. It connects to none of them yet. The caller closes it.
func New(cfg Config) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, ring: newRing(cfg.Servers)}
	for _, addr := range cfg.Servers {
		s.servers = append(s.servers, &server{Server: meta.NewServer(meta.Config{
			Addr: addr, Timeout: cfg.Timeout, MaxIdle: cfg.MaxIdleConns, Dial: cfg.Dial,
			MaxValue: uint64(max(cfg.MaxValueBytes, cfg.ItemBytes)), //nolint:gosec // not negative
		})})
	}
	s.lifeKey = cfg.Prefix + controlMark
	s.sequencer = s.on(s.lifeKey)
	s.known.Store(s.newKnown(0, 0))
	return s, nil
}

// Close closes the connections. Operations that have begun may end with an error.
func (s *Store) Close() error {
	for _, server := range s.servers {
		server.Close()
	}
	return nil
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	key = s.dataKey(key)
	f, err := s.on(key).look(ctx, lookup{key: key})
	if err != nil {
		return nil, s.wrap("get", err)
	}
	value, err := s.value(ctx, f.item)
	return value, s.wrap("get", err)
}

// Set implements [store.Store]. The ttl is rounded up to whole seconds, and one more is added, since the servers'
// clock may tick at any moment.
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	item, err := s.item(ctx, key, value, ttl)
	if err != nil {
		return s.wrap("set", err)
	}
	_, err = s.do(ctx, []meta.Command{item})
	return s.wrap("set", err)
}

// Delete implements [store.Store]. The pieces of a long value stay where nothing leads to them, until they expire or
// are evicted.
func (s *Store) Delete(ctx context.Context, keys ...string) (int, error) {
	cmds := make([]meta.Command, len(keys))
	for i, key := range keys {
		cmds[i] = meta.Command{Op: meta.Delete, Key: s.dataKey(key)}
	}
	replies, err := s.do(ctx, cmds)
	if err != nil {
		return 0, s.wrap("delete", err)
	}
	n := 0
	for _, r := range replies {
		if r.Status == meta.OK {
			n++
		}
	}
	return n, nil
}

// GetMulti implements [store.MultiGetter]: one round trip to each server, at the same time, and one more for values
// that were cut.
func (s *Store) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	cmds := make([]meta.Command, len(keys))
	for i, key := range keys {
		cmds[i] = meta.Command{Op: meta.Get, Key: s.dataKey(key)}
	}
	replies, err := s.do(ctx, cmds)
	if err != nil {
		return nil, s.wrap("get multi", err)
	}
	values := make([][]byte, len(keys))
	for i, r := range replies {
		if values[i], err = s.value(ctx, r); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, s.wrap("get multi", err)
		}
	}
	return values, nil
}

// on returns the server that a key of the servers' belongs to.
func (s *Store) on(key string) *server {
	if len(s.servers) == 1 {
		return s.servers[0]
	}
	return s.servers[s.ring.server(key)]
}

// do executes commands, each on the server that its key belongs to, and returns their replies in the same order. The
// order of execution holds for those of one server.
func (s *Store) do(ctx context.Context, cmds []meta.Command) ([]meta.Reply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	replies := make([]meta.Reply, len(cmds))
	if len(cmds) == 0 {
		return replies, nil
	}
	which := make([][]int, len(s.servers))
	for i := range cmds {
		n := s.ring.server(cmds[i].Key)
		which[n] = append(which[n], i)
	}
	// The goroutines end with their exchanges, which end with ctx or the timeout.
	var wg sync.WaitGroup
	errs := make([]error, len(s.servers))
	for n, mine := range which {
		switch len(mine) {
		case 0:
		case len(cmds):
			return replies, s.servers[n].Do(ctx, cmds, replies)
		default:
			wg.Go(func() { errs[n] = doSome(ctx, s.servers[n], mine, cmds, replies) })
		}
	}
	wg.Wait()
	return replies, errors.Join(errs...)
}

func doSome(ctx context.Context, server *server, which []int, cmds []meta.Command, replies []meta.Reply) error {
	mine, got := make([]meta.Command, len(which)), make([]meta.Reply, len(which))
	for i, at := range which {
		mine[i] = cmds[at]
	}
	err := server.Do(ctx, mine, got)
	for i, at := range which {
		replies[at] = got[i]
	}
	return err
}

// wrap names the operation in an error, once, and puts the errors of package store in the place of the client's.
func (s *Store) wrap(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, meta.ErrClosed):
		err = store.ErrClosed
	case errors.Is(err, meta.ErrTooLarge):
		err = fmt.Errorf("%w: %w", store.ErrTooLarge, err)
	}
	return fmt.Errorf("memcachedstore: %s: %w", op, err)
}
