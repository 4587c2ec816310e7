package tierstore

import (
	"context"
	"iter"
	"time"

	"github.com/reprise-go/reprise/store"
)

// withCapabilities is t with what the far store can do and nothing else: a method that is there is relied on. Lister and
// Clearer come together, as they do in practice; a far store with one of them lends neither.
func (t *tier) withCapabilities() Store {
	q, canSequence := t.far.(store.Sequencer)
	l, canLock := t.far.(store.Locker)
	k, canList := t.far.(store.Lister)
	c, canClear := t.far.(store.Clearer)
	sequence, lock, list := sequencer{t, q}, locker{t, l}, lister{t, k, c}

	switch [...]bool{canSequence, canLock, canList && canClear} {
	case [...]bool{true, false, false}:
		return struct {
			*tier
			sequencer
		}{t, sequence}
	case [...]bool{false, true, false}:
		return struct {
			*tier
			locker
		}{t, lock}
	case [...]bool{true, true, false}:
		return struct {
			*tier
			sequencer
			locker
		}{t, sequence, lock}
	case [...]bool{false, false, true}:
		return struct {
			*tier
			lister
		}{t, list}
	case [...]bool{true, false, true}:
		return struct {
			*tier
			sequencer
			lister
		}{t, sequence, list}
	case [...]bool{false, true, true}:
		return struct {
			*tier
			locker
			lister
		}{t, lock, list}
	case [...]bool{true, true, true}:
		return struct {
			*tier
			sequencer
			locker
			lister
		}{t, sequence, lock, list}
	default:
		return t
	}
}

// sequencer reads and raises the far store's marks. Copies are subject to them like any value.
type sequencer struct {
	t   *tier
	far store.Sequencer
}

func (q sequencer) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	if err := q.t.begin(ctx, "marks"); err != nil {
		return store.Marks{}, err
	}
	return q.far.Marks(ctx, names...)
}

func (q sequencer) Raise(ctx context.Context, names ...string) (uint64, error) {
	if err := q.t.begin(ctx, "raise"); err != nil {
		return 0, err
	}
	return q.far.Raise(ctx, names...)
}

// GetMarked spares the transfer of a value that is near, not the round trip for the marks.
func (q sequencer) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	if err := q.t.begin(ctx, "get"); err != nil {
		return nil, store.Marks{}, err
	}
	if value, err := q.t.near.Get(ctx, key); err == nil {
		m, err := q.far.Marks(ctx, names...)
		if err != nil {
			return nil, store.Marks{}, err
		}
		return value, m, nil
	}
	begun := q.t.begun(key)
	value, m, err := q.far.GetMarked(ctx, key, names...)
	if err == nil {
		q.t.keep(ctx, key, value, begun)
	}
	return value, m, err
}

// locker leases from the far store.
type locker struct {
	t   *tier
	far store.Locker
}

func (l locker) Lock(ctx context.Context, name string, ttl time.Duration) (uint64, bool, error) {
	if err := l.t.begin(ctx, "lock"); err != nil {
		return 0, false, err
	}
	return l.far.Lock(ctx, name, ttl)
}

func (l locker) Renew(ctx context.Context, name string, fence uint64, ttl time.Duration) (bool, error) {
	if err := l.t.begin(ctx, "renew"); err != nil {
		return false, err
	}
	return l.far.Renew(ctx, name, fence, ttl)
}

func (l locker) Unlock(ctx context.Context, name string, fence uint64) error {
	if err := l.t.begin(ctx, "unlock"); err != nil {
		return err
	}
	return l.far.Unlock(ctx, name, fence)
}

func (l locker) SetLocked(
	ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64,
) (bool, error) {
	if err := l.t.begin(ctx, "set locked"); err != nil {
		return false, err
	}
	defer l.t.forget(ctx, key)
	return l.far.SetLocked(ctx, key, value, ttl, name, fence)
}

// lister lists the far store and clears both.
type lister struct {
	t     *tier
	far   store.Lister
	clear store.Clearer
}

func (l lister) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	if err := l.t.begin(ctx, "keys"); err != nil {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	return l.far.Keys(ctx, prefix)
}

func (l lister) Clear(ctx context.Context, prefix string) (int, error) {
	if err := l.t.begin(ctx, "clear"); err != nil {
		return 0, err
	}
	defer l.t.forgetAll(ctx, prefix)
	return l.clear.Clear(ctx, prefix)
}
