package dynamostore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/reprise-go/reprise/store"
)

// What follows the prefix says what an item is. No prefix has one of these bytes, so that the keys of two stores whose
// prefixes differ are never equal.
const (
	plainMark       = "|" // a value, under its own key
	hashedMark      = "#" // a value, under the hash of its key
	pieceMark       = "+" // a piece of a value
	controlMark     = "!" // the sequence
	leaseMark       = "=" // a lease, under its own name
	hashedLeaseMark = "~" // a lease, under the hash of its name
)

type item = map[string]types.AttributeValue

// maxKey is the length of the longest partition key.
const maxKey = 2048

func (s *Store) dataKey(key string) string   { return s.safeKey(plainMark, hashedMark, key) }
func (s *Store) leaseKey(name string) string { return s.safeKey(leaseMark, hashedLeaseMark, name) }

// safeKey returns the partition key of text. What is too long, or no plain text, stands there as its SHA-256.
func (s *Store) safeKey(plainMark, hashedMark, text string) string {
	if len(s.cfg.Prefix)+1+len(text) <= maxKey && plain(text, isKeyByte) {
		return s.cfg.Prefix + plainMark + text
	}
	sum := sha256.Sum256([]byte(text))
	return s.cfg.Prefix + hashedMark + base64.RawURLEncoding.EncodeToString(sum[:])
}

func (s *Store) keyOf(pk string) item { return item{s.cfg.KeyAttribute: text(pk)} }

func (s *Store) pkOf(it item) string {
	v, ok := it[s.cfg.KeyAttribute].(*types.AttributeValueMemberS)
	if !ok {
		return ""
	}
	return v.Value
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func blob(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }
func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func unsigned(n uint64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatUint(n, 10)}
}

func unsignedOf(v types.AttributeValue) (uint64, bool) {
	n, ok := v.(*types.AttributeValueMemberN)
	if !ok {
		return 0, false
	}
	u, err := strconv.ParseUint(n.Value, 10, 64)
	return u, err == nil
}

// until returns the item's moments for a ttl: what the store compares with, and what DynamoDB removes by. The latter
// comes later, so that it never decides.
func (s *Store) until(now time.Time, ttl time.Duration) (item, error) {
	if ttl <= 0 {
		return nil, fmt.Errorf("ttl %v is not positive", ttl)
	}
	if ttl == store.Forever {
		return item{}, nil
	}
	ms := now.UnixMilli() + int64((ttl-1)/time.Millisecond) + 1
	return item{expiresAttribute: number(ms), s.cfg.TTLAttribute: number(ms/1000 + janitorSlack)}, nil
}

// janitorSlack is how much later than a value expires DynamoDB may remove it, in seconds: more than clocks differ.
const janitorSlack = 60 * 60

// expired reports whether it has expired. An item without a moment does not expire, one with a strange one has.
func expired(it item, now time.Time) bool {
	x, ok := it[expiresAttribute]
	if !ok {
		return false
	}
	n, ok := x.(*types.AttributeValueMemberN)
	if !ok {
		return true
	}
	ms, err := strconv.ParseInt(n.Value, 10, 64)
	return err != nil || ms <= now.UnixMilli()
}

// A value that exceeds pieceBytes is cut into pieces, items of their own under a number that no other write has, and
// its item holds a manifest. It is written after the pieces and replaces what was there in one step; a reader that
// holds a manifest finds the pieces of that very write, or misses one: then the value is gone. So a value is never put
// together from two writes. Whoever replaces or removes a manifest removes its pieces.
type manifest struct {
	write [16]byte // names the write
	size  int      // of the value
	sum   uint32   // of the value
}

const (
	// pieceBytes leaves room for the key and the other attributes below DynamoDB's 400 KB an item.
	pieceBytes  = 350 << 10
	manifestLen = 1 + 16 + 8 + 4
)

// checksum is CRC-32C. MakeTable returns the one table of the standard library and makes none.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (m manifest) encode() []byte {
	b := append(make([]byte, 0, manifestLen), 1)
	b = append(b, m.write[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(m.size)) //nolint:gosec // not negative
	return binary.LittleEndian.AppendUint32(b, m.sum)
}

func decodeManifest(b []byte) (manifest, bool) {
	if len(b) != manifestLen || b[0] != 1 {
		return manifest{}, false
	}
	size := binary.LittleEndian.Uint64(b[17:])
	if size <= pieceBytes || size > math.MaxInt32 {
		return manifest{}, false
	}
	return manifest{[16]byte(b[1:17]), int(size), binary.LittleEndian.Uint32(b[25:])}, true
}

// pieceKeys returns the partition keys of the pieces.
func (s *Store) pieceKeys(m manifest) []string {
	name := s.cfg.Prefix + pieceMark + base64.RawURLEncoding.EncodeToString(m.write[:]) + "."
	keys := make([]string, (m.size+pieceBytes-1)/pieceBytes)
	for i := range keys {
		keys[i] = name + strconv.Itoa(i)
	}
	return keys
}

func (m manifest) join(pieces [][]byte) ([]byte, bool) {
	value := make([]byte, 0, m.size)
	for _, p := range pieces {
		if len(p) > m.size-len(value) {
			return nil, false
		}
		value = append(value, p...)
	}
	return value, len(value) == m.size && checksum(value) == m.sum
}
