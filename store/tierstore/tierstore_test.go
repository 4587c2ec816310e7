package tierstore_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memstore"
	"github.com/reprise-go/reprise/store/storetest"
	"github.com/reprise-go/reprise/store/tierstore"
)

func memory(t *testing.T) *memstore.Store {
	t.Helper()
	s, err := memstore.New(memstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func open(t *testing.T, far store.Store, nearTTL time.Duration) tierstore.Store {
	t.Helper()
	s, err := tierstore.New(tierstore.Config{Near: memory(t), Far: far, NearTTL: nearTTL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// plain hides what a store can do beyond its three methods.
type plain struct{ store.Store }

// far counts and can be stopped in the middle.
type far struct {
	*memstore.Store
	mu     sync.Mutex
	gets   int
	onRead func() // after the value was read, before it is returned
	onSet  func() // after the value was set
}

func (f *far) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	err := f.Store.Set(ctx, key, value, ttl)
	if f.onSet != nil {
		f.onSet()
	}
	return err
}

func (f *far) Get(ctx context.Context, key string) ([]byte, error) {
	b, err := f.Store.Get(ctx, key)
	f.mu.Lock()
	f.gets++
	onRead := f.onRead
	f.mu.Unlock()
	if onRead != nil {
		onRead()
	}
	return b, err
}

// notifying is a far store that tells what others change.
type notifying struct {
	*memstore.Store
	mu      sync.Mutex
	changed func(string)
	lost    func()
	watches int
	broken  chan struct{}
}

func (n *notifying) Notify(ctx context.Context, changed func(string), lost func()) error {
	n.mu.Lock()
	n.changed, n.lost = changed, lost
	n.watches++
	n.mu.Unlock()
	lost()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-n.broken:
		return errors.New("connection lost")
	}
}

func TestStore(t *testing.T) {
	for name, far := range map[string]func(t *testing.T) store.Store{
		"memory":    func(t *testing.T) store.Store { return memory(t) },
		"plain":     func(t *testing.T) store.Store { return plain{memory(t)} },
		"notifying": func(t *testing.T) store.Store { return &notifying{Store: memory(t), broken: make(chan struct{})} },
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				Open:   func(t *testing.T) store.Store { return open(t, far(t), time.Second) },
				Unit:   time.Second,
				Bubble: true,
			})
		})
	}
}

// TestCapabilities: the tier can do what the far store can, whatever the near one can.
func TestCapabilities(t *testing.T) {
	type sequencer struct {
		store.Store
		store.Sequencer
	}
	type locker struct {
		store.Store
		store.Locker
	}
	type lister struct {
		store.Store
		store.Lister
	}
	type listClearer struct {
		store.Store
		store.Lister
		store.Clearer
	}
	m := memory(t)
	for _, tt := range []struct {
		far  store.Store
		want []string
	}{
		{plain{m}, nil},
		{sequencer{m, m}, []string{"Sequencer"}},
		{locker{m, m}, []string{"Locker"}},
		{lister{m, m}, nil},
		{listClearer{m, m, m}, []string{"Lister", "Clearer"}},
		{struct {
			store.Store
			store.Sequencer
			store.Locker
		}{m, m, m}, []string{"Sequencer", "Locker"}},
		{struct {
			store.Store
			store.Sequencer
			store.Lister
			store.Clearer
		}{m, m, m, m}, []string{"Sequencer", "Lister", "Clearer"}},
		{struct {
			store.Store
			store.Locker
			store.Lister
			store.Clearer
		}{m, m, m, m}, []string{"Locker", "Lister", "Clearer"}},
		{m, []string{"Sequencer", "Locker", "Lister", "Clearer"}},
	} {
		s := open(t, tt.far, 0)
		var got []string
		for _, c := range []struct {
			name string
			is   bool
		}{
			{"Sequencer", is[store.Sequencer](s)}, {"Locker", is[store.Locker](s)}, {"Lister", is[store.Lister](s)}, {"Clearer", is[store.Clearer](s)},
			{"Local", is[store.Local](s)}, {"Sequenced", is[store.Sequenced](s)}, {"Notifier", is[store.Notifier](s)}, {"Sizer", is[store.Sizer](s)},
		} {
			if c.is {
				got = append(got, c.name)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("over %T the tier is %v; want %v", tt.far, got, tt.want)
		}
	}
}

func is[T any](s store.Store) bool { _, ok := s.(T); return ok }

func TestInvalidConfig(t *testing.T) {
	s, err := tierstore.New(tierstore.Config{NearTTL: -1})
	if s != nil || err == nil || len(err.(interface{ Unwrap() []error }).Unwrap()) != 3 {
		t.Errorf("New with three mistakes = %v, %v; want all three", s, err)
	}
	if s, err := tierstore.New(tierstore.Config{Near: plain{memory(t)}, Far: memory(t)}); s != nil || err == nil {
		t.Errorf("New with a near store that cannot be cleared = %v, %v; want an error", s, err)
	}
}

// TestNear: what was read is read from near until its time is over.
func TestNear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{Store: memory(t)}
		s := open(t, plain{f}, 10*time.Second)
		if err := s.Set(t.Context(), "key", []byte("one"), time.Hour); err != nil {
			t.Fatal(err)
		}
		want := func(value string, gets int) {
			t.Helper()
			if b, err := s.Get(t.Context(), "key"); err != nil || string(b) != value || f.gets != gets {
				t.Errorf("Get = %q, %v after %d reads of the far store; want %q after %d", b, err, f.gets, value, gets)
			}
		}
		want("one", 1)
		want("one", 1)
		if b, err := s.GetMulti(t.Context(), []string{"absent", "key"}); err != nil || b[0] != nil || string(b[1]) != "one" || f.gets != 2 {
			t.Errorf("GetMulti = %q, %v after %d reads; want nil, one after 2: only of what is absent", b, err, f.gets)
		}
		// Another process writes, and nobody tells.
		if err := f.Set(t.Context(), "key", []byte("two"), time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Second - 1)
		want("one", 2)
		time.Sleep(time.Nanosecond)
		want("two", 3)
		if err := s.Set(t.Context(), "key", []byte("three"), time.Hour); err != nil {
			t.Fatal(err)
		}
		want("three", 4)
		if n, err := s.Delete(t.Context(), "key"); n != 1 || err != nil {
			t.Errorf("Delete = %d, %v; want 1", n, err)
		}
		if b, err := s.Get(t.Context(), "key"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("Get after Delete = %q, %v; want ErrNotFound", b, err)
		}
	})
}

