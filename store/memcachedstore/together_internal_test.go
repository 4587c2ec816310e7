package memcachedstore

import (
	"errors"
	"testing"

	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// TestJoin: who may share an exchange, and what it then consists of.
func TestJoin(t *testing.T) {
	s := newTestStore(t)
	server, here, later := s.sequencer, s.newKnown(1, 1), s.newKnown(1, 2)
	wantKeys := func(b *batch, want ...string) {
		t.Helper()
		if len(b.cmds) != len(want) {
			t.Fatalf("%d commands; want %q", len(b.cmds), want)
		}
		for i, c := range b.cmds {
			if c.Op != meta.Get || c.Key != want[i] {
				t.Errorf("command %d reads %q; want %q", i, c.Key, want[i])
			}
		}
	}

	first, at, leads := server.join(lookup{here, "a"})
	if at != 2 || !leads {
		t.Errorf("the first look-up is at %d, leads %v; want 2, true", at, leads)
	}
	if b, at, leads := server.join(lookup{here, ""}); b != first || at != -1 || leads {
		t.Errorf("a look-up without an item is at %d, leads %v, joined %v", at, leads, b == first)
	}
	if b, at, leads := server.join(lookup{here, "b"}); b != first || at != 3 || leads {
		t.Errorf("a look-up at the same counter is at %d, leads %v, joined %v", at, leads, b == first)
	}
	next, _, leads := server.join(lookup{later, "c"})
	if next == first || !leads {
		t.Error("a look-up at another counter shares the exchange")
	}
	server.shut(first) // does not concern next
	values, at, leads := server.join(lookup{nil, "d"})
	if values == next || at != 0 || !leads {
		t.Errorf("a look-up of an item alone is at %d, leads %v, joined %v", at, leads, values == next)
	}
	for range maxTogether - 1 {
		if b, _, _ := server.join(lookup{nil, "d"}); b != values {
			t.Fatalf("the exchange is full with %d", len(values.cmds))
		}
	}
	if b, _, leads := server.join(lookup{nil, "d"}); b == values || !leads {
		t.Errorf("%d share an exchange", maxTogether+1)
	}
	wantKeys(first, "reprise@", "reprise@1", "a", "b")
	wantKeys(next, "reprise@", "reprise@1", "c")

	// The last who leaves an exchange leaves nothing of it.
	first.err = errors.New("refused")
	for range 2 {
		server.leave(first)
	}
	if first.err == nil || first.holders.Load() != 1 {
		t.Error("an exchange ends while it is in use")
	}
	server.leave(first)
	if first.err != nil || first.members != 0 || first.done != nil || first.known != nil || len(first.cmds) != 0 {
		t.Errorf("an exchange that is over is left as %+v", first)
	}
}
