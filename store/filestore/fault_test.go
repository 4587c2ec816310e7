package filestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/filestore"
)

// files returns the paths of the files in dir whose base name is as long as that of an entry.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && len(filepath.Base(path)) == 30 {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func set(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	if err := s.Set(t.Context(), key, []byte(value), time.Hour); err != nil {
		t.Fatalf("Set(%q) = %v; want nil", key, err)
	}
}

func wantValue(t *testing.T, s store.Store, key, value string) {
	t.Helper()
	if got, err := s.Get(t.Context(), key); err != nil || string(got) != value {
		t.Errorf("Get(%q) = %.40q, %v; want %.40q", key, got, err, value)
	}
}

func wantNone(t *testing.T, s store.Store, key string) {
	t.Helper()
	if got, err := s.Get(t.Context(), key); got != nil || !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get(%q) = %.40q, %v; want ErrNotFound", key, got, err)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func keysOf(t *testing.T, s *filestore.Store) (keys []string) {
	t.Helper()
	for key, err := range s.Keys(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	return keys
}

// headSize is the length of what precedes the key.
const headSize = 32

const valueFlipped = "bit of the value flipped at "

// TestBadFiles: what is no whole entry is a miss and is overwritten.
func TestBadFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestore.Config{})
	set(t, s, "key", "the value")
	path := files(t, dir)[0]
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	bad := map[string][]byte{"empty": {}, "garbage": []byte("garbage"), "long garbage": bytes.Repeat([]byte("garbage"), 50_000),
		"longer": append(bytes.Clone(good), 'x'), "zeros": make([]byte, len(good))}
	for n := range good {
		bad[fmt.Sprintf("cut at %d", n)] = good[:n]
		flipped := bytes.Clone(good)
		flipped[n] ^= 0x10
		if n < headSize+len("key") {
			bad[fmt.Sprintf("bit flipped at %d", n)] = flipped
		} else {
			bad[valueFlipped+fmt.Sprint(n)] = flipped
		}
	}
	for name, b := range bad {
		write(t, path, b)
		// Keys does not read values.
		if keys := keysOf(t, s); len(keys) > 0 && !strings.HasPrefix(name, valueFlipped) {
			t.Errorf("%s: Keys yields %q; want nothing", name, keys)
		}
		if got, err := s.Get(t.Context(), "key"); got != nil || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: Get = %q, %v; want ErrNotFound", name, got, err)
		}
		if n := len(files(t, dir)); n != 0 {
			t.Errorf("%s: the file is still there", name)
		}
		set(t, s, "key", "the value")
		wantValue(t, s, "key", "the value")
	}
}

// TestSwappedFile: a whole entry at another key's place is that key's miss, is no key's when they are listed, and goes.
func TestSwappedFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestore.Config{})
	set(t, s, "a", "value of a")
	a := files(t, dir)[0]
	b, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	set(t, s, "b", "value of b")
	for _, path := range files(t, dir) {
		if path != a {
			write(t, path, b)
		}
	}
	if keys := keysOf(t, s); !slices.Equal(keys, []string{"a"}) {
		t.Errorf("Keys yields %q; want a, once", keys)
	}
	wantNone(t, s, "b")
	if left := files(t, dir); !slices.Equal(left, []string{a}) {
		t.Errorf("the files are %q; want %q alone", left, a)
	}
	wantValue(t, s, "a", "value of a")
}

// TestDirectoryAtPlace: a directory at the place of an entry is no entry, and gives way.
func TestDirectoryAtPlace(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestore.Config{})
	set(t, s, "key", "v")
	path := files(t, dir)[0]
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	wantNone(t, s, "key")
	set(t, s, "key", "v2")
	wantValue(t, s, "key", "v2")
}

// TestRefusedLeavesNothing: what SetLocked has written before it is refused does not stay on the disk.
func TestRefusedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestore.Config{})
	fence, ok, err := s.Lock(t.Context(), "name", time.Hour)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	if ok, err := s.SetLocked(t.Context(), "key", []byte("v"), time.Hour, "name", fence-1); ok || err != nil {
		t.Errorf("SetLocked of another fence = %v, %v; want false", ok, err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "v1", "??", "*"))
	if err != nil || len(left) != 0 {
		t.Errorf("%q, %v are left; want nothing", left, err)
	}
}

