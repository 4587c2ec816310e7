package filestore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// leaseDir has a file for each lease, ended or not: its fence, its deadline in Unix nanoseconds and a CRC-32C of both.
const (
	leaseDir  = layout + "/leases"
	leaseSize = 20
)

// leaseAge is how long after its end a lease is forgotten. What its holder writes later is refused.
const leaseAge = int64(24 * time.Hour)

type lease struct {
	fence uint64
	until int64
}

func (l lease) held() bool { return l.until > time.Now().UnixNano() }

func leasePath(name string) string {
	i := idOf(name)
	return leaseDir + "/" + hex.EncodeToString(i[:])
}

// readLease returns the lease at path, the zero lease if there is none.
func (s *Store) readLease(path string) (lease, error) {
	f, err := openFile(s.root, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errBad) {
		return lease{}, nil
	}
	if err != nil {
		return lease{}, err
	}
	defer func() { _ = f.Close() }()
	var b [leaseSize]byte
	if _, err := io.ReadFull(f, b[:]); errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return lease{}, nil
	} else if err != nil {
		return lease{}, err
	}
	if binary.LittleEndian.Uint32(b[16:]) != checksum(b[:16]) {
		return lease{}, nil
	}
	return lease{
		fence: binary.LittleEndian.Uint64(b[:]),
		until: int64(binary.LittleEndian.Uint64(b[8:])), //nolint:gosec // as written
	}, nil
}

func (s *Store) writeLease(path string, l lease) error {
	b := binary.LittleEndian.AppendUint64(nil, l.fence)
	b = binary.LittleEndian.AppendUint64(b, uint64(l.until)) //nolint:gosec // as read
	b = binary.LittleEndian.AppendUint32(b, checksum(b))
	temp := leaseDir + "/" + tempPrefix + rand.Text()
	err := s.writeFile(temp, b)
	if err == nil {
		err = s.root.Rename(temp, path)
	}
	if err != nil {
		_ = s.root.Remove(temp)
	}
	return err
}

// leased runs fn on the lease of name while nobody else changes it.
func (s *Store) leased(ctx context.Context, op, name string, fn func(f *os.File, path string, l lease) error) error {
	if err := s.begin(ctx); err != nil {
		return failed(op, err)
	}
	defer s.end()
	return failed(op, s.shared.do(ctx, true, func(f *os.File) error {
		path := leasePath(name)
		l, err := s.readLease(path)
		if err != nil {
			return err
		}
		return fn(f, path, l)
	}))
}

// Lock takes the lease of name for ttl.
func (s *Store) Lock(ctx context.Context, name string, ttl time.Duration) (fence uint64, ok bool, err error) {
	err = s.leased(ctx, "lock", name, func(f *os.File, path string, l lease) error {
		if ttl <= 0 || l.held() {
			return nil
		}
		last, err := uint64At(f, 24)
		if err != nil {
			return err
		}
		fence = max(last, l.fence) + 1
		if err := putUint64At(f, 24, fence); err != nil {
			return err
		}
		if err := s.writeLease(path, lease{fence, deadline(time.Now(), ttl)}); err != nil {
			return err
		}
		ok = true
		return nil
	})
	if !ok {
		fence = 0
	}
	return fence, ok, err
}

// Renew extends the lease of name to ttl from now if fence still holds it.
func (s *Store) Renew(ctx context.Context, name string, fence uint64, ttl time.Duration) (ok bool, err error) {
	err = s.leased(ctx, "renew", name, func(_ *os.File, path string, l lease) error {
		if l.fence != fence || !l.held() {
			return nil
		}
		until := int64(0)
		if ttl > 0 {
			until = deadline(time.Now(), ttl)
		}
		if err := s.writeLease(path, lease{fence, until}); err != nil {
			return err
		}
		ok = true
		return nil
	})
	return ok, err
}

// Unlock gives the lease of name back if fence still holds it.
func (s *Store) Unlock(ctx context.Context, name string, fence uint64) error {
	return s.leased(ctx, "unlock", name, func(_ *os.File, path string, l lease) error {
		if l.fence != fence || !l.held() {
			return nil
		}
		return s.writeLease(path, lease{fence, time.Now().UnixNano()})
	})
}

// SetLocked is Set unless a later lease of name than fence was granted.
func (s *Store) SetLocked(
	ctx context.Context, key string, value []byte, ttl time.Duration, name string, fence uint64,
) (ok bool, err error) {
	if err := s.begin(ctx); err != nil {
		return false, failed("set locked", err)
	}
	defer s.end()
	w, err := s.write(key, value, ttl) // not under the lock, which all processes wait for
	if err != nil {
		return false, failed("set locked", err)
	}
	err = s.shared.do(ctx, true, func(*os.File) error {
		l, err := s.readLease(leasePath(name))
		if err != nil {
			return err
		}
		if l.fence == 0 || l.fence > fence {
			return nil
		}
		ok = true
		return w.commit()
	})
	if !ok {
		w.abandon()
	}
	return ok && err == nil, failed("set locked", err)
}

// scanLeases removes leases that ended long ago, and what crashes left.
func (s *Store) scanLeases() {
	names, _ := s.names(leaseDir)
	for _, name := range names {
		path := leaseDir + "/" + name
		old := func() bool {
			l, err := s.readLease(path)
			return err == nil && l.until < time.Now().UnixNano()-leaseAge
		}
		switch {
		case s.isClosed():
			return
		case strings.HasPrefix(name, tempPrefix):
			s.removeOldTemp(path)
		case old():
			_ = s.shared.do(context.Background(), true, func(*os.File) error {
				if !old() {
					return nil
				}
				return s.root.Remove(path)
			})
		}
	}
}
