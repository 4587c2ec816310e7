package memstore

import (
	"context"
	"sync"
	"time"
)

// minLeases is the number of names up to which no lease is forgotten.
const minLeases = 10_000

// leases are the leases of this process.
type leases struct {
	mu     sync.Mutex
	last   uint64           // the fence granted last
	byName map[string]lease // the last lease of each name, ended or not

	// Of a name that is not in byName, no fence up to forgotten is known to be the last.
	forgotten uint64
	sweepAt   int // size of byName at which ended leases are forgotten next
}

type lease struct {
	fence uint64
	until time.Time // the zero time for ever
	ended bool
}

func (l lease) held(now time.Time) bool {
	return !l.ended && (l.until.IsZero() || now.Before(l.until))
}

// until returns when ttl from now ends, the zero time if never.
func until(now time.Time, ttl time.Duration) time.Time {
	if ttl >= 1<<62 {
		return time.Time{} // Forever, or so long that the clock could overflow
	}
	return now.Add(ttl)
}

// Lock takes the lease of name for ttl.
func (s *Store) Lock(ctx context.Context, name string, ttl time.Duration) (fence uint64, ok bool, err error) {
	if _, err := s.open(ctx, "lock"); err != nil {
		return 0, false, err
	}
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if le, known := l.byName[name]; ttl <= 0 || known && le.held(now) {
		return 0, false, nil
	}
	if l.byName == nil {
		l.byName = make(map[string]lease)
	}
	l.last++
	l.byName[name] = lease{fence: l.last, until: until(now, ttl)}
	l.forget(now)
	return l.last, true, nil
}

// forget drops leases that ended once there are too many. Whether a later one was granted of a name that was dropped
// is not known any more; SetLocked then refuses.
func (l *leases) forget(now time.Time) {
	if len(l.byName) <= max(l.sweepAt, minLeases) {
		return
	}
	for name, le := range l.byName {
		if !le.held(now) {
			l.forgotten = max(l.forgotten, le.fence)
			delete(l.byName, name)
		}
	}
	l.sweepAt = 2 * len(l.byName) // so that a sweep costs each Lock a constant
}

// Renew extends the lease of name to ttl from now if fence still holds it.
func (s *Store) Renew(ctx context.Context, name string, fence uint64, ttl time.Duration) (bool, error) {
	if _, err := s.open(ctx, "renew"); err != nil {
		return false, err
	}
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	le, known := l.byName[name]
	if !known || le.fence != fence || !le.held(now) {
		return false, nil
	}
	l.byName[name] = lease{fence: fence, until: until(now, ttl), ended: ttl <= 0}
	return true, nil
}

// Unlock gives the lease of name back if fence still holds it.
func (s *Store) Unlock(ctx context.Context, name string, fence uint64) error {
	if _, err := s.open(ctx, "unlock"); err != nil {
		return err
	}
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	if le, known := l.byName[name]; known && le.fence == fence {
		le.ended = true
		l.byName[name] = le
	}
	return nil
}

// SetLocked is Set unless a later lease of name than fence was granted.
func (s *Store) SetLocked(
	ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64,
) (bool, error) {
	c, err := s.open(ctx, "set locked")
	if err != nil {
		return false, err
	}
	l := &s.leases
	l.mu.Lock()
	defer l.mu.Unlock()
	le, known := l.byName[name]
	if known && le.fence > fence || !known && fence <= l.forgotten {
		return false, nil
	}
	if err := s.set(c, key, value, ttl); err != nil {
		return false, err
	}
	return true, nil
}