// TestForeignFiles: the store touches no file but its own.
func TestForeignFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "README"), []byte("mine"))
	s := open(t, dir, filestore.Config{})
	set(t, s, "key", "v")
	beside := filepath.Dir(files(t, dir)[0])
	foreign := []string{
		filepath.Join(dir, "README"), filepath.Join(beside, "notes.txt"), filepath.Join(beside, strings.Repeat("A", 30)),
		filepath.Join(beside, strings.Repeat("a", 31)), filepath.Join(dir, "v1", "notes.txt"),
	}
	mine := bytes.Repeat([]byte("mine"), 8<<10) // each larger than the bound below
	for _, path := range foreign {
		write(t, path, mine)
	}
	if err := os.Mkdir(filepath.Join(beside, "subdirectory"), 0o700); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Clear(t.Context(), ""); n != 1 || err != nil {
		t.Errorf("Clear = %d, %v; want 1", n, err)
	}
	closeStore(t, s)
	synctest.Test(t, func(t *testing.T) {
		open(t, dir, filestore.Config{MaxBytes: 16 << 10}) // which wants to evict everything
		synctest.Wait()                                    // until the scan has ended
	})
	for _, path := range foreign {
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, mine) {
			t.Errorf("%s has %d bytes, %v; want it untouched", path, len(b), err)
		}
	}
}

func closeStore(t *testing.T, s *filestore.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLeftovers: what a crash left while it wrote goes, what another process is writing does not.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestore.Config{})
	set(t, s, "key", "v")
	beside := filepath.Dir(files(t, dir)[0])
	leases := filepath.Join(dir, "v1", "leases")
	if _, _, err := s.Lock(t.Context(), "name", time.Hour); err != nil {
		t.Fatal(err)
	}
	var old, young []string
	for _, at := range []string{beside, leases} {
		old = append(old, filepath.Join(at, ".t-OLD"))
		young = append(young, filepath.Join(at, ".t-YOUNG"))
	}
	for _, path := range append(old, young...) {
		write(t, path, []byte("half an ent"))
	}
	hourAgo := time.Now().Add(-time.Hour)
	for _, path := range old {
		if err := os.Chtimes(path, hourAgo, hourAgo); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	again := open(t, dir, filestore.Config{})
	eventually(t, "the leftovers are gone", func() bool {
		for _, path := range old {
			if _, err := os.Stat(path); err == nil {
				return false
			}
		}
		return true
	})
	for _, path := range young {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%v; want what may still be written", err)
		}
	}
	wantValue(t, again, "key", "v")
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// TestBlocked: where the disk fails, calls fail and leave nothing wrong behind.
func TestBlocked(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, filestore.Config{})
	set(t, s, "key", "v")
	set(t, s, "other", "v")
	var blocked string
	for _, path := range files(t, dir) {
		blocked = filepath.Dir(path)
		if err := os.RemoveAll(blocked); err != nil {
			t.Fatal(err)
		}
		write(t, blocked, []byte("a file where a directory was"))
	}
	for _, key := range []string{"key", "other"} {
		if err := s.Set(t.Context(), key, []byte("v2"), time.Hour); err == nil || errors.Is(err, store.ErrTooLarge) {
			t.Errorf("Set = %v; want the error of the disk", err)
		}
		if b, err := s.Get(t.Context(), key); b != nil || err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get = %q, %v; want the error of the disk", b, err)
		}
		if n, err := s.Delete(t.Context(), key); n != 0 || err == nil {
			t.Errorf("Delete = %d, %v; want the error of the disk", n, err)
		}
	}
	set(t, s, "a key elsewhere", "v")
	wantValue(t, s, "a key elsewhere", "v")
}

// TestCannotOpen: a directory that cannot be had is an error at the start.
func TestCannotOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, nil)
	taken := t.TempDir()
	write(t, filepath.Join(taken, "v1"), nil)
	for _, tt := range []struct {
		dir  string
		cfg  filestore.Config
		want string // in the error
	}{
		{file, filestore.Config{}, file},
		{filepath.Join(file, "below"), filestore.Config{}, file},
		{taken, filestore.Config{}, taken},
		{"", filestore.Config{}, "directory has no name"},
		{t.TempDir(), filestore.Config{MaxBytes: -1}, "MaxBytes: -1"},
		{t.TempDir(), filestore.Config{MaxBytes: 512}, "MaxBytes: 512 has no room for an entry; give bytes"},
	} {
		s, err := filestore.Open(tt.dir, tt.cfg)
		if err == nil {
			_ = s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Open(%q, %+v) = %v; want an error with %q", tt.dir, tt.cfg, err, tt.want)
		}
	}
}

