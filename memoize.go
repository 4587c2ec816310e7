package reprise

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/internal/flight"
	"github.com/reprise-go/reprise/store"
)

// Func is a function whose results are cached. Make one with [NewFunc]; it is safe for concurrent use.
//
// Of all calls for a key that is not stored, one runs the loader and the others wait for it; each may leave when its
// own context ends. The loader runs on a goroutine of its own, with the values of the context of the call that began it, and
// may outlive that call while others wait; its context ends with the last of them, or at [FillTimeout].
//
// In a store of this process the values themselves are kept: callers share them and must not change what they refer
// to, unless [CloneWith] says how to copy one. Elsewhere they are encoded by a [Codec].
type Func[K, V any] struct {
	funcSettings
	engine *engine
	cache  *Cache // in the function's namespace
	name   string
	prefix []byte // of every key
	ahead  ahead

	load      func(context.Context, K) (V, error)
	loadMany  manyLoader[K, V]
	keyBy     func(*KeyBuilder, K)
	short     func([]byte, K) []byte // what write does, for the commonest types
	write     keyWriter              // nil with keyBy
	skipValue func(V) bool
	cloneWith func(V) V
	sizeOf    func(V) int64

	loads  *flight.Group[task[K, V]]
	calls  sync.Pool     // of *call[K]
	spread atomic.Uint64 // the next call's part of the counters
	warned atomic.Bool   // of a codec that fails

	loaderPanics, optionPanics rarely
}

// Memoize returns load with its results cached under name, which no other function of the cache and namespace has. It is
// [NewFunc] for those who need only Get, and panics with its error: it is called at start-up, and a mistake in it is the program's.
func Memoize[K, V any](c *Cache, name string, load func(context.Context, K) (V, error), opts ...FuncOption) func(context.Context, K) (V, error) {
	f, err := NewFunc(c, name, load, opts...)
	if err != nil {
		panic(err)
	}
	return f.Get
}

// NewFunc makes a [Func] of load. name is part of the keys, in every process that shares the store: a function that
// means something else needs another name, as does one whose V has changed so that old encodings decode into something wrong.
//
// K is a string, number, bool, [time.Time], or an array or struct of these; any other needs [KeyBy]. The error is every
// mistake, each a [*ConfigError], joined; a name that is used twice and options whose types do not fit K and V are
// among them.
func NewFunc[K, V any](c *Cache, name string, load func(context.Context, K) (V, error), opts ...FuncOption) (*Func[K, V], error) {
	if c == nil {
		return nil, &ConfigError{Option: "NewFunc", Reason: "the cache is nil; give one that New returned"}
	}
	s := c.funcSettings()
	for _, o := range opts {
		applyFuncOption(s, "FuncOption", o)
	}
	s.check(c)
	if name == "" || len(name) > 64 {
		s.fail("NewFunc", name, "is no name; give one of 1 to 64 bytes")
	}
	if load == nil {
		s.fail("NewFunc", name, "has no loader; give the function whose results are cached")
	}
	f := &Func[K, V]{
		engine: c.engine, cache: c, name: name, load: load,
		loadMany:  typed[manyLoader[K, V]](s, "LoadMany", s.loadMany),
		keyBy:     typed[func(*KeyBuilder, K)](s, "KeyBy", s.keyBy),
		skipValue: typed[func(V) bool](s, "SkipValue", s.skipValue),
		cloneWith: typed[func(V) V](s, "CloneWith", s.cloneWith),
		sizeOf:    typed[func(V) int64](s, "SizeOf", s.sizeOf),
		loads:     flight.New[task[K, V]](),
		ahead:     ahead{fraction: s.aheadBy, seed: maphash.MakeSeed()},
	}
	if s.namespaceStated {
		f.cache = &Cache{engine: c.engine, namespace: c.below(s.namespace), soft: c.soft}
	}
	f.prefix = appendEscaped(append(appendEscaped(nil, f.cache.namespace), "|"+partFunc...), name)
	if s.keyBy != nil {
		f.prefix = append(f.prefix, "|"+partOwn...)
	} else {
		t := reflect.TypeFor[K]()
		w, shape, err := newKeyWriter(t, t.String(), true)
		s.keyFaults(err)
		f.write, f.short = w, shortWriter[K]()
		f.prefix = append(f.prefix, shapePart(shape)...)
	}
	if f.sizeOf == nil {
		f.sizeOf = sizer[V]()
	}
	f.funcSettings = *s
	f.calls.New = func() any { return newCall[K](f.prefix, f.spread.Add(1)) }
	if len(s.errs) == 0 {
		if _, taken := c.funcs.LoadOrStore(f.cache.namespace+"|"+name, struct{}{}); taken {
			s.fail("NewFunc", name, "is the name of another function in this namespace; their results would be mixed up; give each its own")
		}
	}
	if len(s.errs) > 0 {
		return nil, errors.Join(s.errs...)
	}
	return f, nil
}

// call is what one call needs and the next one can use again.
type call[K any] struct {
	key     K
	value   reflect.Value // key, addressable
	builder KeyBuilder    // its buf has the key that the result is stored at
	cut     bool          // and that does not begin with the prefix: it was shortened
	spread  uint64
}

func newCall[K any](prefix []byte, spread uint64) *call[K] {
	const room = 64 // for the rest of a usual key
	c := &call[K]{spread: spread}
	c.builder.buf = append(make([]byte, 0, len(prefix)+room), prefix...)
	c.value = reflect.ValueOf(&c.key).Elem()
	return c
}

