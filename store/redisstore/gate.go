package redisstore

import (
	"context"
	"errors"
	"sync/atomic"
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
	held    atomic.Int64  // places, by calls under way and calls given up
	givenUp atomic.Uint64 // calls so far
	settled atomic.Uint64 // the first of them, whose places have been taken back

	waiting atomic.Int64
	room    chan struct{} // has room for one: a hint to one who waits that there may be a place
	probe   chan struct{} // has room for one
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
	return &gate{room: make(chan struct{}, 1), probe: make(chan struct{}, 1)}
}

// enter waits for a place as long as ctx allows.
func (g *gate) enter(ctx context.Context) (p pass, err error) {
	if err := ctx.Err(); err != nil {
		return p, err
	}
	if !g.take() {
		if p.probe, err = g.wait(ctx); err != nil {
			return p, err
		}
	}
	p.before = g.givenUp.Load()
	return p, nil
}

// take takes a place if there is one.
func (g *gate) take() bool {
	for {
		n := g.held.Load()
		if n >= gateSize {
			return false
		}
		if g.held.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// wait takes a place or the probe, as soon as there is one.
func (g *gate) wait(ctx context.Context) (probe bool, err error) {
	// Whoever gives a place back after this sees that somebody waits.
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	for !g.take() {
		select {
		case <-g.room:
		case g.probe <- struct{}{}:
			return true, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	g.hint() // there may be more
	return false, nil
}

// giveBack frees n places.
func (g *gate) giveBack(n int64) {
	g.held.Add(-n)
	g.hint()
}

func (g *gate) hint() {
	if g.waiting.Load() == 0 {
		return
	}
	select {
	case g.room <- struct{}{}:
	default:
	}
}

// leave ends a call, which returned an error other than the server's, or nil.
func (g *gate) leave(p pass, err error) {
	given := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	switch {
	case p.probe && given:
		time.AfterFunc(probePause, func() { <-g.probe })
	case p.probe:
		<-g.probe
	case given:
		g.givenUp.Add(1)
	default:
		g.giveBack(1)
	}
	if err != nil {
		return // a connection that broke says nothing of others
	}
	for settled := g.settled.Load(); settled < p.before; settled = g.settled.Load() {
		if g.settled.CompareAndSwap(settled, p.before) {
			g.giveBack(int64(p.before - settled)) //nolint:gosec // at most gateSize
		}
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
