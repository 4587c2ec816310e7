package reprise_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// outside is a store that reprise knows as one outside the process: it keeps bytes, and numbers invalidations.
type outside struct {
	store.Store
	store.Sequencer
	store.MultiGetter

	gets, multis, marks atomic.Int64
	down, noMulti       atomic.Bool
}

var errDown = errors.New("the store is down")

func newOutside(t testing.TB) *outside {
	t.Helper()
	m, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return &outside{Store: m, Sequencer: m, MultiGetter: m}
}

func (s *outside) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if s.down.Load() {
		return errDown
	}
	return s.Store.Set(ctx, key, value, ttl)
}

func (s *outside) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	s.gets.Add(1)
	if s.down.Load() {
		return nil, store.Marks{}, errDown
	}
	return s.Sequencer.GetMarked(ctx, key, names...)
}

func (s *outside) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	s.multis.Add(1)
	if s.down.Load() || s.noMulti.Load() {
		return nil, errDown
	}
	return s.MultiGetter.GetMulti(ctx, keys)
}

func (s *outside) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	s.marks.Add(1)
	if s.down.Load() {
		return store.Marks{}, errDown
	}
	return s.Sequencer.Marks(ctx, names...)
}

// bytesOnly is a store that can do what every store can, and no more.
func bytesOnly(t testing.TB) store.Store {
	t.Helper()
	return struct{ store.Store }{newOutside(t).Store}
}

// silent is a logger for tests of what would be logged.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
