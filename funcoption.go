package reprise

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// funcSettings is what the options of a function say. What depends on its types is checked against them by [NewFunc].
type funcSettings struct {
	policySettings

	keyBy     any // func(*KeyBuilder, K)
	codec     Codec
	errorTTL  time.Duration
	aheadBy   float64
	skipValue any // func(V) bool
	cloneWith any // func(V) V
	sizeOf    any // func(V) int64
	loadMany  any // func(context.Context, []K) (map[K]V, error)
}

// KeyBy replaces the default key of a function: the result depends on what fn puts into b and on nothing else of the
// argument. A function whose argument holds a pointer, an interface, a slice or a map needs it. When fn fails, panics
// or adds nothing, the call is not cached.
func KeyBy[K any](fn func(b *KeyBuilder, key K)) FuncOption {
	return funcOption(func(s *funcSettings) {
		if fn == nil {
			s.fail("KeyBy", nil, "is nil; give a function or remove the option")
			return
		}
		s.keyBy = fn
	})
}

// UseCodec encodes the results of one function in a store outside the process, instead of Config.Codec.
func UseCodec(c Codec) FuncOption {
	return funcOption(func(s *funcSettings) {
		if c == nil {
			s.fail("UseCodec", nil, "is nil; give a Codec or remove the option")
			return
		}
		s.codec = c
	})
}

// ErrorTTL remembers an error of the loader for d, so that what fails is not asked again at once. Without it errors are
// not stored. An error never replaces a value that may still be served, and a panic, a timeout or a cancelled
// context is never remembered. In a store of this process calls get the error itself, elsewhere a [*RememberedError].
func ErrorTTL(d time.Duration) FuncOption {
	return funcOption(func(s *funcSettings) {
		if d < 0 {
			s.fail("ErrorTTL", d, "is negative; give how long an error is remembered")
			return
		}
		if s.meant("ErrorTTL", d) {
			s.errorTTL = d
		}
	})
}

// RefreshAhead lets a call that finds a value in the last fraction (0 to 0.99) of its lifetime begin a background load
// of the next one, so that nobody waits for a value that is asked for often. The moment is in the first half of that
// fraction, another one for each value and process; the other half is for the load. One load a key runs at a time; its
// context carries nothing of the call's.
func RefreshAhead(fraction float64) FuncOption {
	return funcOption(func(s *funcSettings) {
		if !(fraction >= 0 && fraction <= 0.99) {
			s.fail("RefreshAhead", fraction, "is not between 0 and 0.99; 0.2 refreshes in the last fifth of a lifetime")
			return
		}
		s.aheadBy = fraction
	})
}

// SkipValue keeps values for which fn is true out of the store; those who wait for one get it all the same. Zero
// values, nil and empty ones are values like any other without it. A panic in fn is logged and the value not stored.
func SkipValue[V any](fn func(V) bool) FuncOption {
	return funcOption(func(s *funcSettings) {
		if fn == nil {
			s.fail("SkipValue", nil, "is nil; give a function or remove the option")
			return
		}
		s.skipValue = fn
	})
}

// CloneWith gives each call a copy of its own, made by fn, of a value that callers change. Without it all callers of a
// process may get the same value, and must not change what it refers to.
func CloneWith[V any](fn func(V) V) FuncOption {
	return funcOption(func(s *funcSettings) {
		if fn == nil {
			s.fail("CloneWith", nil, "is nil; give a function or remove the option")
			return
		}
		s.cloneWith = fn
	})
}

// SizeOf tells the bytes that a value holds, for the bound of a store of this process. Without it they are estimated
// from the type, the length of a string, slice or map, and the type of what a pointer points to; each string, slice, map or pointer
// within those counts as 64 bytes.
func SizeOf[V any](fn func(V) int64) FuncOption {
	return funcOption(func(s *funcSettings) {
		if fn == nil {
			s.fail("SizeOf", nil, "is nil; give a function or remove the option")
			return
		}
		s.sizeOf = fn
	})
}

// LoadMany loads many keys in one call, for [Func.GetMany]. fn gets each key once and none that is stored or being loaded. What is in the map is stored,
// also when the error is not nil; a key that is missing fails with the error, or with [ErrNotLoaded] if that is
// nil. An error that is a [*ManyError] of as many errors as there were keys gives each its own. What fn says by
// [AddTags], [SetTTL] and [NoStore] holds for all of them.
func LoadMany[K comparable, V any](fn func(ctx context.Context, keys []K) (map[K]V, error)) FuncOption {
	return funcOption(func(s *funcSettings) {
		if fn == nil {
			s.fail("LoadMany", nil, "is nil; give a function or remove the option")
			return
		}
		// K is not known to be comparable where the function is made, and so cannot be the key of a map there.
		s.loadMany = manyLoader[K, V](func(ctx context.Context, keys []K) (func(K) (V, bool), error) {
			m, err := fn(ctx, keys)
			return func(key K) (V, bool) { v, ok := m[key]; return v, ok }, err
		})
	})
}

// manyLoader is a LoadMany function whose result is asked instead of indexed.
type manyLoader[K, V any] func(context.Context, []K) (func(K) (V, bool), error)

func (manyLoader[K, V]) written() string {
	k, v := reflect.TypeFor[K](), reflect.TypeFor[V]()
	return fmt.Sprintf("func(context.Context, []%v) (map[%v]%v, error)", k, k, v)
}

// check reports what no single option can see.
func (s *funcSettings) check(c *Cache) {
	if len(s.tags) > maxTags {
		s.fail("Tags", len(s.tags), fmt.Sprintf("are too many; a value has at most %d", maxTags))
	}
	if len(s.tags) > 0 && !c.store.sequenced() {
		s.fail("Tags", s.tags[0], "needs a store that can number invalidations (store.Sequencer); use another store or remove the option")
	}
	s.checkNamespace(c)
}

// written is the type of an option's function as the option's user writes it.
func written(fn any) string {
	if l, ok := fn.(interface{ written() string }); ok {
		return l.written()
	}
	return fmt.Sprintf("%T", fn)
}

// typed returns option's function as what it has to be for the function's types; the zero value if it was not given.
func typed[F any](s *funcSettings, option string, fn any) (f F) {
	if fn == nil {
		return f
	}
	f, ok := fn.(F)
	if !ok {
		s.fail(option, nil, fmt.Sprintf("has other types than the function: it is a %s and has to be a %s", written(fn), written(f)))
	}
	return f
}

// funcSettings returns the settings of a function before its own options.
func (c *Cache) funcSettings() *funcSettings {
	s := &funcSettings{codec: c.config.Codec}
	s.ttl, s.fillTimeout = defaultTTL, defaultFillTimeout
	for _, p := range c.config.Defaults {
		applyFuncOption(s, "Config.Defaults", p)
	}
	return s
}

// keyFaults turns what newKeyWriter found into mistakes.
func (s *funcSettings) keyFaults(err error) {
	if err == nil {
		return
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		for _, err := range joined.Unwrap() {
			s.keyFaults(err)
		}
		return
	}
	s.fail("NewFunc", nil, err.Error()+
		"; a key is made of strings, numbers, bools, times, and arrays and structs of them; give KeyBy")
}
