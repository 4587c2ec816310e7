package memcachedstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// A lease is one item, which holds its fence and is changed by CAS alone. The item outlives the lease by a day, so that
// the next fence is larger by one; the lease is held while more than that day is left, by the server's clock. No clock
// of a client takes part.
//
// An item that is gone, by eviction or a restart, has taken its fence along. The next one is then made of the time in
// microseconds: larger than all before, as long as the clocks of the processes differ by less than the time since the
// last lease, and as no name is leased more often than a thousand times per microsecond. A wrong clock cannot let a
// former holder write: SetLocked asks for the fence that the item holds, not for a larger one.

// retained is how long a lease that has ended is remembered, in seconds.
const retained = 24 * 60 * 60

// Lock implements [store.Locker]. The ttl is at most 28 days; it is rounded up as that of Set is.
func (s *Store) Lock(ctx context.Context, name string, ttl time.Duration) (fence uint64, ok bool, err error) {
	secs, err := leaseSeconds(ttl)
	if err != nil {
		return 0, false, s.wrap("lock", err)
	}
	for range rounds {
		l, err := s.lease(ctx, name)
		if err != nil {
			return 0, false, s.wrap("lock", err)
		}
		if l.left > 0 {
			return 0, false, nil
		}
		if l.fence++; l.fence == 1 {
			l.fence = firstFence(time.Now())
		}
		if ok, err := s.putLease(ctx, l, secs); err != nil || ok {
			return l.fence, ok, s.wrap("lock", err)
		}
	}
	return 0, false, s.wrap("lock", errBusy)
}

// Renew implements [store.Locker].
func (s *Store) Renew(ctx context.Context, name string, fence uint64, ttl time.Duration) (bool, error) {
	secs, err := leaseSeconds(ttl)
	if err != nil {
		return false, s.wrap("renew", err)
	}
	ok, err := s.changeLease(ctx, name, fence, secs)
	return ok, s.wrap("renew", err)
}

// Unlock implements [store.Locker].
func (s *Store) Unlock(ctx context.Context, name string, fence uint64) error {
	_, err := s.changeLease(ctx, name, fence, 0)
	return s.wrap("unlock", err)
}

// changeLease gives the lease of name secs from now if fence holds it.
func (s *Store) changeLease(ctx context.Context, name string, fence uint64, secs int64) (bool, error) {
	for range rounds {
		l, err := s.lease(ctx, name)
		if err != nil || l.fence != fence || l.left <= 0 {
			return false, err
		}
		if ok, err := s.putLease(ctx, l, secs); err != nil || ok {
			return ok, err
		}
	}
	return false, errBusy
}

// writeWindow is how long a lease must last for a write to begin, in seconds; writeTimeout ends the write before that.
const (
	writeWindow  = 4
	writeTimeout = 2 * time.Second
)

// SetLocked implements [store.Locker]. Memcached has no step that covers two items. Instead, the lease is made to last
// until the write must have ended, so that no later one can be granted before; and the write is conditional on the item
// that was there before the lease was read, so that one which the network delivers too late cannot replace what a
// later holder wrote. It takes three round trips, and up to three more where the lease was about to end.
func (s *Store) SetLocked(ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64) (bool, error) {
	item, err := s.item(ctx, key, value, ttl)
	if err != nil {
		return false, s.wrap("set locked", err)
	}
	for range rounds {
		found, err := s.do(ctx, []meta.Command{{Op: meta.Peek, Key: item.Key}})
		if err != nil {
			return false, s.wrap("set locked", err)
		}
		l, err := s.lease(ctx, name)
		if err != nil || l.fence != fence {
			return false, s.wrap("set locked", err)
		}
		left := max(l.left, 0)
		if left < writeWindow {
			if ok, err := s.putLease(ctx, l, writeWindow); err != nil {
				return false, s.wrap("set locked", err)
			} else if !ok {
				continue
			}
		}
		item.CAS, item.Absent = found[0].CAS, found[0].Status != meta.OK
		written, err := s.writeInTime(ctx, item)
		if left < writeWindow && err == nil {
			_, err = s.restoreLease(ctx, name, fence, left)
		}
		if err != nil || written {
			return written, s.wrap("set locked", err)
		}
	}
	return false, s.wrap("set locked", errBusy)
}

func (s *Store) writeInTime(ctx context.Context, item meta.Command) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	replies, err := s.do(ctx, []meta.Command{item})
	return err == nil && replies[0].Status == meta.OK, err
}

// restoreLease ends what SetLocked has added to a lease.
func (s *Store) restoreLease(ctx context.Context, name string, fence uint64, left int64) (bool, error) {
	return s.changeLease(ctx, name, fence, left)
}

// lease is what the item of a name says.
type lease struct {
	key   string
	fence uint64 // 0: none that is known
	left  int64  // seconds; 0 or less: free
	cas   uint64 // 0: there is no item
}

func (s *Store) lease(ctx context.Context, name string) (lease, error) {
	l := lease{key: s.safeKey(leaseMark, hashedLeaseMark, name)}
	replies, err := s.do(ctx, []meta.Command{{Op: meta.Inspect, Key: l.key}})
	if err != nil {
		return lease{}, err
	}
	if r := replies[0]; r.Status == meta.OK {
		l.cas = r.CAS
		if n, ok := number(r); ok {
			l.fence, l.left = n, r.TTL-retained
		}
	}
	return l, nil
}

// putLease writes l so that the lease lasts for secs, unless the item has changed.
func (s *Store) putLease(ctx context.Context, l lease, secs int64) (bool, error) {
	replies, err := s.do(ctx, []meta.Command{{
		Op: meta.Set, Key: l.key, Value: strconv.AppendUint(nil, l.fence, 10),
		Absent: l.cas == 0, CAS: l.cas, TTL: secs + retained,
	}})
	return err == nil && replies[0].Status == meta.OK, err
}

func leaseSeconds(ttl time.Duration) (int64, error) {
	const most = 28 * 24 * time.Hour
	if ttl > most {
		return 0, fmt.Errorf("ttl %v is above %v", ttl, most)
	}
	return seconds(ttl, time.Time{})
}

// firstFence returns the fence of a name whose earlier leases are not known.
func firstFence(now time.Time) uint64 {
	var b [2]byte
	_, _ = rand.Read(b[:]) // it never fails
	return uint64(now.UnixMicro())<<10 | uint64(binary.LittleEndian.Uint16(b[:])&1023)
}