// TestLateCopy: a value that was read before a change is not kept after it.
func TestLateCopy(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, s tierstore.Store) error{
		"Delete": func(t *testing.T, s tierstore.Store) error { _, err := s.Delete(t.Context(), "key"); return err },
		"Set": func(t *testing.T, s tierstore.Store) error {
			return s.Set(t.Context(), "key", []byte("new"), time.Hour)
		},
		"Clear": func(t *testing.T, s tierstore.Store) error {
			_, err := s.(store.Clearer).Clear(t.Context(), "k")
			return err
		},
		"SetLocked": func(t *testing.T, s tierstore.Store) error {
			l := s.(store.Locker)
			fence, _, err := l.Lock(t.Context(), "name", time.Hour)
			if err != nil {
				return err
			}
			_, err = l.SetLocked(t.Context(), "key", []byte("new"), time.Hour, "name", fence)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := &far{Store: memory(t)}
			s := open(t, f, time.Hour)
			if err := s.Set(t.Context(), "key", []byte("old"), time.Hour); err != nil {
				t.Fatal(err)
			}
			f.onRead = func() {
				f.onRead = nil
				if err := change(t, s); err != nil {
					t.Errorf("%s = %v; want nil", name, err)
				}
			}
			if b, err := s.Get(t.Context(), "key"); err != nil || string(b) != "old" {
				t.Fatalf("Get = %q, %v; want what was there when it began", b, err)
			}
			if b, err := s.Get(t.Context(), "key"); string(b) == "old" {
				t.Errorf("Get after %s = %q, %v; want not the old value", name, b, err)
			}
		})
	}
}

// TestMarksAreFar: an invalidation by another process is seen with a value that is near.
func TestMarksAreFar(t *testing.T) {
	far := memory(t)
	here, there := open(t, far, time.Hour).(store.Sequencer), open(t, far, time.Hour).(store.Sequencer)
	if err := far.Set(t.Context(), "key", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := here.GetMarked(t.Context(), "key", "name"); err != nil {
			t.Fatal(err)
		}
	}
	n, err := there.Raise(t.Context(), "name")
	if err != nil {
		t.Fatal(err)
	}
	if b, m, err := here.GetMarked(t.Context(), "key", "name"); err != nil || string(b) != "v" || m.Newest != n || m.Slots[0] != n {
		t.Errorf("GetMarked = %q, %+v, %v; want the value with the mark %d", b, m, err, n)
	}
}

