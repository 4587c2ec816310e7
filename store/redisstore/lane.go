package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"github.com/reprise-go/reprise/store"
)

// lane is one connection, not merely one address, on which marks are read and raised. What is known of the server at
// its other end stays true: a connection does not outlive the run of a server. A client's ordinary commands may find
// themselves on a new connection, to another run, at any time and unnoticed.
type lane struct {
	rueidis.DedicatedClient
	owner *connection
	addr  string // of the server, if a Sentinel may name another
	gate  *gate
	key   string // of the marks

	together together

	// incarnation is that of the marks which were found to belong to the server's run, or made for it.
	incarnation atomic.Uint64
	checked     atomic.Int64 // when addr was compared with the master's last, in Unix nanoseconds

	known    atomic.Pointer[known] // nil as long as the server does not track the lane
	asked    atomic.Int64          // when it was asked to last, in Unix nanoseconds; the highest when that is settled
	verified atomic.Int64          // when marks were last read because it was time to, in Unix nanoseconds
}

const (
	// openTimeout bounds the requests that open a lane; its callers wait no longer than they may.
	openTimeout = 5 * time.Second
	// masterCheck is how often a lane asks the client whether another server has become the master.
	masterCheck = time.Second
)

// openLane makes a connection and identifies its server.
func (s *Store) openLane() (*lane, error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	c, err := s.client.get(ctx)
	if err != nil {
		return nil, err
	}
	l := &lane{owner: c, addr: c.master(), gate: newGate(), key: s.keys.marks}
	l.checked.Store(time.Now().UnixNano())
	l.DedicatedClient, _ = c.Dedicate()
	if err := l.adopt(ctx, s); err != nil {
		l.release()
		return nil, err
	}
	if c.cluster {
		c.learn(ctx)
	}
	return l, nil
}

// master returns the address of the server that the Sentinels name; "" without Sentinels, where an address has one
// server, or a node tells by itself that it has become a replica.
func (c *connection) master() string {
	if c.Mode() != rueidis.ClientModeSentinel {
		return ""
	}
	nodes := c.Nodes()
	if len(nodes) != 1 {
		return "" // a client that also reads from replicas does not tell them apart
	}
	for addr := range nodes {
		return addr
	}
	return ""
}

// adopt identifies the server and the incarnation of its marks, or begins a new one if they belong to another run or
// are gone.
func (l *lane) adopt(ctx context.Context, s *Store) error {
	// The last of them has a key, which leads the connection of a Cluster's client to the node that has the marks.
	replies := l.DoMulti(ctx,
		l.B().Info().Section("server").Build(),
		l.B().Info().Section("replication").Build(),
		l.B().Exists().Key(l.key).Build())
	server, err := replies[0].ToString()
	if err != nil {
		return fmt.Errorf("info: %w", err)
	}
	replication, err := replies[1].ToString()
	if err != nil {
		return fmt.Errorf("info: %w", err)
	}
	if err := replies[2].Error(); err != nil {
		return err
	}
	if role := infoField(replication, "role"); role == "slave" {
		return errors.New("the server is a replica")
	}
	if !ordered(server) {
		l.asked.Store(math.MaxInt64) // what it announces proves nothing
	}
	run := ""
	if !s.durable {
		// The second tells one reign of a master from another, between which it took over the data of a replica.
		run = infoField(server, "run_id") + infoField(replication, "master_replid")
		if len(run) != runLength {
			return fmt.Errorf("the server does not tell its run_id and master_replid (%q): set Config.Durable if it forgets nothing", run)
		}
	}
	fresh := make([]byte, 8)
	for binary.BigEndian.Uint64(fresh) == 0 {
		binary.BigEndian.PutUint64(fresh, rand.Uint64()) //nolint:gosec // unique, not secret
	}
	reply, err := l.Do(ctx, l.B().Eval().Script(adoptScript).Numkeys(1).Key(l.key).
		Arg(run, string(fresh), strconv.Itoa(runAt*8), strconv.Itoa(slotsAt*8-1), strconv.Itoa(marksSize-1)).
		Build()).AsBytes()
	if err != nil {
		return err
	}
	if len(reply) != 8 {
		return fmt.Errorf("an incarnation of %d bytes", len(reply))
	}
	l.incarnation.Store(binary.BigEndian.Uint64(reply))
	l.forget()
	return nil
}

// stale reports whether the client has turned to another server since the lane was opened, as it does when a Sentinel
// tells it to. The old master may live on, cut off from the others, and answer.
func (l *lane) stale() bool {
	if l.addr == "" {
		return false
	}
	last, now := l.checked.Load(), time.Now().UnixNano()
	if now-last < int64(masterCheck) || !l.checked.CompareAndSwap(last, now) {
		return false
	}
	return l.owner.master() != l.addr
}

func (l *lane) release() { l.Close() }

// onLane calls f with a lane, and once more if the first connection was broken or its marks are of another incarnation.
// To read and to raise twice does no harm.
func (s *Store) onLane(ctx context.Context, f func(*lane) error) error {
	at := s.lane()
	for attempt := 0; ; attempt++ {
		l, err := at.get(ctx)
		if err != nil {
			return err
		}
		if l.stale() {
			at.drop(l)
			if l, err = at.get(ctx); err != nil {
				return err
			}
		}
		err = f(l)
		if errors.Is(err, errIncarnation) {
			if err = l.adopt(ctx, s); err == nil {
				err = errIncarnation
			}
		}
		switch {
		case err == nil, errors.Is(err, store.ErrNotFound):
			return err
		case ctx.Err() != nil:
			// The connection may be all right. If it is not, its next user finds out.
			return ctx.Err()
		case !errors.Is(err, errIncarnation):
			at.drop(l)
		}
		if attempt > 0 {
			return err
		}
	}
}

// errIncarnation is what a caller of onLane returns that met other marks than its lane knows.
var errIncarnation = errors.New("the marks change their incarnation again and again")
