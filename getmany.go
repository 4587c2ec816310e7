package reprise

import (
	"context"
	"time"
)

// GetMany returns a result for each of keys, in their order. What is neither stored nor being loaded is loaded by one
// call of the [LoadMany] function; without that, by the loader, at most 16 keys at a time. The error is nil or a
// [*ManyError] that tells for each key what [Func.Get] would return: the other results are good.
//
// Of several processes that miss the same keys each calls LoadMany: unlike Get it does not wait for other processes.
//
// Panics of a loader are as for Get; of more than one that panics the call panics with the last.
func (f *Func[K, V]) GetMany(ctx context.Context, keys []K) ([]V, error) {
	if f.idle() {
		return f.directMany(ctx, keys)
	}
	answers := make([]answer[V], len(keys))
	wants := make([]*want[K, V], len(keys))
	keyed := wants[:0:0]
	for i, key := range keys {
		at, err := f.Key(key)
		if err != nil {
			answers[i].v, answers[i].err = f.direct(ctx, key, ReasonKeyFailed, err)
			continue
		}
		wants[i] = &want[K, V]{key: key, at: at}
		keyed = append(keyed, wants[i])
	}
	x := fetch[K, V]{f: f, start: time.Now(), many: true}
	x.answer(ctx, keyed)
	for i, w := range wants {
		if w != nil {
			answers[i] = answer[V]{w.v, w.err}
		}
	}
	return collect(answers)
}

// directMany runs the loader on this goroutine and stores nothing.
func (f *Func[K, V]) directMany(ctx context.Context, keys []K) ([]V, error) {
	if f.loadMany != nil && len(keys) > 0 {
		return collect(f.ask(f.bypassing(ctx, ReasonDisabled, nil), keys))
	}
	answers := make([]answer[V], len(keys))
	for i, key := range keys {
		answers[i].v, answers[i].err = f.direct(ctx, key, ReasonDisabled, nil)
	}
	return collect(answers)
}

func collect[V any](answers []answer[V]) ([]V, error) {
	values, errs, failed := make([]V, len(answers)), make([]error, len(answers)), false
	for i, a := range answers {
		values[i], errs[i] = a.v, a.err
		failed = failed || a.err != nil
	}
	if failed {
		return values, &ManyError{Errs: errs}
	}
	return values, nil
}
