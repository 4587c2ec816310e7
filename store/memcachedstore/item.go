package memcachedstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"time"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/memcachedstore/internal/meta"
)

// What follows the prefix says what a key is for. No prefix has one of these bytes, so that the keys of two stores
// whose prefixes differ are never equal.
const (
	plainMark       = "|" // a value, under its own key
	hashedMark      = "#" // a value, under the hash of its key
	pieceMark       = "+" // a piece of a value
	controlMark     = "@" // the sequence
	leaseMark       = "=" // a lease, under its own name
	hashedLeaseMark = "~" // a lease, under the hash of its name
)

// dataKey returns the key of the item that holds the value at key. A key that Memcached would not take stands there
// as its SHA-256.
func (s *Store) dataKey(key string) string { return s.safeKey(plainMark, hashedMark, key) }

func (s *Store) safeKey(plain, hashed, key string) string {
	if len(s.cfg.Prefix)+len(plain)+len(key) <= meta.MaxKey && key != "" {
		odd := false
		for i := range len(key) {
			odd = odd || key[i] <= ' ' || key[i] > '~'
		}
		if !odd {
			return s.cfg.Prefix + plain + key
		}
	}
	sum := sha256.Sum256([]byte(key))
	return s.cfg.Prefix + hashed + base64.RawURLEncoding.EncodeToString(sum[:])
}

// seconds returns ttl as Memcached counts it. Its clock ticks once a second, so that an item set for n seconds lives
// between n-1 and n: one is added. Beyond 30 days it wants Unix time, in 32 bits; what would end later does not end.
func seconds(ttl time.Duration, now time.Time) (int64, error) {
	if ttl <= 0 {
		return 0, fmt.Errorf("ttl %v is not positive", ttl)
	}
	if ttl == store.Forever {
		return 0, nil
	}
	n := int64((ttl-1)/time.Second) + 2
	if n <= maxRelative {
		return n, nil
	}
	if n += now.Unix(); n > math.MaxInt32 {
		return 0, nil
	}
	return n, nil
}

const maxRelative = 30 * 24 * 60 * 60

// Flags of items that hold values. Another program's items have others, or fail the checks of a record.
const (
	wholeItem = 0
	cutItem   = 1 // the value is a manifest
)

// A value that exceeds ItemBytes is cut into pieces, which are kept under a number that no other write has, and a
// manifest takes the value's place. The manifest is written last and replaces what was there in one step; a reader
// that holds a manifest finds the pieces of that very write, or misses one: then the value is gone. So a value is
// never put together from two writes. The checksum is for what a server or the network does to a piece.
type manifest struct {
	write [16]byte // names the write
	size  int      // of the value
	piece int      // of each piece but the last: the writer's ItemBytes need not be the reader's
	sum   uint32   // of the value
}

const manifestLen = 1 + 16 + 8 + 8 + 4

// checksum is CRC-32C. MakeTable returns the one table of the standard library and makes none.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (m manifest) encode() []byte {
	b := append(make([]byte, 0, manifestLen), 1)
	b = append(b, m.write[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.size))  //nolint:gosec // not negative
	b = binary.LittleEndian.AppendUint64(b, uint64(m.piece)) //nolint:gosec // not negative
	return binary.LittleEndian.AppendUint32(b, m.sum)
}

func (s *Store) decodeManifest(b []byte) (manifest, bool) {
	if len(b) != manifestLen || b[0] != 1 {
		return manifest{}, false
	}
	size, piece := binary.LittleEndian.Uint64(b[17:]), binary.LittleEndian.Uint64(b[25:])
	most := uint64(s.cfg.MaxValueBytes) //nolint:gosec // not negative
	if size > most || piece < minItemBytes || piece >= size {
		return manifest{}, false
	}
	return manifest{[16]byte(b[1:17]), int(size), int(piece), binary.LittleEndian.Uint32(b[33:])}, true //nolint:gosec // at most MaxValueBytes
}

// pieces returns a command for each piece of value, which is stored or read into.
func (s *Store) pieces(op meta.Op, m manifest, value []byte, ttl int64) []meta.Command {
	cmds := make([]meta.Command, 0, len(value)/m.piece+1)
	name := s.cfg.Prefix + pieceMark + base64.RawURLEncoding.EncodeToString(m.write[:]) + "."
	for n := 0; len(value) > 0; n++ {
		piece := value[:min(len(value), m.piece)]
		value = value[len(piece):]
		c := meta.Command{Op: op, Key: name + strconv.Itoa(n)}
		if op == meta.Set {
			c.Value, c.TTL = piece, ttl
		} else {
			c.Into = piece
		}
		cmds = append(cmds, c)
	}
	return cmds
}

// item returns the command that stores value at key, after it has stored the pieces if there are any.
func (s *Store) item(ctx context.Context, key string, value []byte, ttl time.Duration) (meta.Command, error) {
	if len(value) > s.cfg.MaxValueBytes {
		return meta.Command{}, fmt.Errorf("%w: %d bytes", store.ErrTooLarge, len(value))
	}
	secs, err := seconds(ttl, time.Now())
	if err != nil {
		return meta.Command{}, err
	}
	item := meta.Command{Op: meta.Set, Key: s.dataKey(key), Value: value, Flags: wholeItem, TTL: secs}
	if len(value) <= s.cfg.ItemBytes {
		return item, nil
	}
	m := manifest{size: len(value), piece: s.cfg.ItemBytes, sum: checksum(value)}
	_, _ = rand.Read(m.write[:]) // it never fails
	if _, err := s.do(ctx, s.pieces(meta.Set, m, value, secs)); err != nil {
		return meta.Command{}, err
	}
	item.Value, item.Flags = m.encode(), cutItem
	return item, nil
}

// value returns the value that r, the reply to a Get of a data key, stands for.
func (s *Store) value(ctx context.Context, r meta.Reply) ([]byte, error) {
	if r.Status != meta.OK {
		return nil, store.ErrNotFound
	}
	switch r.Flags {
	case wholeItem:
		return r.Value, nil
	case cutItem:
	default:
		return nil, store.ErrNotFound
	}
	m, ok := s.decodeManifest(r.Value)
	if !ok {
		return nil, store.ErrNotFound
	}
	value := make([]byte, m.size)
	replies, err := s.do(ctx, s.pieces(meta.Get, m, value, 0))
	if err != nil {
		return nil, err
	}
	for _, r := range replies {
		if r.Status != meta.OK {
			return nil, errTorn
		}
	}
	// A piece that is longer was not read into value, and one that is shorter does not fill its place.
	if checksum(value) != m.sum {
		return nil, errTorn
	}
	return value, nil
}

var errTorn = fmt.Errorf("%w: a piece of the value is gone", store.ErrNotFound)

// errBusy ends loops that others keep from coming to an end.
var errBusy = errors.New("too many others change the same item")