// TestOutside: a link that leads out of the directory is not followed.
func TestOutside(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	s := open(t, dir, filestore.Config{})
	set(t, s, "key", "v")
	path := files(t, dir)[0]
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Dir(path)); err != nil {
		t.Skip(err)
	}
	if err := s.Set(t.Context(), "key", []byte("v"), time.Hour); err == nil {
		t.Errorf("Set through a link that leads out = nil; want an error")
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) != 0 {
		t.Errorf("%v, %v are outside; want nothing", left, err)
	}
}

// TestEmptied: somebody empties the directory while the store is open. It goes on, with another incarnation, for the
// marks are gone.
func TestEmptied(t *testing.T) {
	dir := t.TempDir()
	s, p := open(t, dir, filestore.Config{}), open(t, dir, filestore.Config{})
	set(t, s, "key", "v")
	if _, err := s.Raise(t.Context(), "name"); err != nil {
		t.Fatal(err)
	}
	before, err := s.Marks(t.Context(), "name")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "v1")); err != nil {
		t.Fatal(err)
	}
	wantNone(t, s, "key")
	set(t, s, "key", "again")
	wantValue(t, p, "key", "again")
	for range 2 {
		after, err := s.Marks(t.Context(), "name")
		theirs, err2 := p.Marks(t.Context(), "name")
		if err != nil || err2 != nil || after.Incarnation == before.Incarnation || after.Incarnation != theirs.Incarnation {
			t.Errorf("Marks were %+v, now %+v, %v and %+v, %v; want one other incarnation", before, after, err, theirs, err2)
		}
		if _, err := p.Raise(t.Context(), "name"); err != nil {
			t.Errorf("Raise = %v; want nil", err)
		}
	}
}

// TestBrokenSequence: a table that is not whole is made anew, under another incarnation.
func TestBrokenSequence(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"cut":     func(path string) error { return os.Truncate(path, 1000) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"garbage": func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("x"), 1<<20), 0o600) },
		"removed": os.Remove,
		"half made": func(path string) error {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(path, append(make([]byte, 8), b[8:]...), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, filestore.Config{})
			if _, err := s.Raise(t.Context(), "name"); err != nil {
				t.Fatal(err)
			}
			fence, ok, err := s.Lock(t.Context(), "lease", time.Hour)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			before, err := s.Marks(t.Context(), "name")
			if err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(dir, "v1", "sequence")); err != nil {
				t.Fatal(err)
			}
			after, err := s.Marks(t.Context(), "name")
			if err != nil || after.Incarnation == before.Incarnation || after.Newest != 0 || after.Slots[0] != 0 {
				t.Errorf("Marks = %+v, %v, were %+v; want another incarnation that begins at 0", after, err, before)
			}
			if n, err := s.Raise(t.Context(), "name"); n != 1 || err != nil {
				t.Errorf("Raise = %d, %v; want 1", n, err)
			}
			if err := s.Unlock(t.Context(), "lease", fence); err != nil {
				t.Fatal(err)
			}
			if again, ok, err := s.Lock(t.Context(), "lease", time.Hour); !ok || err != nil || again <= fence {
				t.Errorf("Lock = %d, %v, %v; want a fence above %d", again, ok, err, fence)
			}
		})
	}
}

