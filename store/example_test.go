package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/storetest"
)

// MapStore is a whole store: a map and three methods.
type MapStore struct {
	mu      sync.Mutex
	entries map[string]mapEntry
}

type mapEntry struct {
	value   []byte
	expires time.Time
}

func (s *MapStore) Get(ctx context.Context, key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[key]
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !ok || !time.Now().Before(e.expires) {
		return nil, store.ErrNotFound
	}
	return e.value, nil
}

func (s *MapStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	s.entries[key] = mapEntry{value, time.Now().Add(ttl)}
	return nil
}

func (s *MapStore) Delete(ctx context.Context, keys ...string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n := 0
	for _, key := range keys {
		if e, ok := s.entries[key]; ok && time.Now().Before(e.expires) {
			n++
		}
		delete(s.entries, key)
	}
	return n, nil
}

// TestMapStore is all the test that a store needs.
func TestMapStore(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Open:   func(*testing.T) store.Store { return &MapStore{entries: map[string]mapEntry{}} },
		Bubble: true,
	})
}

func Example() {
	var s store.Store = &MapStore{entries: map[string]mapEntry{}}
	ctx := context.Background()
	if err := s.Set(ctx, "greeting", []byte("hello"), time.Minute); err != nil {
		fmt.Println(err)
	}
	value, err := s.Get(ctx, "greeting")
	fmt.Printf("%s %v\n", value, err)
	_, err = s.Get(ctx, "absent")
	fmt.Println(err)
	// Output:
	// hello <nil>
	// store: key not found
}
