package storetest

import (
	"context"
	"errors"
	"iter"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
)

// The types here are stores that break one rule each.

// plain is a store of three methods.
type plain struct{ m *memstore.Store }

func (s plain) Get(ctx context.Context, key string) ([]byte, error) { return s.m.Get(ctx, key) }
func (s plain) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.m.Set(ctx, key, value, ttl)
}
func (s plain) Delete(ctx context.Context, keys ...string) (int, error) {
	return s.m.Delete(ctx, keys...)
}

type noNotFound struct{ *memstore.Store }

func (s noNotFound) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := s.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return b, err
}

type keepsFirst struct{ *memstore.Store }

func (s keepsFirst) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if _, err := s.Get(ctx, key); err == nil {
		return nil
	}
	return s.Store.Set(ctx, key, value, ttl)
}

type countsNames struct{ *memstore.Store }

func (s countsNames) Delete(ctx context.Context, keys ...string) (int, error) {
	_, err := s.Store.Delete(ctx, keys...)
	return len(keys), err
}

type removesNothing struct{ *memstore.Store }

func (s removesNothing) Delete(ctx context.Context, keys ...string) (n int, err error) {
	for _, key := range keys {
		if _, err := s.Get(ctx, key); err == nil {
			n++
		}
	}
	return n, nil
}

type deleteLimit struct {
	*memstore.Store
	limit int
	once  bool
}

func (s deleteLimit) Delete(ctx context.Context, keys ...string) (int, error) {
	if len(keys) > s.limit {
		return 0, errors.New("too many keys")
	}
	sorted := slices.Clone(keys)
	slices.Sort(sorted)
	if s.once && len(slices.Compact(sorted)) < len(keys) {
		return 0, errors.New("a key twice")
	}
	return s.Store.Delete(ctx, keys...)
}

// mappedKeys changes keys.
type mappedKeys struct {
	*memstore.Store
	key func(string) string
}

func mapped(key func(string) string) func(*memstore.Store) mappedKeys {
	return func(m *memstore.Store) mappedKeys { return mappedKeys{m, key} }
}

func (s mappedKeys) Get(ctx context.Context, key string) ([]byte, error) {
	return s.Store.Get(ctx, s.key(key))
}

func (s mappedKeys) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.Store.Set(ctx, s.key(key), value, ttl)
}

func (s mappedKeys) Delete(ctx context.Context, keys ...string) (int, error) {
	keys = slices.Clone(keys)
	for i := range keys {
		keys[i] = s.key(keys[i])
	}
	return s.Store.Delete(ctx, keys...)
}

type valueChanger struct {
	*memstore.Store
	value func([]byte) []byte
}

func changedValues(value func([]byte) []byte) func(*memstore.Store) valueChanger {
	return func(m *memstore.Store) valueChanger { return valueChanger{m, value} }
}

func (s valueChanger) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.Store.Set(ctx, key, s.value(value), ttl)
}

type noEmpty struct{ *memstore.Store }

func (s noEmpty) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := s.Store.Get(ctx, key)
	if err == nil && len(b) == 0 {
		return nil, store.ErrNotFound
	}
	return b, err
}

type refusesLarge struct {
	*memstore.Store
	limit int
	err   error
}

func (s refusesLarge) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if len(value) > s.limit {
		return s.err
	}
	return s.Store.Set(ctx, key, value, ttl)
}

// oneBuffer returns every value in the same memory.
type oneBuffer struct {
	*memstore.Store
	b  *[]byte
	mu *sync.Mutex
}

func (s oneBuffer) Get(ctx context.Context, key string) ([]byte, error) {
	v, err := s.Store.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	*s.b = append((*s.b)[:0], v...)
	return *s.b, nil
}

type changedTTL struct {
	*memstore.Store
	ttl func(time.Duration) time.Duration
}

func ttls(ttl func(time.Duration) time.Duration) func(*memstore.Store) changedTTL {
	return func(m *memstore.Store) changedTTL { return changedTTL{m, ttl} }
}

func (s changedTTL) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.Store.Set(ctx, key, value, s.ttl(ttl))
}

type firstTTL struct {
	*memstore.Store
	first *sync.Map
}

func (s firstTTL) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	first, _ := s.first.LoadOrStore(key, ttl)
	return s.Store.Set(ctx, key, value, first.(time.Duration))
}

// countsExpired keeps what has expired, unseen by Get.
type countsExpired struct{ *memstore.Store }

func (s countsExpired) Delete(ctx context.Context, keys ...string) (int, error) {
	if _, err := s.Store.Delete(ctx, keys...); err != nil {
		return 0, err
	}
	return len(keys), nil
}

type claimsLock struct{ plain }

