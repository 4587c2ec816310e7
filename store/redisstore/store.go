package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/store"
)

var (
	_ store.Store       = (*Store)(nil)
	_ store.MultiGetter = (*Store)(nil)
	_ store.Sequencer   = (*Store)(nil)
	_ store.Locker      = (*Store)(nil)
	_ store.Lister      = (*Store)(nil)
	_ store.Clearer     = (*Store)(nil)
	_ store.Notifier    = (*Store)(nil)
	_ store.Partitioned = (*Store)(nil)
)

// Store is a [store.Store] on Redis or Valkey. Use [New].
type Store struct {
	keys    layout
	durable bool
	client  lazy[connection]
	lanes   []lazy[lane]
	scripts leaseScripts
}

// connection is the client and what it turned out to be connected to.
type connection struct {
	rueidis.Client
	cluster bool
	gate    *gate

	topology atomic.Pointer[topology] // of a Cluster; nil as long as it is not known
	learned  atomic.Int64             // when a failure led to asking for it last, in Unix nanoseconds
}

func newConnection(c rueidis.Client) *connection {
	return &connection{Client: c, cluster: c.Mode() == rueidis.ClientModeCluster, gate: newGate()}
}

const (
	// maxLanes is how many connections read marks, as many as rueidis multiplexes commands over by default.
	maxLanes = 4
	// maxValue is proto-max-bulk-len. A server closes the connection on a longer one.
	maxValue = 512 << 20
	// maxBatch is how many keys go into one request: a server serves nobody else meanwhile.
	maxBatch = 500
)

func newStore(cfg Config, options rueidis.ClientOption) *Store {
	s := &Store{keys: newLayout(cfg.Prefix), durable: cfg.Durable, scripts: newLeaseScripts()}
	if cfg.Client != nil {
		s.client.release = func(*connection) {} // the caller's
		s.client.current.Store(newConnection(cfg.Client))
	} else {
		s.client.release = func(c *connection) { c.Close() }
		s.client.open = func() (*connection, error) {
			c, err := rueidis.NewClient(options)
			if err != nil {
				return nil, err
			}
			return newConnection(c), nil
		}
	}
	n := 1
	for n < maxLanes && n < runtime.GOMAXPROCS(0) {
		n *= 2
	}
	s.lanes = make([]lazy[lane], n)
	for i := range s.lanes {
		s.lanes[i].open = s.openLane
		s.lanes[i].release = (*lane).release
	}
	return s
}

// Close releases the connections, and closes the client if the store opened it. Calls that are under way may fail. It
// takes as long as a connection that is being made may take, if no server answers.
func (s *Store) Close() error {
	var lanes sync.WaitGroup
	for i := range s.lanes {
		lanes.Go(s.lanes[i].close)
	}
	lanes.Wait()
	s.client.close()
	return nil
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key string) ([]byte, error) {
	c, err := s.client.get(ctx)
	if err != nil {
		return nil, fail("get", err)
	}
	value, err := bytesOf(c.Do(ctx, c.B().Get().Key(s.keys.valueKey(key)).Build()))
	if err != nil {
		return nil, fail("get", err)
	}
	return value, nil
}

// Set implements [store.Store]. Times are rounded up to a millisecond.
func (s *Store) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if err := checkSet(value, ttl); err != nil {
		return fail("set", err)
	}
	c, err := s.client.get(ctx)
	if err != nil {
		return fail("set", err)
	}
	set := c.B().Set().Key(s.keys.valueKey(key)).Value(rueidis.BinaryString(value))
	var command rueidis.Completed
	if ttl == store.Forever {
		command = set.Build()
	} else {
		command = set.PxMilliseconds(milliseconds(ttl)).Build()
	}
	if err := c.Do(ctx, command).Error(); err != nil {
		return fail("set", err)
	}
	return nil
}

// Delete implements [store.Store]. In a Cluster, nodes that do not answer keep nobody from the others: the number
// counts what was removed also when there is an error.
func (s *Store) Delete(ctx context.Context, keys ...string) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	c, err := s.client.get(ctx)
	if err != nil {
		return 0, fail("delete", err)
	}
	valueKeys := make([]string, len(keys))
	for i, key := range keys {
		valueKeys[i] = s.keys.valueKey(key)
	}
	n, err := c.unlink(ctx, valueKeys)
	if err != nil {
		return n, fail("delete", err)
	}
	return n, nil
}

