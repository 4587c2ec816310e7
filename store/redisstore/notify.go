package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
// key with the store's prefix that is set, removed, evicted or expired, whoever does it, this store included. lost is
// called when watching begins, when a connection broke, when watching begins again, when a database was flushed and
// when announcements came faster than they could be handed on. A silent server or network is noticed within two
// seconds. Notify returns early, with an error, only if the server refuses to announce.
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
			lost()
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
}

// watch announces until something breaks. began is whether it came to announce at all.
func (s *Store) watch(ctx context.Context, changed func(string), lost func()) (began bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := s.client.get(ctx)
	if err != nil {
		return false, err
	}
	masters, err := s.mastersSoon(ctx, c)
	if err != nil {
		return false, err
	}
	f := &feed{announced: make(chan []rueidis.RedisMessage, feedBuffer), lost: make(chan struct{}, 1)}
	broken := make(chan error, 2*len(masters)) // two goroutines for each have one error
	for _, node := range masters {
		conn, end, err := s.listen(ctx, node, f)
		if conn != nil {
			defer conn.Close()
		}
		if err != nil {
			return false, err
		}
		go func() {
			select {
			case err := <-end:
				broken <- err
			case <-ctx.Done():
			}
		}()
		go s.keepAlive(ctx, conn, broken)
	}
	lost()
	addrs := sortedKeys(masters)
	topology := time.NewTicker(feedPing)
	defer topology.Stop()
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
		case <-topology.C:
			if _, err := s.client.get(ctx); err != nil {
				return true, err // closed
			}
			// Whoever becomes a master announces nothing yet.
			now, err := s.mastersSoon(ctx, c)
			if err != nil {
				return true, err
			}
			if !slices.Equal(addrs, sortedKeys(now)) {
				return true, errors.New("the masters have changed")
			}
		case err := <-broken:
			return true, err
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}

// mastersSoon is masters with the patience of a feed.
func (s *Store) mastersSoon(ctx context.Context, c *connection) (map[string]rueidis.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, feedPing)
	defer cancel()
	return c.masters(ctx)
}

// listen makes a connection to node on which it announces to f. end tells when the connection breaks.
func (s *Store) listen(ctx context.Context, node rueidis.Client, f *feed) (conn rueidis.DedicatedClient, end <-chan error, err error) {
	conn, _ = node.Dedicate()
	end = conn.SetOnInvalidations(f.announce)
	ctx, cancel := context.WithTimeout(ctx, feedPing)
	defer cancel()
	replies := conn.DoMulti(ctx,
		conn.B().ClientTracking().Off().Build(), // a client that caches has begun another kind of tracking
		conn.B().Arbitrary("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", s.keys.value).Build())
	err = replies[1].Error()
	if _, refused := rueidis.IsRedisErr(err); refused {
		err = fmt.Errorf("%w: %w", errRefused, err)
	}
	return conn, end, err
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

// keepAlive tries conn from time to time until ctx ends or it fails.
func (s *Store) keepAlive(ctx context.Context, conn rueidis.DedicatedClient, broken chan<- error) {
	tick := time.NewTicker(feedPing)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ping, cancel := context.WithTimeout(ctx, feedPing)
		err := conn.Do(ping, conn.B().Ping().Build()).Error()
		cancel()
		if err != nil {
			broken <- err
			return
		}
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
