package reprise

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What was asked before an outage and fails after it says nothing of the node as it is now.
func TestGuardForgetsWhatBeganBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, failure := newGuard(), errors.New("timed out")
		before := g.phase.Load()
		for range breakerFailures {
			g.note(before, failure)
		}
		if !g.off.Load() {
			t.Fatalf("after %d failures the node is still asked", breakerFailures)
		}
		time.Sleep(2 * breakerPause)
		if _, err := g.breaker.Execute(func() (struct{}, error) { return struct{}{}, nil }); err != nil || g.off.Load() {
			t.Fatalf("after a probe that succeeded (%v) the node is not asked", err)
		}
		for range breakerFailures {
			g.note(before, failure)
		}
		if g.off.Load() {
			t.Error("failures of what began before the outage count")
		}
	})
}
