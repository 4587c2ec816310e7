package history

import (
	"context"
	"math"
	"time"

	"github.com/reprise-go/reprise/internal/wire"
	"github.com/reprise-go/reprise/store"
)

// Remote is a store outside the process with all that fences need.
type Remote interface {
	store.Store
	store.MultiGetter
	store.Sequencer
	store.Locker
}

// listing is what some of them can do besides.
type listing interface {
	store.Lister
	store.Clearer
	store.Notifier
}

// Skewed returns s as a process sees it whose clock is ahead by so much. A clock is seen from outside in nothing but the
// moments of the records that a process writes and reads: those it writes are moved by the skew, and those it reads moved
// back.
func Skewed(s Remote, by time.Duration) Remote {
	k := &skewed{s, int64(by)}
	if l, ok := s.(listing); ok {
		return struct {
			*skewed
			listing
		}{k, l}
	}
	return k
}

type skewed struct {
	Remote
	by int64
}

// move returns the record at key with its moments moved. What is no record stays as it is.
func move(b []byte, key string, by int64) []byte {
	const kindAt = 4 // in an encoded record, of any version
	var r wire.Record
	if len(b) <= kindAt || r.Decode(b, wire.Kind(b[kindAt]), key) != nil {
		return b
	}
	r.Born += by
	if r.Expires != math.MaxInt64 {
		r.Expires += by
	}
	return r.Append(nil)
}

func (s *skewed) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := s.Remote.Get(ctx, key)
	return move(b, key, -s.by), err
}

func (s *skewed) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	values, err := s.Remote.GetMulti(ctx, keys)
	for i, b := range values {
		if b != nil {
			values[i] = move(b, keys[i], -s.by)
		}
	}
	return values, err
}

func (s *skewed) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	b, m, err := s.Remote.GetMarked(ctx, key, names...)
	return move(b, key, -s.by), m, err
}

func (s *skewed) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.Remote.Set(ctx, key, move(value, key, s.by), ttl)
}

func (s *skewed) SetLocked(
	ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64,
) (bool, error) {
	return s.Remote.SetLocked(ctx, key, move(value, key, s.by), ttl, name, fence)
}
