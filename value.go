package reprise

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/wire"
)

// errNoKey is a mistake of the caller: "" is also what [KeyOf] makes of a function that failed.
var errNoKey = errors.New("reprise: the key is empty; give one, or let the function of KeyOf add a part")

// Get returns the value that [Set] keeps under key in c's namespace; ok is false if there is none. What is there but is no V,
// or does not decode into one, is no value. The error is a [*StoreError]. A nil *Cache has nothing.
//
// In a store of this process it is the value itself, which others have, too: nobody may change what it refers to. Its
// tags join the answer that is being made where ctx is that of a handler or loader.
func Get[V any](ctx context.Context, c *Cache, key string) (v V, ok bool, err error) {
	if c == nil || c.disabled.Load() || c.closed.Load() {
		return v, false, nil
	}
	start := time.Now()
	at, err := c.valueKey(key)
	if err != nil {
		return v, false, err
	}
	b := &c.store
	var look lookup[V]
	if b.local != nil {
		look = findLocal[V](b, at, start)
	} else {
		ctx, cancel := context.WithTimeout(ctx, c.config.Limits.StoreTimeout)
		defer cancel()
		var ns names
		eachName(at, "", "", ns.add)
		look = decodeValue[V](b.get(ctx, at, ns, wire.Value), c.config.Codec, nil)
	}
	ev := Event{Outcome: Miss, Reason: look.why, Key: at, Start: start, Err: look.err}
	r := look.res
	if r == nil || r.err != nil || look.soft || start.UnixNano() >= r.Expires {
		if r != nil {
			ev.Reason = ReasonExpired
		}
		c.report(ctx, ev)
		var failure *StoreError
		if errors.As(look.err, &failure) {
			return v, false, look.err
		}
		return v, false, nil
	}
	ev.Outcome, ev.Reason = Hit, ""
	ev.Age, ev.TTL = r.age(start)
	c.report(ctx, ev)
	AddTags(ctx, r.tags...)
	return r.v, true, nil
}

// Set keeps v under key in c's namespace, for 60 seconds unless [TTL] says otherwise. Of the policies [TTL], [Jitter],
// [Tags], [Namespaced] and [Off] matter; the others are about loads, of which a value has none. The error is a
// [*ConfigError] in the options, the codec's, or a [*StoreError]. A nil *Cache ignores the value.
//
// A store of this process keeps v itself, which nobody may change from then on.
func Set[V any](ctx context.Context, c *Cache, key string, v V, opts ...Policy) error {
	if c == nil || c.disabled.Load() || c.closed.Load() {
		return nil
	}
	s := c.funcSettings()
	for _, o := range opts {
		applyFuncOption(s, "Policy", o)
	}
	s.check(c)
	if len(s.errs) > 0 {
		return errors.Join(s.errs...)
	}
	if s.off {
		return nil
	}
	if s.namespaceStated {
		c = &Cache{engine: c.engine, namespace: c.below(s.namespace), soft: c.soft}
	}
	at, err := c.valueKey(key)
	if err != nil {
		return err
	}
	b := &c.store
	number, incarnation, err := b.now(ctx)
	if err != nil {
		return err
	}
	r := newResult[V](at, s.tags, time.Now(), jittered(s.ttl, s.jitter, at))
	r.v = v
	r.Sequence, r.Incarnation = number, incarnation
	bytes := int64(0)
	if b.local != nil {
		bytes = r.bytes() + sizer[V]()(v)
	} else if r.Body, err = c.config.Codec.Append(nil, v); err != nil {
		return err
	}
	r.label(nil)
	_, err = b.write(ctx, &r.entry, r, bytes, r.remaining(time.Now()))
	return err
}

// valueKey is the full key of an application's own.
func (c *Cache) valueKey(key string) (string, error) {
	if key == "" {
		return "", errNoKey
	}
	b := append(appendEscaped(nil, c.namespace), "|"+partValue+"|"...)
	return string(finishKey(appendOwn(b, key))), nil
}

// partText is in front of a key that is one text. It sets "a" apart from what [KeyOf] makes of it, so that no text can
// be written that means another one's value.
const partText = "~p"

// appendOwn appends an application's own key: as KeyOf made it, or as a text.
func appendOwn(b []byte, key string) []byte {
	if strings.HasPrefix(key, partOwn+"|") && isKeyText(key) {
		return append(b, key...)
	}
	return appendEscaped(append(b, partText+"|"...), key)
}

// Set stores v as the result for key, as if the loader had returned it just now. A load that is under way does not
// replace it. The error is that of a key function or codec, or a [*StoreError].
func (f *Func[K, V]) Set(ctx context.Context, key K, v V) error {
	if f.idle() {
		return nil
	}
	at, err := f.Key(key)
	if err != nil {
		return err
	}
	b := &f.engine.store
	number, incarnation, err := b.stamp(ctx, at)
	if err != nil {
		return err
	}
	r := newResult[V](at, f.tags, time.Now(), jittered(f.ttl, f.jitter, at))
	r.v = f.clone(v)
	r.StaleWhile, r.StaleIf = wire.WindowOf(f.staleWhile), wire.WindowOf(f.staleIf)
	r.Sequence, r.Incarnation = number, incarnation
	bytes := int64(0)
	if b.local != nil {
		bytes = r.bytes() + max(0, f.sizeOf(r.v))
	} else if r.Body, err = f.codec.Append(nil, v); err != nil {
		return fmt.Errorf("reprise: %s: %w", f.name, err)
	}
	r.label(&f.ahead)
	_, err = b.write(ctx, &r.entry, r, bytes, r.remaining(time.Now()))
	return err
}

// now returns the number that was issued last, and its incarnation.
func (b *backend) now(ctx context.Context) (number, incarnation uint64, err error) {
	if b.numbers == nil {
		return b.seq.Newest(), 0, nil
	}
	err = b.do(ctx, "marks", func(ctx context.Context) error {
		m, err := b.numbers.Marks(ctx)
		number, incarnation = m.Newest, m.Incarnation
		return err
	})
	return number, incarnation, err
}

// stamp invalidates what is stored or being made for key and returns the number from which on something new may stand there.
func (b *backend) stamp(ctx context.Context, key string) (number, incarnation uint64, err error) {
	name := string(nameKey) + key
	if b.numbers == nil {
		return b.seq.Raise(name), 0, nil
	}
	err = b.do(ctx, "raise", func(ctx context.Context) error {
		number, err = b.numbers.Raise(ctx, name)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	newest, incarnation, err := b.now(ctx)
	if err == nil && newest < number {
		number = math.MaxUint64 // the numbers were lost in between: nothing that bears this one is usable
	}
	return number, incarnation, err
}
