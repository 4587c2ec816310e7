package wrap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store"
)

// reverse is a Codec that marks what it made and refuses the rest.
type reverse struct{}

var errForeign = errors.New("not reversed")

func (reverse) Encode(key string, value []byte) ([]byte, error) {
	if string(value) == "unfit" {
		return nil, errForeign
	}
	kept := append([]byte(key+":"), value...)
	for i, j := len(key)+1, len(kept)-1; i < j; i, j = i+1, j-1 {
		kept[i], kept[j] = kept[j], kept[i]
	}
	return kept, nil
}

func (reverse) Decode(key string, kept []byte) ([]byte, error) {
	value, ok := bytes.CutPrefix(kept, []byte(key+":"))
	if !ok {
		return nil, errForeign
	}
	value = bytes.Clone(value)
	for i, j := 0, len(value)-1; i < j; i, j = i+1, j-1 {
		value[i], value[j] = value[j], value[i]
	}
	return value, nil
}

// all is a store of a map that has every capability, Local and Sequenced included.
type all struct {
	store.Store
	kept   map[string][]byte
	called string
}

func (a *all) Get(_ context.Context, key string) ([]byte, error) {
	if v, ok := a.kept[key]; ok {
		return v, nil
	}
	return nil, store.ErrNotFound
}

func (a *all) Set(_ context.Context, key string, value []byte, _ time.Duration) error {
	a.kept[key] = value
	return nil
}

func (a *all) Delete(context.Context, ...string) (int, error) { a.called = "Delete"; return 3, nil }
func (a *all) Load([]byte) (any, bool)                        { return "live", true }
func (a *all) Keep(string, any, int64, time.Duration)         {}
func (a *all) Sequence() *store.Sequence                      { return store.NewSequence() }
func (a *all) Size() (int, int64)                             { a.called = "Size"; return 1, 2 }
func (a *all) Close() error                                   { a.called = "Close"; return nil }

func (a *all) GetMulti(_ context.Context, keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, key := range keys {
		values[i] = a.kept[key]
	}
	return values, nil
}

func (a *all) Marks(context.Context, ...string) (store.Marks, error) {
	return store.Marks{Incarnation: 7}, nil
}
func (a *all) Raise(context.Context, ...string) (uint64, error) { return 9, nil }

func (a *all) GetMarked(ctx context.Context, key string, _ ...string) ([]byte, store.Marks, error) {
	v, err := a.Get(ctx, key)
	return v, store.Marks{Incarnation: 7}, err
}

func (a *all) Lock(context.Context, string, time.Duration) (uint64, bool, error) {
	return 5, true, nil
}

func (a *all) Renew(context.Context, string, uint64, time.Duration) (bool, error) { return true, nil }
func (a *all) Unlock(context.Context, string, uint64) error                       { a.called = "Unlock"; return nil }

func (a *all) SetLocked(ctx context.Context, key string, value []byte, ttl time.Duration, _ string, _ uint64) (bool, error) {
	return true, a.Set(ctx, key, value, ttl)
}

func (a *all) Keys(context.Context, string) iter.Seq2[string, error] { a.called = "Keys"; return nil }
func (a *all) Clear(context.Context, string) (int, error)            { a.called = "Clear"; return 4, nil }

func (a *all) Node(key string) string { return "node of " + key }

func (a *all) Notify(context.Context, func(string), func()) error { a.called = "Notify"; return nil }

// TestSets wraps a store of each set of capabilities and looks for the same set.
func TestSets(t *testing.T) {
	a := &all{kept: map[string][]byte{}}
	v := values{inner: a, codec: reverse{}, name: "inner"}
	for set := range hasCloser << 1 {
		inner := compose(set, v, multiGetter{v, a}, sequencer{v, a}, locker{a, v}, a, a, a, a, a)
		wrapped := Store(inner, reverse{}, "outer")
		got := 0
		for i, has := range []func(any) bool{
			is[store.MultiGetter], is[store.Sequencer], is[store.Locker], is[store.Lister],
			is[store.Clearer], is[store.Notifier], is[store.Sizer], is[io.Closer],
		} {
			if has(wrapped) {
				got |= 1 << i
			}
		}
		if got != set {
			t.Errorf("a store with the capabilities %08b is wrapped as one with %08b", set, got)
		}
	}
	wrapped := Store(a, reverse{}, "outer")
	if is[store.Local](wrapped) || is[store.Sequenced](wrapped) {
		t.Error("live values go around the codec")
	}
}

func is[T any](v any) bool { _, ok := v.(T); return ok }

