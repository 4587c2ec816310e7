package zstdstore_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/filestore"
	"github.com/reprise-go/reprise/store/storetest"
	"github.com/reprise-go/reprise/store/zstdstore"
)

func files(t testing.TB) *filestore.Store {
	t.Helper()
	s, err := filestore.Open(t.TempDir(), filestore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func compress(t testing.TB, inner store.Store, cfg zstdstore.Config) store.Store {
	t.Helper()
	s, err := zstdstore.New(inner, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]zstdstore.Config{"defaults": {}, "everything": {MinBytes: 1}, "nothing": {MinBytes: 1 << 30}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, storetest.Config{Open: func(t *testing.T) store.Store { return compress(t, files(t), cfg) }})
		})
	}
}

func TestConfigMistakes(t *testing.T) {
	_, err := zstdstore.New(nil, zstdstore.Config{Level: 99, MinBytes: -1, MaxBytes: -1})
	for _, want := range []string{"store is nil", "Level", "MinBytes", "MaxBytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New = %v; want it to name %q", err, want)
		}
	}
}

func TestSizes(t *testing.T) {
	ctx := t.Context()
	inner := files(t)
	s := compress(t, inner, zstdstore.Config{MaxBytes: 1 << 20})
	text := bytes.Repeat([]byte(`{"id":42,"name":"product"},`), 1000)
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for _, tt := range []struct {
		name  string
		value []byte
		most  int
	}{
		{"text", text, len(text) / 10},
		{"noise", noise, len(noise) + 1},
		{"short", text[:1023], 1024},
	} {
		if err := s.Set(ctx, "key", tt.value, time.Hour); err != nil {
			t.Fatal(err)
		}
		kept, err := inner.Get(ctx, "key")
		if err != nil || len(kept) > tt.most {
			t.Errorf("%s: %d bytes are kept as %d, %v; want at most %d", tt.name, len(tt.value), len(kept), err, tt.most)
		}
		if got, err := s.Get(ctx, "key"); err != nil || !bytes.Equal(got, tt.value) {
			t.Errorf("%s: Get = %d bytes, %v; want the %d", tt.name, len(got), err, len(tt.value))
		}
	}
	if err := s.Set(ctx, "key", make([]byte, 1<<20+1), time.Hour); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Set above MaxBytes = %v; want ErrTooLarge", err)
	}
}

// TestSmallBound: a bound below the decoder's smallest is a bound like any other.
func TestSmallBound(t *testing.T) {
	ctx := t.Context()
	inner := files(t)
	for _, most := range []int{1, 100, 1023, 1024, 1025, 1 << 11, 1 << 12, 1<<16 - 1, 1 << 16, 1 << 20, 1 << 21} {
		s := compress(t, inner, zstdstore.Config{MinBytes: 1, MaxBytes: most})
		value := bytes.Repeat([]byte{'x'}, most)
		if err := s.Set(ctx, "key", value, time.Hour); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(ctx, "key"); err != nil || !bytes.Equal(got, value) {
			t.Errorf("MaxBytes %d: Get = %d bytes, %v; want %d", most, len(got), err, most)
		}
		if err := compress(t, inner, zstdstore.Config{MinBytes: 1}).Set(ctx, "key", append(value, value...), time.Hour); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(ctx, "key"); most > 50 && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("MaxBytes %d: Get of a longer value = %d bytes, %v; want ErrNotFound", most, len(got), err)
		}
	}
}

// TestBomb: a small value that would become a large one is not there, and costs no memory.
func TestBomb(t *testing.T) {
	ctx := t.Context()
	inner := files(t)
	s := compress(t, inner, zstdstore.Config{MaxBytes: 1 << 20})
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	whole := encoder.EncodeAll(make([]byte, 256<<20), []byte{1})
	var stream bytes.Buffer // without its length in front
	stream.WriteByte(1)
	w, err := zstd.NewWriter(&stream)
	if err != nil {
		t.Fatal(err)
	}
	for range 256 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	many := []byte{1} // each frame is small
	for range 64 {
		many = encoder.EncodeAll(make([]byte, 1<<20), many)
	}
	for name, bomb := range map[string][]byte{"whole": whole, "stream": stream.Bytes(), "many": many} {
		if err := inner.Set(ctx, "key", bomb, time.Hour); err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := s.Get(ctx, "key")
		runtime.ReadMemStats(&after)
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: Get = %d bytes, %v; want ErrNotFound", name, len(got), err)
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 16<<20 {
			t.Errorf("%s: %d bytes cost %d", name, len(bomb), cost)
		}
	}
}

func FuzzDecode(f *testing.F) {
	const most = 64 << 10
	inner := files(f)
	s := compress(f, inner, zstdstore.Config{MaxBytes: most})
	f.Add([]byte{})
	f.Add([]byte{0, 'a'})
	f.Add([]byte{2, 'a'})
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encoder.EncodeAll(bytes.Repeat([]byte("ab"), 1000), []byte{1}))
	f.Fuzz(func(t *testing.T, kept []byte) {
		if len(kept) > most {
			return
		}
		if err := inner.Set(t.Context(), "key", kept, time.Hour); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), "key")
		if err != nil && !errors.Is(err, store.ErrNotFound) || len(got) > most {
			t.Errorf("Get = %d bytes, %v", len(got), err)
		}
	})
}