// TestBound: the files take no more than the bound, whoever writes, and what was used last stays.
func TestBound(t *testing.T) {
	const bound = 1 << 20
	dir := t.TempDir()
	s := open(t, dir, filestore.Config{MaxBytes: bound})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 60 {
				if err := s.Set(context.Background(), fmt.Sprintf("%d/%d", w, n), make([]byte, 20_000), time.Hour); err != nil {
					t.Errorf("Set = %v; want nil", err)
				}
			}
		})
	}
	wg.Wait()
	disk := func() (bytes int64) {
		for _, path := range files(t, dir) {
			info, err := os.Stat(path)
			if err != nil {
				continue // evicted meanwhile
			}
			bytes += (info.Size() + 4095) / 4096 * 4096
		}
		return bytes
	}
	entries, bytes := s.Size()
	if got := disk(); got > bound || got != bytes || entries != len(files(t, dir)) || bytes < bound*8/10 {
		t.Errorf("%d bytes on the disk, Size() = %d, %d; want the same, and at most %d, well used", got, entries, bytes, bound)
	}
	if err := s.Set(t.Context(), "giant", make([]byte, bound/4), time.Hour); !errors.Is(err, store.ErrTooLarge) {
		t.Errorf("Set of more than a quarter = %v; want ErrTooLarge", err)
	}

	// A store that is opened with less makes do with less.
	closeStore(t, s)
	s = open(t, dir, filestore.Config{MaxBytes: bound / 4})
	eventually(t, "the smaller bound holds", func() bool { return disk() <= bound/4 })
	wantSize, _ := s.Size()
	if wantSize == 0 {
		t.Errorf("Size() = 0 entries; want what the bound has room for")
	}
}

// TestLeastRecentlyUsed: what was not used for longest goes first.
func TestLeastRecentlyUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir(), filestore.Config{MaxBytes: 8 * 4096})
		for n := range 8 {
			set(t, s, fmt.Sprint(n), "v")
			time.Sleep(time.Second)
		}
		wantValue(t, s, "0", "v") // used again
		set(t, s, "8", "v")
		set(t, s, "9", "v")
		for _, key := range []string{"1", "2"} {
			wantNone(t, s, key)
		}
		for _, key := range []string{"0", "3", "7", "8", "9"} {
			wantValue(t, s, key, "v")
		}
	})
}

// TestScan: expired files leave without being read, and other processes' files are learned.
func TestScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, filestore.Config{ScanEvery: time.Minute})
		p := open(t, dir, filestore.Config{ScanEvery: -1})
		synctest.Wait()
		for n := range 20 {
			if err := s.Set(t.Context(), fmt.Sprint(n), []byte("v"), 30*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		set(t, p, "theirs", "v")
		if n, _ := s.Size(); n != 20 {
			t.Errorf("Size() = %d; want its own 20", n)
		}
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if left := files(t, dir); len(left) != 1 {
			t.Errorf("%d files are left; want 1 that has not expired", len(left))
		}
		if n, bytes := s.Size(); n != 1 || bytes != 4096 {
			t.Errorf("Size() = %d, %d; want the other process's entry", n, bytes)
		}
		if n, err := p.Delete(t.Context(), "theirs"); n != 1 || err != nil {
			t.Errorf("Delete = %d, %v; want 1", n, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n, bytes := s.Size(); n != 0 || bytes != 0 {
			t.Errorf("Size() = %d, %d after another process deleted all; want 0", n, bytes)
		}
	})
}

// TestOldLeases: leases that ended long ago leave, and their holders do not write any more.
func TestOldLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, dir, filestore.Config{ScanEvery: 10 * time.Hour})
		fence, _, err := s.Lock(t.Context(), "name", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		// As long as nobody else was granted the lease, who held it may write for a day.
		time.Sleep(11 * time.Hour)
		synctest.Wait()
		if ok, err := s.SetLocked(t.Context(), "key", nil, time.Hour, "name", fence); !ok || err != nil {
			t.Errorf("SetLocked with a lease that ended half a day ago = %v, %v; want true", ok, err)
		}
		time.Sleep(34 * time.Hour)
		synctest.Wait()
		if left, err := os.ReadDir(filepath.Join(dir, "v1", "leases")); err != nil || len(left) != 0 {
			t.Errorf("%d leases are left, %v; want 0", len(left), err)
		}
		if ok, err := s.SetLocked(t.Context(), "key", nil, time.Hour, "name", fence); ok || err != nil {
			t.Errorf("SetLocked with a forgotten lease = %v, %v; want false", ok, err)
		}
		wantNone(t, s, "key")
		if again, ok, err := s.Lock(t.Context(), "name", time.Second); !ok || err != nil || again <= fence {
			t.Errorf("Lock = %d, %v, %v; want a fence above %d", again, ok, err, fence)
		}
	})
}
