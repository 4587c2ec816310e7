package redisstore

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func enter(t *testing.T, g *gate) pass {
	t.Helper()
	p, err := g.enter(t.Context())
	if err != nil {
		t.Fatalf("enter = %v; want nil", err)
	}
	return p
}

func fill(t *testing.T, g *gate) []pass {
	t.Helper()
	passes := make([]pass, gateSize)
	for i := range passes {
		if passes[i] = enter(t, g); passes[i].probe {
			t.Fatalf("pass %d is the probe; want a place", i)
		}
	}
	return passes
}

// waits checks that nobody gets in.
func waits(t *testing.T, g *gate) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if p, err := g.enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("enter = %+v, %v; want to wait", p, err)
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		passes := fill(t, g)
		probe := enter(t, g)
		if !probe.probe {
			t.Error("there are more places than there should be")
		}
		waits(t, g)

		// A place that becomes free goes to who waits.
		got := make(chan pass)
		go func() { got <- enter(t, g) }()
		synctest.Wait()
		g.leave(passes[0], nil)
		if passes[0] = <-got; passes[0].probe {
			t.Error("who waited got the probe; want the place")
		}

		// Calls that are given up keep their places, whatever becomes of those that began before.
		for _, p := range passes[1:] {
			g.leave(p, context.DeadlineExceeded)
		}
		g.leave(passes[0], nil)
		g.leave(enter(t, g), io.EOF) // a broken connection is no answer
		g.leave(probe, nil)
		passes = passes[:1]
		passes[0] = enter(t, g)
		if probe = enter(t, g); !probe.probe {
			t.Fatal("places were taken back without an answer to a later call")
		}

		// A probe that is given up makes the next wait.
		g.leave(probe, context.Canceled)
		waits(t, g)
		time.Sleep(probePause)
		probe = enter(t, g)
		// One that is answered frees all places of calls that were given up before it.
		g.leave(passes[0], context.DeadlineExceeded)
		g.leave(probe, nil)
		if held := g.held.Load(); held != 1 {
			t.Errorf("%d places are held; want that of the one call given up since", held)
		}
		g.leave(enter(t, g), nil)
		if held := g.held.Load(); held != 0 {
			t.Errorf("%d places are held; want none", held)
		}
	})
}

// However calls end, none keeps a place for ever, and nobody waits while there is one.
func TestGateUnderLoad(t *testing.T) {
	g := newGate()
	var wg sync.WaitGroup
	for w := range 2 * gateSize {
		wg.Go(func() {
			for n := range 20 {
				p := enter(t, g)
				switch (w + n) % 7 {
				case 0:
					g.leave(p, context.DeadlineExceeded)
				case 1:
					g.leave(p, io.EOF)
				default:
					g.leave(p, nil)
				}
			}
		})
	}
	wg.Wait()
	g.leave(enter(t, g), nil)
	if held := g.held.Load(); held != 0 {
		t.Errorf("%d places are held; want none", held)
	}
}