func (claimsLock) Lock(context.Context, string, time.Duration) (uint64, bool, error) {
	return 0, false, errors.ErrUnsupported
}
func (claimsLock) Renew(context.Context, string, uint64, time.Duration) (bool, error) {
	return false, errors.ErrUnsupported
}
func (claimsLock) Unlock(context.Context, string, uint64) error { return errors.ErrUnsupported }
func (claimsLock) SetLocked(context.Context, string, []byte, time.Duration, string, uint64) (bool, error) {
	return false, errors.ErrUnsupported
}

type claimsNotify struct{ plain }

func (claimsNotify) Notify(context.Context, func(string), func()) error { return errors.ErrUnsupported }

type noContext struct{ *memstore.Store }

func (s noContext) Get(ctx context.Context, key string) ([]byte, error) {
	return s.Store.Get(context.WithoutCancel(ctx), key)
}

type ownError struct{ *memstore.Store }

func (s ownError) Delete(ctx context.Context, keys ...string) (int, error) {
	if ctx.Err() != nil {
		return 0, errors.New("cancelled")
	}
	return s.Store.Delete(ctx, keys...)
}

// hangs looks at its context too late.
type hangs struct{ *memstore.Store }

func (s hangs) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	if ctx.Err() != nil {
		time.Sleep(2 * patience)
	}
	return s.Store.Set(ctx, key, value, ttl)
}

type neverCloses struct{ *memstore.Store }

func (neverCloses) Close() error { return nil }

type closeFails struct{ *memstore.Store }

func (s closeFails) Close() error { return errors.Join(s.Store.Close(), errors.New("no")) }

type loadsNothing struct{ *memstore.Store }

func (loadsNothing) Load([]byte) (any, bool) { return nil, false }

// slotEach keeps live values apart from bytes.
type slotEach struct {
	*memstore.Store
	live *sync.Map
}

func (s slotEach) Load(key []byte) (any, bool) { return s.live.Load(string(key)) }
func (s slotEach) Keep(key string, v any, _ int64, _ time.Duration) {
	s.live.Store(key, v)
}

type staysOld struct{ *memstore.Store }

func (s staysOld) Keep(key string, v any, bytes int64, ttl time.Duration) {
	if bytes < 1<<30 && ttl > 0 {
		s.Store.Keep(key, v, bytes, ttl)
	}
}

type livesForever struct{ *memstore.Store }

func (s livesForever) Keep(key string, v any, bytes int64, _ time.Duration) {
	s.Store.Keep(key, v, bytes, store.Forever)
}

type livesLonger struct{ *memstore.Store }

func (s livesLonger) Keep(key string, v any, bytes int64, ttl time.Duration) {
	if ttl > 0 && ttl < store.Forever {
		ttl += time.Second
	}
	s.Store.Keep(key, v, bytes, ttl)
}

type foldsLive struct{ *memstore.Store }

func (s foldsLive) Keep(key string, v any, bytes int64, ttl time.Duration) {
	s.Store.Keep(strings.ToLower(key), v, bytes, ttl)
}

func (s foldsLive) Load(key []byte) (any, bool) {
	return s.Store.Load([]byte(strings.ToLower(string(key))))
}

type allocates struct {
	*memstore.Store
	sink *[]byte
}

func (s allocates) Load(key []byte) (any, bool) {
	*s.sink = slices.Clone(key)
	return s.Store.Load(key)
}

type changedMulti struct {
	*memstore.Store
	change func([][]byte) [][]byte
}

func multi(change func([][]byte) [][]byte) func(*memstore.Store) changedMulti {
	return func(m *memstore.Store) changedMulti { return changedMulti{m, change} }
}

func (s changedMulti) GetMulti(ctx context.Context, keys []string) ([][]byte, error) {
	v, err := s.Store.GetMulti(ctx, keys)
	return s.change(v), err
}

type changedRaise struct {
	*memstore.Store
	change func(uint64) uint64
}

func raises(change func(uint64) uint64) func(*memstore.Store) changedRaise {
	return func(m *memstore.Store) changedRaise { return changedRaise{m, change} }
}

func (s changedRaise) Raise(ctx context.Context, names ...string) (uint64, error) {
	n, err := s.Store.Raise(ctx, names...)
	return s.change(n), err
}

type changedMarks struct {
	*memstore.Store
	change func(store.Marks) store.Marks
}

func marks(change func(store.Marks) store.Marks) func(*memstore.Store) changedMarks {
	return func(m *memstore.Store) changedMarks { return changedMarks{m, change} }
}

func (s changedMarks) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	m, err := s.Store.Marks(ctx, names...)
	return s.change(m), err
}

func (s changedMarks) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	b, m, err := s.Store.GetMarked(ctx, key, names...)
	return b, s.change(m), err
}

// numberFirst shows the next number, and only later its slots, to one of the two ways of reading.
type numberFirst struct {
	*memstore.Store

	marked   bool // GetMarked is wrong, not Marks
	readings *atomic.Uint64
}