// begin makes the key that the result for key is stored at.
func (f *Func[K, V]) begin(c *call[K], key K) error {
	b := &c.builder
	b.buf = b.buf[:len(f.prefix)] // which is there from the call before
	if c.cut {
		copy(b.buf, f.prefix)
		c.cut = false
	}
	switch {
	case f.short != nil:
		b.buf = f.short(b.buf, key)
	case f.write != nil:
		c.key = key
		f.write(b, c.value)
		var none K
		c.key = none // what it refers to is not kept alive
	default:
		if err := f.ownKey(b, key); err != nil {
			return err
		}
	}
	if len(b.buf) > store.MaxKey {
		b.buf = finishKey(b.buf)
		c.cut = true
	}
	return nil
}

// ownKey runs the function of KeyBy.
func (f *Func[K, V]) ownKey(b *KeyBuilder, key K) (err error) {
	b.parts, b.err = 0, nil
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("reprise: %s: the key function panicked: %v", f.name, v)
		}
	}()
	f.keyBy(b, key)
	if b.err == nil && b.parts == 0 {
		return fmt.Errorf("reprise: %s: the key function added nothing", f.name)
	}
	return b.err
}

// idle reports whether the function is called as if it were not wrapped.
func (f *Func[K, V]) idle() bool {
	return f.off || f.engine.disabled.Load() || f.engine.closed.Load()
}

// Get returns the result for key, from the store or from the loader. Beside an error it returns the zero value, unless the error is a [*StaleError]: then
// [StaleIfError] holds and the value is the last good one. A value that is served by [StaleWhileRevalidate] has no
// error, for nothing has failed.
//
// When ctx ends first the error is ctx's. When the loader panics, the call that began it panics with a [*PanicError]
// that has the loader's stack, and the others get that as an error.
func (f *Func[K, V]) Get(ctx context.Context, key K) (V, error) {
	if f.idle() {
		return f.direct(ctx, key, ReasonDisabled, nil)
	}
	c := f.calls.Get().(*call[K])
	if err := f.begin(c, key); err != nil {
		f.calls.Put(c)
		return f.direct(ctx, key, ReasonKeyFailed, err)
	}
	if s := &f.engine.store; s.local != nil {
		v, _ := s.local.Load(c.builder.buf)
		if r, ok := v.(*result[V]); ok && f.hit(ctx, c, r) {
			f.calls.Put(c)
			return f.clone(r.v), nil
		}
	}
	w := want[K, V]{key: key, at: string(c.builder.buf)}
	f.calls.Put(c)
	x := fetch[K, V]{f: f, start: time.Now()}
	x.answer(ctx, []*want[K, V]{&w})
	return w.v, w.err
}

// hit reports whether there is nothing more to a call than to return the value of r, and counts it then: the way of nearly
// all calls.
func (f *Func[K, V]) hit(ctx context.Context, c *call[K], r *result[V]) bool {
	if usable, soft := r.current(f.engine.store.seq); !usable || soft || r.err != nil {
		return false
	}
	observed := f.engine.config.Observe != nil
	if observed || !f.engine.horizon.before(r.calm) {
		now := time.Now()
		if now.UnixNano() >= r.calm {
			return false
		}
		f.engine.horizon.start(now)
		if observed {
			f.report(ctx, Hit, "", r, r.Key(), nil, now)
		}
	}
	if !observed {
		f.engine.counts.add(Hit, c.spread)
	}
	if len(r.tags) > 0 {
		AddTags(ctx, r.tags...)
	}
	return true
}

func (f *Func[K, V]) clone(v V) V {
	if f.cloneWith != nil {
		return f.cloneWith(v)
	}
	return v
}

// direct runs the loader on this goroutine and stores nothing.
func (f *Func[K, V]) direct(ctx context.Context, key K, why Reason, failure error) (V, error) {
	return f.load(f.bypassing(ctx, why, failure), key)
}

// bypassing reports a call that is not cached and returns the context for its loader.
func (f *Func[K, V]) bypassing(ctx context.Context, why Reason, failure error) context.Context {
	AddTags(ctx, f.tags...)
	f.report(ctx, Bypass, why, nil, "", failure, time.Now())
	return context.WithValue(ctx, scopeKey{}, &scope{cache: f.cache, outer: scopeOf(ctx)})
}

// Refresh runs the loader, whatever is stored, and stores and returns what it says. It never joins a load that began
// before it. An error leaves the stored value alone.
func (f *Func[K, V]) Refresh(ctx context.Context, key K) (V, error) {
	if f.idle() {
		return f.direct(ctx, key, ReasonDisabled, nil)
	}
	at, err := f.Key(key)
	if err != nil {
		return f.direct(ctx, key, ReasonKeyFailed, err)
	}
	w := want[K, V]{key: key, at: at}
	x := fetch[K, V]{f: f, start: time.Now(), force: true}
	x.answer(ctx, []*want[K, V]{&w})
	return w.v, w.err
}

// Delete forgets the results for keys and returns how many there were. A load that is under way does not bring one
// back. The error is that of [Cache.Delete].
func (f *Func[K, V]) Delete(ctx context.Context, keys ...K) (int, error) {
	at := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if at[i], err = f.Key(key); err != nil {
			return 0, err
		}
	}
	return f.cache.Delete(ctx, at...)
}

// Key returns the full key that the result for key is stored at: what [Cache.Delete] and [Cache.Entry] take. Only with
// [KeyBy] there can be an error.
func (f *Func[K, V]) Key(key K) (string, error) {
	c := f.calls.Get().(*call[K])
	defer f.calls.Put(c)
	if err := f.begin(c, key); err != nil {
		return "", err
	}
	return string(c.builder.buf), nil
}
