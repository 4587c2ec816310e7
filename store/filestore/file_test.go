package filestore

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzParseEntry: whatever a file holds, what is read from it is what was written at that place.
func FuzzParseEntry(f *testing.F) {
	const key = "reprise:shop|GET|https://shop.test|/"
	good := append(appendHead(nil, key, []byte("value"), math.MaxInt64), "value"...)
	f.Add(good)
	f.Add(good[:headSize])
	f.Add([]byte(magic))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, value, err := parseEntry(b, idOf(key))
		if err != nil {
			return
		}
		if h.key != key || !bytes.Equal(append(appendHead(nil, h.key, value, h.expires), value...), b) {
			t.Errorf("parseEntry(%q) = %+v, %q; want what encodes to the same, or an error", b, h, value)
		}
	})
}

// TestPaths: whatever the key, its file has a name of fixed length in one of 256 directories.
func TestPaths(t *testing.T) {
	seen := make(map[string]bool)
	for _, key := range []string{"a", "A", "../../etc/passwd", "/", "..", strings.Repeat("x", 200), "a\x00b"} {
		path := idOf(key).path()
		if dir, name := filepath.Split(path); len(dir) != len("v1/00/") || len(name) != 30 || !filepath.IsLocal(path) || seen[path] {
			t.Errorf("the path of %q is %q; want v1, two hex digits, 30 hex digits, and no other key's", key, path)
		}
		seen[path] = true
		i := idOf(key)
		if back, ok := idAt(i[0], filepath.Base(path)); !ok || back != i {
			t.Errorf("idAt(%q) = %v, %v; want the id of %q", path, back, ok, key)
		}
	}
}

func TestDeadline(t *testing.T) {
	now := time.Unix(1_700_000_000, 5)
	for _, tt := range []struct {
		ttl  time.Duration
		want int64
	}{
		{1, 1_700_000_000_000_000_006},
		{math.MaxInt64, math.MaxInt64},
		{math.MaxInt64 - 1_700_000_000_000_000_005, math.MaxInt64},
		{math.MaxInt64 - 1_700_000_000_000_000_006, math.MaxInt64 - 1},
	} {
		if got := deadline(now, tt.ttl); got != tt.want {
			t.Errorf("deadline(%v) = %d; want %d", tt.ttl, got, tt.want)
		}
	}
}
