//go:build linux

package history_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/reprise-go/reprise/e2e/history"
	"github.com/reprise-go/reprise/internal/realserver"
	"github.com/reprise-go/reprise/store"
)

// breakages are faults of a store that no run may survive, by the name that a Spec has for them. They hide what the store can do
// besides: a tier in memory is then not told of changes, and only marks keep it from serving what it has.
var breakages = map[string]func(history.Remote) history.Remote{
	"deaf":      func(s history.Remote) history.Remote { return deaf{s} },
	"forgetful": func(s history.Remote) history.Remote { return &forgetful{Remote: s} },
	"immortal":  func(s history.Remote) history.Remote { return immortal{s} },
}

// deaf raises nothing.
type deaf struct{ history.Remote }

func (d deaf) Raise(ctx context.Context, _ ...string) (uint64, error) {
	m, err := d.Marks(ctx)
	return m.Newest, err
}

// forgetful returns, beside a value, marks as they were when it first read them.
type forgetful struct {
	history.Remote
	seen sync.Map // of names, joined
}

func (f *forgetful) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	b, m, err := f.Remote.GetMarked(ctx, key, names...)
	if m.Incarnation != 0 {
		old, _ := f.seen.LoadOrStore(strings.Join(names, " "), m)
		m = old.(store.Marks)
	}
	return b, m, err
}

// immortal has the same incarnation after everything was lost.
type immortal struct{ history.Remote }

func live(m store.Marks) store.Marks {
	if m.Incarnation != 0 {
		m.Incarnation = 1
	}
	return m
}

func (i immortal) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	m, err := i.Remote.Marks(ctx, names...)
	return live(m), err
}

func (i immortal) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	b, m, err := i.Remote.GetMarked(ctx, key, names...)
	return b, live(m), err
}

// TestBrokenStores holds the whole arrangement: stores that break the promise are found out.
func TestBrokenStores(t *testing.T) {
	for name := range breakages {
		t.Run(name, func(t *testing.T) {
			s := realserver.NewRedis(t)
			report := do(t, history.Config{
				Operations: 8000, Objects: 300, Clients: 8, Mutations: 10, Rounds: 1,
				Workers: processes(history.Spec{Store: history.Redis, Addr: s.Addr(), Slow: 0.1, Broken: name}),
				Faults:  []history.Fault{emptied(t, s)},
			})
			if len(report.Violations) == 0 {
				t.Error("nothing was found")
			}
			for _, v := range report.Violations {
				if v.Rule != history.Early && v.Rule != history.Old {
					t.Error(v)
				}
			}
		})
	}
}