func (s numberFirst) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	m, err := s.Store.Marks(ctx, names...)
	if !s.marked && s.readings.Add(1)%3 == 0 {
		m.Newest++
	}
	return m, err
}

func (s numberFirst) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	b, m, err := s.Store.GetMarked(ctx, key, names...)
	if s.marked && s.readings.Add(1)%3 == 0 {
		m.Newest++
	}
	return b, m, err
}

type clearForgets struct {
	*memstore.Store
	cleared *bool
}

func (s clearForgets) Clear(ctx context.Context, prefix string) (int, error) {
	*s.cleared = true
	return s.Store.Clear(ctx, prefix)
}

func (s clearForgets) Marks(ctx context.Context, names ...string) (store.Marks, error) {
	m, err := s.Store.Marks(ctx, names...)
	if *s.cleared {
		clear(m.Slots)
	}
	return m, err
}

type markedAbsent struct{ *memstore.Store }

func (s markedAbsent) GetMarked(ctx context.Context, key string, names ...string) ([]byte, store.Marks, error) {
	b, m, err := s.Store.GetMarked(ctx, key, names...)
	if err != nil {
		m = store.Marks{}
	}
	return b, m, err
}

type otherSequence struct {
	*memstore.Store
	other *store.Sequence
}

func (s otherSequence) Sequence() *store.Sequence { return s.other }

type grantsAll struct{ *memstore.Store }

func (s grantsAll) Lock(ctx context.Context, name string, ttl time.Duration) (uint64, bool, error) {
	f, _, err := s.Store.Lock(ctx, name, ttl)
	return f, err == nil, err
}

type anyUnlocks struct {
	*memstore.Store
	fences *sync.Map
}

func (s anyUnlocks) Lock(ctx context.Context, name string, ttl time.Duration) (uint64, bool, error) {
	f, ok, err := s.Store.Lock(ctx, name, ttl)
	if ok {
		s.fences.Store(name, f)
	}
	return f, ok, err
}

func (s anyUnlocks) Unlock(ctx context.Context, name string, _ uint64) error {
	f, ok := s.fences.Load(name)
	if !ok {
		return nil
	}
	return s.Store.Unlock(ctx, name, f.(uint64))
}

// renewsEnded renews by taking the lease anew, which works as long as nobody else has it.
type renewsEnded struct{ *memstore.Store }

func (s renewsEnded) Renew(ctx context.Context, name string, fence uint64, ttl time.Duration) (bool, error) {
	if ok, err := s.Store.Renew(ctx, name, fence, ttl); ok || err != nil {
		return ok, err
	}
	_, ok, err := s.Store.Lock(ctx, name, ttl)
	return ok, err
}

type longLeases struct{ *memstore.Store }

func (s longLeases) Lock(ctx context.Context, name string, _ time.Duration) (uint64, bool, error) {
	return s.Store.Lock(ctx, name, store.Forever)
}

type unfenced struct{ *memstore.Store }

func (s unfenced) SetLocked(ctx context.Context, key string, value []byte, ttl time.Duration, _ string, _ uint64) (bool, error) {
	return true, s.Set(ctx, key, value, ttl)
}

type noRenewal struct{ *memstore.Store }

func (noRenewal) Renew(context.Context, string, uint64, time.Duration) (bool, error) {
	return true, nil
}

// globs lists by pattern, as some servers do.
type globs struct{ *memstore.Store }

func (s globs) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for key, err := range s.Store.Keys(ctx, "") {
			if ok, _ := path.Match(prefix+"*", key); ok && !yield(key, err) {
				return
			}
		}
	}
}

type yieldsTwice struct{ *memstore.Store }

func (s yieldsTwice) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for key, err := range s.Store.Keys(ctx, prefix) {
			for range 2 {
				if !yield(key, err) {
					return
				}
			}
		}
	}
}

type lists1000 struct{ *memstore.Store }

func (s lists1000) Keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		n := 0
		for key, err := range s.Store.Keys(ctx, prefix) {
			if n++; n > 1000 || !yield(key, err) {
				return
			}
		}
	}
}

type clearsAll struct{ *memstore.Store }

func (s clearsAll) Clear(ctx context.Context, prefix string) (int, error) {
	n := 0
	for key := range s.Keys(ctx, prefix) {
		if key != "" {
			n++
		}
	}
	_, err := s.Store.Clear(ctx, "")
	return n, err
}

type clearsUncounted struct{ *memstore.Store }

func (s clearsUncounted) Clear(ctx context.Context, prefix string) (int, error) {
	_, err := s.Store.Clear(ctx, prefix)
	return 0, err
}

type noSize struct{ *memstore.Store }

func (noSize) Size() (int, int64) { return 0, 0 }

type tellsNothing struct {
	*memstore.Store
	lost bool
}

func (s tellsNothing) Notify(ctx context.Context, _ func(string), lost func()) error {
	if s.lost {
		lost()
	}
	<-ctx.Done()
	return ctx.Err()
}