// unlink removes keys of the server and returns how many there were.
func (c *connection) unlink(ctx context.Context, keys []string) (int, error) {
	var errs []error
	n := 0
	for len(keys) > 0 {
		batch := keys[:min(len(keys), maxBatch)]
		keys = keys[len(batch):]
		var replies []rueidis.RedisResult
		if c.cluster {
			// A command takes keys of one slot; the client sends those for one node together.
			commands := make([]rueidis.Completed, len(batch))
			for i, key := range batch {
				commands[i] = c.B().Unlink().Key(key).Build()
			}
			replies = c.DoMulti(ctx, commands...)
		} else {
			replies = []rueidis.RedisResult{c.Do(ctx, c.B().Unlink().Key(batch...).Build())}
		}
		for _, reply := range replies {
			removed, err := reply.AsInt64()
			if err != nil {
				errs = append(errs, err)
			}
			n += int(removed)
		}
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
	}
	return n, first(errs)
}

// first returns one error: a node that is down would repeat it for each of its keys.
func first(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// GetMulti implements [store.MultiGetter].
func (s *Store) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	c, err := s.client.get(ctx)
	if err != nil {
		return nil, fail("get multi", err)
	}
	values := make([][]byte, len(keys))
	for from := 0; from < len(keys); from += maxBatch {
		batch := keys[from:min(len(keys), from+maxBatch)]
		valueKeys := make([]string, len(batch))
		for i, key := range batch {
			valueKeys[i] = s.keys.valueKey(key)
		}
		found, err := c.mget(ctx, valueKeys)
		if err != nil {
			return nil, fail("get multi", err)
		}
		for i, valueKey := range valueKeys {
			message := found[valueKey]
			if value, err := messageBytes(&message); err == nil {
				values[from+i] = value
			} else if !errors.Is(err, store.ErrNotFound) {
				return nil, fail("get multi", err)
			}
		}
	}
	return values, nil
}

// mget asks each node once.
func (c *connection) mget(ctx context.Context, keys []string) (map[string]rueidis.RedisMessage, error) {
	p, err := c.gate.enter(ctx)
	if err != nil {
		return nil, err
	}
	found, err := rueidis.MGet(c.Client, ctx, keys)
	if _, answered := rueidis.IsRedisErr(err); answered {
		c.gate.leave(p, nil)
	} else {
		c.gate.leave(p, err)
	}
	return found, err
}

// bytesOf returns the value in a reply to GET.
func bytesOf(reply rueidis.RedisResult) ([]byte, error) {
	message, err := reply.ToMessage()
	if err != nil && !rueidis.IsRedisNil(err) {
		return nil, err
	}
	return messageBytes(&message)
}

func messageBytes(m *rueidis.RedisMessage) ([]byte, error) {
	value, err := m.AsBytes()
	switch {
	case rueidis.IsRedisNil(err):
		return nil, store.ErrNotFound
	case err != nil:
		return nil, err
	case value == nil:
		return []byte{}, nil // a value of no bytes is a value
	default:
		return value, nil
	}
}

func checkSet(value []byte, ttl time.Duration) error {
	if ttl <= 0 {
		return fmt.Errorf("ttl %v is not positive", ttl)
	}
	if len(value) > maxValue {
		return fmt.Errorf("%w: %d bytes, a server keeps %d", store.ErrTooLarge, len(value), maxValue)
	}
	return nil
}

// milliseconds rounds up: a server knows no time below a millisecond, and refuses 0.
func milliseconds(d time.Duration) int64 {
	ms := d.Milliseconds()
	if d%time.Millisecond > 0 {
		ms++
	}
	return ms
}

// lane returns one of the connections for marks.
func (s *Store) lane() *lazy[lane] {
	if len(s.lanes) == 1 {
		return &s.lanes[0]
	}
	return &s.lanes[rand.IntN(len(s.lanes))] //nolint:gosec // no secret
}

// fail names the operation in an error.
func fail(operation string, err error) error {
	return fmt.Errorf("redisstore: %s: %w", operation, err)
}

// infoField returns a field of a reply to INFO.
func infoField(info, name string) string {
	_, rest, _ := strings.Cut(info, "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}
