// Package wrap changes the values of a store on their way in and out, and leaves everything else as it is: what the
// wrapper can do is what the store can do.
package wrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/reprise-go/reprise/store"
)

//go:generate go run gen.go

// Codec is the change. It neither changes nor keeps the bytes that it is given, but may return a part of them.
type Codec interface {
	// Encode returns what the store keeps for value.
	Encode(key string, value []byte) ([]byte, error)
	// Decode returns the value again. An error means that Encode did not make it, for that key.
	Decode(key string, kept []byte) ([]byte, error)
}

// Store returns a store that keeps in inner what codec makes of values. It has the capabilities of inner, but for Local
// and Sequenced: live values would go around codec. What codec cannot decode is not there. The errors of codec carry
// name; those of inner are returned as they are.
func Store(inner store.Store, codec Codec, name string) store.Store {
	v := values{inner, codec, name}
	set := 0
	var m multiGetter
	if c, ok := inner.(store.MultiGetter); ok {
		m = multiGetter{v, c}
		set |= hasMultiGetter
	}
	var q sequencer
	if c, ok := inner.(store.Sequencer); ok {
		q = sequencer{v, c}
		set |= hasSequencer
	}
	var l locker
	if c, ok := inner.(store.Locker); ok {
		l = locker{c, v}
		set |= hasLocker
	}
	lister, ok := inner.(store.Lister)
	set |= bit(ok, hasLister)
	clearer, ok := inner.(store.Clearer)
	set |= bit(ok, hasClearer)
	notifier, ok := inner.(store.Notifier)
	set |= bit(ok, hasNotifier)
	sizer, ok := inner.(store.Sizer)
	set |= bit(ok, hasSizer)
	closer, ok := inner.(io.Closer)
	set |= bit(ok, hasCloser)
	return compose(set, v, m, q, l, lister, clearer, notifier, sizer, closer)
}

const (
	hasMultiGetter = 1 << iota
	hasSequencer
	hasLocker
	hasLister
	hasClearer
	hasNotifier
	hasSizer
	hasCloser
)

func bit(ok bool, b int) int {
	if ok {
		return b
	}
	return 0
}

// values is the store without capabilities.
type values struct {
	inner store.Store
	codec Codec
	name  string
}

func (v values) Get(ctx context.Context, key string) ([]byte, error) {
	kept, err := v.inner.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return v.decode(key, kept)
}

func (v values) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	kept, err := v.encode(key, value)
	if err != nil {
		return err
	}
	return v.inner.Set(ctx, key, kept, ttl)
}

func (v values) Delete(ctx context.Context, keys ...string) (int, error) {
	return v.inner.Delete(ctx, keys...)
}

// Node implements [store.Partitioned]. A store that is not is as one that has a single node.
func (v values) Node(key string) string {
	if p, ok := v.inner.(store.Partitioned); ok {
		return p.Node(key)
	}
	return ""
}

// Forget implements [store.Layered]. A store that is not keeps no copies.
func (v values) Forget(key string) bool {
	l, ok := v.inner.(store.Layered)
	return ok && l.Forget(key)
}

func (v values) encode(key string, value []byte) ([]byte, error) {
	kept, err := v.codec.Encode(key, value)
	if err != nil {
		return nil, fmt.Errorf("%s: set: %w", v.name, err)
	}
	return kept, nil
}

func (v values) decode(key string, kept []byte) ([]byte, error) {
	value, err := v.codec.Decode(key, kept)
	if err != nil {
		return nil, fmt.Errorf("%s: get: %w: %w", v.name, store.ErrNotFound, err)
	}
	if value == nil {
		value = []byte{}
	}
	return value, nil
}

type multiGetter struct {
	values values
	inner  store.MultiGetter
}

func (m multiGetter) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	all, err := m.inner.GetMulti(ctx, keys)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(all))
	for i, kept := range all {
		if kept == nil {
			continue
		}
		if values[i], err = m.values.decode(keys[i], kept); err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
	}
	return values, nil
}

type sequencer struct {
	values values
	inner  store.Sequencer
}

func (q sequencer) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	return q.inner.Marks(ctx, names...)
}

func (q sequencer) Raise(ctx context.Context, names ...string) (uint64, error) {
	return q.inner.Raise(ctx, names...)
}

func (q sequencer) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	kept, m, err := q.inner.GetMarked(ctx, key, names...)
	if err != nil {
		return nil, m, err
	}
	value, err := q.values.decode(key, kept)
	return value, m, err
}

type locker struct {
	store.Locker
	values values
}

func (l locker) SetLocked(ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64) (bool, error) {
	kept, err := l.values.encode(key, value)
	if err != nil {
		return false, err
	}
	return l.Locker.SetLocked(ctx, key, kept, ttl, name, fence)
}
