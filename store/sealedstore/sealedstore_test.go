package sealedstore_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/filestore"
	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/sealedstore"
	"github.com/reprise-go/reprise/store/storetest"
)

func secret(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func seal(t testing.TB, inner store.Store, namespace string, keys ...sealedstore.Key) store.Store {
	t.Helper()
	s, err := sealedstore.New(inner, sealedstore.Config{Namespace: namespace, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func memory(t testing.TB) store.Store {
	t.Helper()
	s, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestConformance(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		storetest.Run(t, storetest.Config{Bubble: true, Open: func(t *testing.T) store.Store {
			return seal(t, memory(t), "", sealedstore.Key{Secret: secret(1)})
		}})
	})
	t.Run("file", func(t *testing.T) {
		storetest.Run(t, storetest.Config{Open: func(t *testing.T) store.Store {
			s, err := filestore.Open(t.TempDir(), filestore.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return seal(t, s, "", sealedstore.Key{Secret: secret(1)})
		}})
	})
}

func TestConfigMistakes(t *testing.T) {
	_, err := sealedstore.New(nil, sealedstore.Config{Keys: []sealedstore.Key{{1, secret(1)}, {1, secret(2)}, {2, []byte("short")}}})
	for _, want := range []string{"store is nil", "1 twice", "secret of 2"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v; want it to name %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "short") {
		t.Errorf("New = %v: it tells a secret", err)
	}
	if _, err := sealedstore.New(memory(t), sealedstore.Config{}); err == nil {
		t.Error("New without keys = nil; want an error")
	}
}

// TestSealed changes each bit of what is kept, and moves it: nothing opens.
func TestSealed(t *testing.T) {
	ctx := t.Context()
	inner := memory(t)
	s := seal(t, inner, "shop", sealedstore.Key{ID: 7, Secret: secret(1)})
	if err := s.Set(ctx, "key", []byte("the value"), time.Hour); err != nil {
		t.Fatal(err)
	}
	kept, err := inner.Get(ctx, "key")
	if err != nil || bytes.Contains(kept, []byte("value")) {
		t.Fatalf("the store keeps %q, %v", kept, err)
	}
	refuses := func(what, key string, kept []byte, s store.Store) {
		t.Helper()
		if err := inner.Set(ctx, key, kept, time.Hour); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(ctx, key); !errors.Is(err, store.ErrNotFound) || got != nil {
			t.Errorf("%s: Get = %q, %v; want ErrNotFound", what, got, err)
		}
	}
	for i := range len(kept) * 8 {
		changed := bytes.Clone(kept)
		changed[i/8] ^= 1 << (i % 8)
		refuses("a changed bit", "key", changed, s)
	}
	for n := range kept {
		refuses("cut short", "key", kept[:n], s)
	}
	refuses("one byte more", "key", append(bytes.Clone(kept), 0), s)
	refuses("in the clear", "key", []byte("the value"), s)
	refuses("another key", "kex", kept, s)
	refuses("another namespace", "key", kept, seal(t, inner, "shoq", sealedstore.Key{ID: 7, Secret: secret(1)}))
	refuses("a namespace that ends elsewhere", "pkey", kept, seal(t, inner, "sho", sealedstore.Key{ID: 7, Secret: secret(1)}))
	refuses("another secret", "key", kept, seal(t, inner, "shop", sealedstore.Key{ID: 7, Secret: secret(2)}))
	refuses("another number", "key", kept, seal(t, inner, "shop", sealedstore.Key{ID: 8, Secret: secret(1)}))

	if err := inner.Set(ctx, "key", kept, time.Hour); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Get(ctx, "key"); err != nil || string(got) != "the value" {
		t.Errorf("Get of what was kept = %q, %v; want the value", got, err)
	}
}

func TestRotation(t *testing.T) {
	ctx := t.Context()
	inner := memory(t)
	old, next := sealedstore.Key{ID: 1, Secret: secret(1)}, sealedstore.Key{ID: 2, Secret: secret(2)}
	before, during, after, end := seal(t, inner, "", old), seal(t, inner, "", old, next), seal(t, inner, "", next, old), seal(t, inner, "", next)
	for i, s := range []store.Store{before, during, after, end} {
		key := string(rune('a' + i))
		if err := s.Set(ctx, key, []byte(key), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		store store.Store
		opens string
	}{
		"before": {before, "ab"}, "during": {during, "abcd"}, "after": {after, "abcd"}, "end": {end, "cd"},
	} {
		for _, key := range []string{"a", "b", "c", "d"} {
			got, err := tt.store.Get(ctx, key)
			if opens := strings.Contains(tt.opens, key); opens != (err == nil && string(got) == key) {
				t.Errorf("%s: Get(%s) = %q, %v; opens: %v", name, key, got, err, opens)
			}
		}
	}
}

// TestFresh: no two seals of one value are alike.
func TestFresh(t *testing.T) {
	ctx := t.Context()
	inner := memory(t)
	s := seal(t, inner, "", sealedstore.Key{Secret: secret(1)})
	seen := make(map[string]bool)
	for range 100 {
		if err := s.Set(ctx, "key", []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
		kept, err := inner.Get(ctx, "key")
		if err != nil || seen[string(kept)] {
			t.Fatalf("sealed alike twice, %v", err)
		}
		seen[string(kept)] = true
	}
}

func FuzzOpen(f *testing.F) {
	inner := memory(f)
	s := seal(f, inner, "", sealedstore.Key{Secret: secret(1)})
	f.Add([]byte("\x93rs\x01\x00\x00\x00\x00 and more than a nonce and a tag have"))
	f.Fuzz(func(t *testing.T, kept []byte) {
		if err := inner.Set(t.Context(), "key", kept, time.Hour); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), "key"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get = %q, %v: it opened what was never sealed", got, err)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s := seal(b, memory(b), "", sealedstore.Key{Secret: secret(1)})
	value := make([]byte, 64<<10)
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Set(b.Context(), "key", value, time.Hour); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Get(b.Context(), "key"); err != nil {
			b.Fatal(err)
		}
	}
}
