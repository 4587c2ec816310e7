package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/store"
)

const (
	// feedPing is how often a feed is tried, and how long the answer may take: a connection that carries nothing but
	// announcements looks the same when it is cut.
	feedPing = time.Second
	// feedBuffer is how many announcements wait for a slow receiver before they count as lost.
	feedBuffer = 1024
	// The pause between attempts to watch again grows from the first to the second.
	feedPause, feedPauseMax = 20 * time.Millisecond, time.Second
)

// Notify implements [store.Notifier] by the server's client tracking, in broadcasting mode: the server announces each
// key with the store's prefix that is set, removed, evicted or expired, whoever does it, this store included; an expiry
// when the server comes across it, which may be a while later.
//
// lost is called when watching begins, when a connection broke, when watching begins again, when a database was flushed
// and when announcements came faster than they could be handed on. A silent server or network is noticed within two
// seconds. Notify returns early, with an error, only if the server refuses to announce or the store is closed.
func (s *Store) Notify(ctx context.Context, changed func(key string), lost func()) error {
	pause := feedPause
	for {
		began, err := s.watch(ctx, changed, lost)
		switch {
		case ctx.Err() != nil:
			return fail("notify", ctx.Err())
		case errors.Is(err, store.ErrClosed), errors.Is(err, errRefused):
			return fail("notify", err)
		}
		if began {
			pause = feedPause
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, feedPauseMax)
	}
}

// errRefused marks an error that another attempt would meet again.
var errRefused = errors.New("the server does not announce changes")

// feed is what the connections to all masters announce to one Notify.
type feed struct {
	announced chan []rueidis.RedisMessage // keys of the server
	lost      chan struct{}               // has room for one
	broken    chan error                  // has room for one
}

// watch announces until something breaks. began is whether it came to announce at all.
func (s *Store) watch(ctx context.Context, changed func(string), lost func()) (began bool, err error) {
	c, err := s.client.get(ctx)
	if err != nil {
		return false, err
	}
	masters, err := mastersSoon(ctx, c)
	if err != nil {
		return false, err
	}
	f := &feed{
		announced: make(chan []rueidis.RedisMessage, feedBuffer),
		lost:      make(chan struct{}, 1),
		broken:    make(chan error, 1),
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	ready := make(chan error, len(masters))
	for _, node := range masters {
		running.Go(func() { s.listen(ctx, node, f, ready) })
	}
	for range masters {
		if err := <-ready; err != nil {
			return false, err
		}
	}
	running.Go(func() { s.observe(ctx, c, masters, f) })
	lost()
	for {
		select {
		case messages := <-f.announced:
			for _, m := range messages {
				valueKey, err := m.ToString()
				if key, ok := s.keys.key(valueKey); ok && err == nil {
					changed(key)
				}
			}
		case <-f.lost:
			lost()
		case err := <-f.broken:
			lost() // before the connections are closed, which may take a while
			return true, err
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}

// mastersSoon is masters with the patience of a feed.
func mastersSoon(ctx context.Context, c *connection) (map[string]rueidis.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, feedPing)
	defer cancel()
	return c.masters(ctx)
}

// observe breaks the feed when the store is closed or the masters change: whoever becomes one announces nothing yet.
func (s *Store) observe(ctx context.Context, c *connection, masters map[string]rueidis.Client, f *feed) {
	addrs := sortedKeys(masters)
	for tick(ctx) {
		if _, err := s.client.get(ctx); err != nil {
			f.fail(err)
			return
		}
		now, err := mastersSoon(ctx, c)
		if err == nil && !slices.Equal(addrs, sortedKeys(now)) {
			err = errors.New("the masters have changed")
		}
		if err != nil {
			f.fail(err)
			return
		}
	}
}

// listen makes a connection to node on which it announces to f, and tells ready whether that works. It tries the
// connection from time to time until ctx ends.
func (s *Store) listen(ctx context.Context, node rueidis.Client, f *feed, ready chan<- error) {
	conn, _ := node.Dedicate()
	defer conn.Close()
	end := conn.SetOnInvalidations(f.announce)
	err := s.announceValues(ctx, conn)
	ready <- err
	if err != nil {
		return
	}
	for {
		select {
		case err := <-end:
			f.fail(err)
			return
		case <-ctx.Done():
			return
		case <-time.After(feedPing):
		}
		ping, cancel := context.WithTimeout(ctx, feedPing)
		err := conn.Do(ping, conn.B().Ping().Build()).Error()
		cancel()
		if err != nil {
			f.fail(err)
			return
		}
	}
}

// announceValues asks the server to announce changes of values on conn.
func (s *Store) announceValues(ctx context.Context, conn rueidis.DedicatedClient) error {
	ctx, cancel := context.WithTimeout(ctx, feedPing)
	defer cancel()
	return track(ctx, conn, "BCAST", "PREFIX", s.keys.value)
}

// track turns tracking on for conn. The error matches errRefused if the server will never do that.
func track(ctx context.Context, conn rueidis.DedicatedClient, options ...string) error {
	replies := conn.DoMulti(ctx,
		conn.B().ClientTracking().Off().Build(), // a client that caches has begun another kind of tracking
		conn.B().Arbitrary("CLIENT", "TRACKING", "ON").Args(options...).Build(),
		conn.B().Arbitrary("HELLO").Build())
	if err := replies[1].Error(); err != nil {
		if _, refused := rueidis.IsRedisErr(err); refused {
			return fmt.Errorf("%w: %w", errRefused, err)
		}
		return err
	}
	// In RESP2 a server accepts tracking and then announces nothing. Redis 6.0 does not tell the protocol.
	hello, err := replies[2].AsMap()
	if err != nil {
		return nil //nolint:nilerr // if the connection broke, SetOnInvalidations tells
	}
	version := hello["proto"]
	if n, err := version.AsInt64(); err == nil && n < 3 {
		return fmt.Errorf("%w over RESP%d: it needs RESP3", errRefused, n)
	}
	return nil
}

// fail ends the feed. The first reason counts.
func (f *feed) fail(err error) {
	select {
	case f.broken <- err:
	default:
	}
}

// announce takes the keys of a message; nil is all of them. It runs on the goroutine that reads the connection, and so
// must not wait.
func (f *feed) announce(messages []rueidis.RedisMessage) {
	if messages != nil {
		select {
		case f.announced <- messages:
			return
		default:
		}
	}
	select {
	case f.lost <- struct{}{}:
	default:
	}
}

// tick waits for the time between two pings and reports whether ctx still lives.
func tick(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(feedPing):
		return true
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
