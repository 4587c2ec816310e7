package redisstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// gate bounds the calls that are under way on a connection. The client queues them in a ring of 1024 places, in which
// one keeps its place until the reply comes, though nobody waits for it any more; and who finds the ring full waits for
// a place whatever its context says. Behind a gate nobody ever does: a call that was given up keeps its place in the gate
// as well, until another that began later has an answer, since replies come in the order of calls.
//
// Were all places held by calls that were given up, none could show that the server is back. So one more is let through
// at a time.
type gate struct {
	places chan struct{} // one in it for each place that is held
	probe  chan struct{} // has room for one

	mu      sync.Mutex
	givenUp uint64 // calls given up so far
	settled uint64 // the first of them, whose places have been taken back
}

const (
	gateSize = 900
	// probePause keeps probes that are given up from filling the ring: within three seconds a silent connection is
	// closed, and the ring emptied.
	probePause = 50 * time.Millisecond
)

// pass is the right to make one call.
type pass struct {
	probe  bool
	before uint64 // calls given up when it began
}

func newGate() *gate {
	return &gate{places: make(chan struct{}, gateSize), probe: make(chan struct{}, 1)}
}

// enter waits for a place as long as ctx allows.
func (g *gate) enter(ctx context.Context) (p pass, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	select {
	case g.places <- struct{}{}:
	default:
		select {
		case g.places <- struct{}{}:
		case g.probe <- struct{}{}:
			p.probe = true
		case <-ctx.Done():
			return p, ctx.Err()
		}
	}
	g.mu.Lock()
	p.before = g.givenUp
	g.mu.Unlock()
	return p, nil
}

// leave ends a call, which returned an error other than the server's, or nil.
func (g *gate) leave(p pass, err error) {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		if p.probe {
			time.AfterFunc(probePause, func() { <-g.probe })
			return
		}
		g.mu.Lock()
		g.givenUp++
		g.mu.Unlock()
		return
	}
	if p.probe {
		<-g.probe
	} else {
		<-g.places
	}
	if err != nil {
		return // the connection broke, which says nothing of others
	}
	g.mu.Lock()
	back := uint64(0)
	if p.before > g.settled {
		back = p.before - g.settled
		g.settled = p.before
	}
	g.mu.Unlock()
	for range back {
		<-g.places
	}
}

// do is c.Do behind the gate.
func (g *gate) do(ctx context.Context, c rueidis.CommandClient, command rueidis.Completed) rueidis.RedisResult {
	p, err := g.enter(ctx)
	if err != nil {
		return rueidis.NewErrorResult(err)
	}
	result := c.Do(ctx, command)
	g.leave(p, result.NonRedisError())
	return result
}

// doMulti is c.DoMulti behind the gate.
func (g *gate) doMulti(ctx context.Context, c rueidis.CommandClient, commands []rueidis.Completed) []rueidis.RedisResult {
	p, err := g.enter(ctx)
	if err != nil {
		results := make([]rueidis.RedisResult, len(commands))
		for i := range results {
			results[i] = rueidis.NewErrorResult(err)
		}
		return results
	}
	results := c.DoMulti(ctx, commands...)
	for _, result := range results {
		if err = result.NonRedisError(); err != nil {
			break
		}
	}
	g.leave(p, err)
	return results
}

// Do is that of the client, behind the gate.
func (c *connection) Do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	return c.gate.do(ctx, c.Client, command)
}

// DoMulti is that of the client, behind the gate.
func (c *connection) DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	return c.gate.doMulti(ctx, c.Client, commands)
}

// Do is that of the client, behind the gate.
func (l *lane) Do(ctx context.Context, command rueidis.Completed) rueidis.RedisResult {
	return l.gate.do(ctx, l.DedicatedClient, command)
}

// DoMulti is that of the client, behind the gate.
func (l *lane) DoMulti(ctx context.Context, commands ...rueidis.Completed) []rueidis.RedisResult {
	return l.gate.doMulti(ctx, l.DedicatedClient, commands)
}
