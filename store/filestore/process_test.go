package filestore_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/filestore"
)

// childDir names the variable by which a test asks its own binary to be the other process.
const childDir = "FILESTORE_TEST_CHILD"

// TestMain is the other process if it is asked to: it writes until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func child(dir string) error {
	s, err := filestore.Open(dir, filestore.Config{})
	if err != nil {
		return err
	}
	ctx := context.Background()
	if fence, ok, err := s.Lock(ctx, "child's", time.Hour); err != nil || !ok {
		return fmt.Errorf("Lock = %d, %v, %w", fence, ok, err)
	}
	for i := 0; ; i++ {
		n, err := s.Raise(ctx, "name")
		if err != nil {
			return err
		}
		for k := range 10 {
			key := fmt.Sprintf("key%d", k)
			if err := s.Set(ctx, key, value(key, i), time.Hour); err != nil {
				return err
			}
		}
		fmt.Println(n) // the parent counts on what was acknowledged
	}
}

func value(key string, i int) []byte {
	return bytes.Repeat(fmt.Appendf(nil, "%s/%d;", key, i), 3000)
}

// TestKilled: a process that is killed while it writes leaves whole entries, its numbers and its leases.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	s := open(t, dir, filestore.Config{})
	var last, incarnation uint64
	for round := range 3 {
		acknowledged := runChild(t, dir, round, func() {
			// Meanwhile the two processes read and write the same keys.
			for k := range 10 {
				key := fmt.Sprintf("key%d", k)
				set(t, s, key, string(value(key, 1)))
				checkWhole(t, s, key)
			}
			if n, err := s.Raise(t.Context(), "name"); err != nil || n <= last {
				t.Errorf("Raise = %d, %v; want more than %d", n, err, last)
			} else {
				last = n
			}
		})
		m, err := s.Marks(t.Context(), "name")
		if err != nil || m.Newest < max(acknowledged, last) || m.Slots[0] < max(acknowledged, last) {
			t.Errorf("Marks = %+v, %v; want at least %d and %d", m, err, acknowledged, last)
		}
		if incarnation != 0 && m.Incarnation != incarnation {
			t.Errorf("incarnation %d became %d", incarnation, m.Incarnation)
		}
		incarnation = m.Incarnation
		for k := range 10 {
			checkWhole(t, s, fmt.Sprintf("key%d", k))
		}
		if fence, ok, err := s.Lock(t.Context(), "child's", time.Hour); ok || err != nil {
			t.Errorf("Lock = %d, %v, %v; want false: the killed process held it", fence, ok, err)
		}
		if err := os.RemoveAll(dir + "/v1/leases"); err != nil { // for the next round
			t.Fatal(err)
		}
	}
}

func checkWhole(t *testing.T, s store.Store, key string) {
	t.Helper()
	got, err := s.Get(t.Context(), key)
	if errors.Is(err, store.ErrNotFound) {
		return
	}
	part, _, _ := strings.Cut(string(got), ";")
	if err != nil || !strings.HasPrefix(part, key+"/") || string(got) != strings.Repeat(part+";", 3000) {
		t.Errorf("Get(%q) = %.40q (%d bytes), %v; want a whole value", key, got, len(got), err)
	}
}

// runChild starts the other process, runs meanwhile while it writes, kills it and returns the last number that it has
// acknowledged.
func runChild(t *testing.T, dir string, rounds int, meanwhile func()) (last uint64) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		if _, err := fmt.Sscan(lines.Text(), &last); err != nil {
			t.Errorf("%q is no number: %v", lines.Text(), err)
		}
		if n == rounds {
			meanwhile()
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
		t.Fatalf("the other process ended by itself: %v", err)
	}
	return last
}