// TestNotified: what others change leaves at once, and everything when changes may have been missed.
func TestNotified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notifying{Store: memory(t), broken: make(chan struct{})}
		s := open(t, n, time.Hour)
		synctest.Wait()
		read := func(key, want string) {
			t.Helper()
			if b, err := s.Get(t.Context(), key); err != nil || string(b) != want {
				t.Errorf("Get(%s) = %q, %v; want %q", key, b, err, want)
			}
		}
		write := func(value string) {
			t.Helper()
			for _, key := range []string{"a", "b"} {
				if err := n.Set(t.Context(), key, []byte(value), time.Hour); err != nil {
					t.Fatal(err)
				}
			}
		}
		write("one")
		read("a", "one")
		read("b", "one")
		write("two")
		read("a", "one")
		n.changed("a")
		read("a", "two")
		read("b", "one")
		n.lost()
		read("a", "two")
		read("b", "two")

		write("three")
		close(n.broken)
		synctest.Wait()
		read("a", "three")
		n.mu.Lock()
		n.broken = make(chan struct{})
		n.mu.Unlock()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n.watches != 2 {
			t.Errorf("the far store was watched %d times; want again after the watch broke", n.watches)
		}
		write("four")
		n.changed("a")
		read("a", "four")
	})
}

// marksFail is a far store whose marks cannot be read.
type marksFail struct{ *memstore.Store }

func (marksFail) Marks(context.Context, ...string) (store.Marks, error) {
	return store.Marks{}, errors.New("no marks")
}

// TestMarksFail: a copy is nothing without marks.
func TestMarksFail(t *testing.T) {
	s := open(t, marksFail{memory(t)}, time.Hour).(store.Sequencer)
	if err := s.(store.Store).Set(t.Context(), "key", []byte("v"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if b, _, err := s.GetMarked(t.Context(), "key", "name"); err != nil || string(b) != "v" {
		t.Fatalf("GetMarked = %q, %v; want what is far, and its marks", b, err)
	}
	if b, _, err := s.GetMarked(t.Context(), "key", "name"); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("GetMarked of a copy = %q, %v; want the error of the marks", b, err)
	}
}

// TestSetGivenUp: who gives up while the far store takes a value does not know whether it did.
func TestSetGivenUp(t *testing.T) {
	f := &far{Store: memory(t)}
	s := open(t, f, time.Hour)
	if err := f.Set(t.Context(), "key", []byte("old"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Get(t.Context(), "key"); err != nil || string(b) != "old" {
		t.Fatalf("Get = %q, %v; want old", b, err)
	}
	ctx, giveUp := context.WithCancel(t.Context())
	f.onSet = giveUp
	if err := s.Set(ctx, "key", []byte("new"), time.Hour); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Get(t.Context(), "key"); err != nil || string(b) != "new" {
		t.Errorf("Get = %q, %v; want new", b, err)
	}
}

// spread is a far store of several nodes.
type spread struct{ *memstore.Store }

func (spread) Node(key string) string { return "node of " + key }

// TestNode: the nodes are those of the far store.
func TestNode(t *testing.T) {
	for want, far := range map[string]store.Store{"node of key": spread{memory(t)}, "": memory(t)} {
		if node := open(t, far, 0).(store.Partitioned).Node("key"); node != want {
			t.Errorf("Node over a %T = %q; want %q", far, node, want)
		}
	}
}

// TestForget: what is forgotten is read from the far store, also by a reader of before, and is still there; of two tiers both
// forget.
func TestForget(t *testing.T) {
	f := &far{Store: memory(t)}
	s := open(t, open(t, f, time.Hour), time.Hour)
	write := func(value string) {
		t.Helper()
		if err := f.Set(t.Context(), "key", []byte(value), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	read := func(want string) {
		t.Helper()
		if b, err := s.Get(t.Context(), "key"); err != nil || string(b) != want {
			t.Errorf("Get = %q, %v; want %q", b, err, want)
		}
	}
	forget := func() {
		t.Helper()
		if !s.(store.Layered).Forget("key") {
			t.Error("Forget = false; want true: there are copies")
		}
	}
	write("one")
	read("one")
	write("two")
	read("one")
	forget()
	f.onRead = func() {
		f.onRead = nil
		write("three")
		forget()
	}
	read("two")
	read("three")
}

// TestFarFails: an error of the far store is told, and what is near is still served.
func TestFarFails(t *testing.T) {
	far := memory(t)
	s := open(t, plain{far}, time.Hour)
	for _, key := range []string{"near", "far"} {
		if err := s.Set(t.Context(), key, []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Get(t.Context(), "near"); err != nil {
		t.Fatal(err)
	}
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := s.Get(t.Context(), "near"); err != nil || string(b) != "v" {
		t.Errorf("Get = %q, %v; want the copy", b, err)
	}
	if b, err := s.Get(t.Context(), "far"); err == nil || errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get = %q, %v; want the far store's error", b, err)
	}
	if err := s.Set(t.Context(), "near", []byte("v2"), time.Hour); err == nil {
		t.Errorf("Set = nil; want the far store's error")
	}
	if b, err := s.Get(t.Context(), "near"); err == nil {
		t.Errorf("Get after a Set that failed = %q; want no copy of what may have been replaced", b)
	}
}