func TestValues(t *testing.T) {
	ctx := t.Context()
	a := &all{kept: map[string][]byte{}}
	s := Store(a, reverse{}, "name")
	if err := s.Set(ctx, "a", []byte("123"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.(store.Locker).SetLocked(ctx, "b", []byte("456"), time.Hour, "n", 1); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if string(a.kept["a"]) != "a:321" || string(a.kept["b"]) != "b:654" {
		t.Errorf("the store keeps %q; want what the codec makes", a.kept)
	}
	a.kept["foreign"] = []byte("foreign")
	a.kept["empty"] = []byte("empty:")

	for key, want := range map[string]string{"a": "123", "b": "456", "empty": ""} {
		got, err := s.Get(ctx, key)
		marked, m, markedErr := s.(store.Sequencer).GetMarked(ctx, key)
		if err != nil || markedErr != nil || got == nil || string(got) != want || string(marked) != want || m.Incarnation != 7 {
			t.Errorf("Get(%q) = %q, %v; GetMarked = %q, %v, %v; want %q", key, got, err, marked, m, markedErr, want)
		}
	}
	if _, err := s.Get(ctx, "foreign"); !errors.Is(err, store.ErrNotFound) || !errors.Is(err, errForeign) {
		t.Errorf("Get of what the codec cannot decode = %v; want ErrNotFound and the codec's error", err)
	}
	if _, m, err := s.(store.Sequencer).GetMarked(ctx, "foreign"); !errors.Is(err, store.ErrNotFound) || m.Incarnation != 7 {
		t.Errorf("GetMarked of it = %v, %v; want marks and ErrNotFound", m, err)
	}
	if _, m, err := s.(store.Sequencer).GetMarked(ctx, "absent"); !errors.Is(err, store.ErrNotFound) || m.Incarnation != 7 {
		t.Errorf("GetMarked of nothing = %v, %v; want marks and ErrNotFound", m, err)
	}
	got, err := s.(store.MultiGetter).GetMulti(ctx, []string{"b", "foreign", "absent", "a", "empty"})
	if err != nil || string(got[0]) != "456" || got[1] != nil || got[2] != nil || string(got[3]) != "123" || got[4] == nil {
		t.Errorf("GetMulti = %q, %v", got, err)
	}
	if err := s.Set(ctx, "a", []byte("unfit"), time.Hour); !errors.Is(err, errForeign) {
		t.Errorf("Set of what the codec cannot encode = %v", err)
	}
	if _, err := s.(store.Locker).SetLocked(ctx, "a", []byte("unfit"), time.Hour, "n", 1); !errors.Is(err, errForeign) {
		t.Errorf("SetLocked of what the codec cannot encode = %v", err)
	}
}

func TestRestIsPassedOn(t *testing.T) {
	ctx := t.Context()
	a := &all{kept: map[string][]byte{}}
	s := Store(a, reverse{}, "name")
	for want, call := range map[string]func(){
		"Delete": func() { _, _ = s.Delete(ctx, "a") },
		"Size":   func() { s.(store.Sizer).Size() },
		"Close":  func() { _ = s.(io.Closer).Close() },
		"Unlock": func() { _ = s.(store.Locker).Unlock(ctx, "n", 1) },
		"Keys":   func() { s.(store.Lister).Keys(ctx, "") },
		"Clear":  func() { _, _ = s.(store.Clearer).Clear(ctx, "") },
		"Notify": func() { _ = s.(store.Notifier).Notify(ctx, nil, nil) },
	} {
		a.called = ""
		if call(); a.called != want {
			t.Errorf("%s called %q of the store", want, a.called)
		}
	}
	if node := s.(store.Partitioned).Node("a"); node != "node of a" {
		t.Errorf("Node = %q", node)
	}
	if s.(store.Layered).Forget("a") {
		t.Error("Forget = true of a store that keeps no copies")
	}
	if l := new(copying); !Store(l, reverse{}, "name").(store.Layered).Forget("a") || l.forgot != "a" {
		t.Errorf("Forget(a) = false or forgot %q", l.forgot)
	}
	if n, err := s.(store.Sequencer).Raise(ctx); n != 9 || err != nil {
		t.Errorf("Raise = %d, %v", n, err)
	}
	if m, err := s.(store.Sequencer).Marks(ctx); m.Incarnation != 7 || err != nil {
		t.Errorf("Marks = %v, %v", m, err)
	}
	if f, ok, err := s.(store.Locker).Lock(ctx, "n", 1); f != 5 || !ok || err != nil {
		t.Errorf("Lock = %d, %v, %v", f, ok, err)
	}
	if ok, err := s.(store.Locker).Renew(ctx, "n", 1, 1); !ok || err != nil {
		t.Errorf("Renew = %v, %v", ok, err)
	}
}

// copying is a store that keeps copies.
type copying struct {
	store.Store
	forgot string
}

func (c *copying) Forget(key string) bool {
	c.forgot = key
	return true
}
