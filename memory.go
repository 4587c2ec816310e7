package reprise

import (
	"sync"
	"sync/atomic"
	"time"
)

// memory remembers something of keys for a while. It holds at most max keys; when it is full, any may be forgotten.
type memory[T any] struct {
	mu   sync.RWMutex
	max  int
	keys map[string]remembered[T]
	some atomic.Bool // something was remembered once: mostly nothing is, and then nobody need lock
}

type remembered[T any] struct {
	v     T
	until time.Time
}

func (m *memory[T]) get(key []byte, now time.Time) (v T, ok bool) {
	if !m.some.Load() {
		return v, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, ok := m.keys[string(key)]
	if !ok || !now.Before(r.until) {
		return v, false
	}
	return r.v, true
}

func (m *memory[T]) put(key string, v T, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = make(map[string]remembered[T])
		m.some.Store(true)
	}
	if _, ok := m.keys[key]; !ok && len(m.keys) >= m.max {
		for k := range m.keys { // any: the order of a map is as good as random
			delete(m.keys, k)
			break
		}
	}
	m.keys[key] = remembered[T]{v, until}
}

func (m *memory[T]) forget(key string) {
	if !m.some.Load() {
		return
	}
	m.mu.RLock()
	_, ok := m.keys[key]
	m.mu.RUnlock()
	if ok {
		m.mu.Lock()
		delete(m.keys, key)
		m.mu.Unlock()
	}
}
