package filestore

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"github.com/reprise-go/reprise/store"
)

// An entry's file is a head of headSize bytes, the key and the value. Numbers are little-endian.
//
//	 0  4  magic
//	 4  4  CRC-32C of the head from byte 8 on and of the key
//	 8  8  deadline in Unix nanoseconds, math.MaxInt64 for never
//	16  8  length of the value
//	24  4  CRC-32C of the value
//	28  2  length of the key
//	30  2  0
const (
	magic    = "rpf1"
	headSize = 32
)

// blockSize is what disks hand out; a file counts for whole blocks.
const blockSize = 4096

func blocks(n int64) int64 { return (n + blockSize - 1) / blockSize * blockSize }

// checksum is the CRC-32C of b.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Reasons for which a file is no entry. None leaves the package: the key holds nothing.
var (
	errBad     = errors.New("not an entry")
	errExpired = errors.New("expired")
)

// id is a hash of a key, and names its file.
type id [16]byte

func idOf(key string) id {
	sum := sha256.Sum256([]byte(key))
	return id(sum[:16])
}

func (i id) dir() string  { return layout + "/" + hex.EncodeToString(i[:1]) }
func (i id) path() string { return i.dir() + "/" + hex.EncodeToString(i[1:]) }

// idAt is the id of the file name in the directory dir; ok is false if no entry has that name.
func idAt(dir byte, name string) (i id, ok bool) {
	i[0] = dir
	n, err := hex.Decode(i[1:], []byte(name[:min(len(name), 2*len(i))]))
	return i, err == nil && n == len(i)-1 && len(name) == 2*n && hex.EncodeToString(i[1:]) == name
}

// head is the decoded beginning of a file.
type head struct {
	expires  int64
	valueLen int64
	valueCRC uint32
	key      string
}

func (h head) size() int64 { return headSize + int64(len(h.key)) + h.valueLen }

// deadline is when what is set now for ttl expires.
func deadline(now time.Time, ttl time.Duration) int64 {
	n := now.UnixNano()
	if int64(ttl) > math.MaxInt64-n {
		return math.MaxInt64
	}
	return n + int64(ttl)
}

func expired(at int64) bool { return at != math.MaxInt64 && at <= time.Now().UnixNano() }

// appendHead appends the head and the key of an entry.
func appendHead(b []byte, key string, value []byte, expires int64) []byte {
	b = append(b, magic...)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(expires)) //nolint:gosec // not negative
	b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	b = binary.LittleEndian.AppendUint32(b, checksum(value))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(key))) //nolint:gosec // at most store.MaxKey
	b = append(b, 0, 0)
	b = append(b, key...)
	binary.LittleEndian.PutUint32(b[4:], checksum(b[8:]))
	return b
}

// parseHead decodes what b, the beginning of a file of size bytes, says. It allocates no more than the key.
func parseHead(b []byte, size int64) (head, error) {
	if len(b) < headSize || string(b[:4]) != magic || b[30] != 0 || b[31] != 0 {
		return head{}, errBad
	}
	keyLen := int(binary.LittleEndian.Uint16(b[28:]))
	valueLen := binary.LittleEndian.Uint64(b[16:])
	if keyLen == 0 || keyLen > store.MaxKey || len(b) < headSize+keyLen {
		return head{}, errBad
	}
	if valueLen != uint64(size)-headSize-uint64(keyLen) { //nolint:gosec // size is at least len(b)
		return head{}, errBad
	}
	if binary.LittleEndian.Uint32(b[4:]) != checksum(b[8:headSize+keyLen]) {
		return head{}, errBad
	}
	h := head{
		expires:  int64(binary.LittleEndian.Uint64(b[8:])), //nolint:gosec // what becomes negative has expired
		valueLen: int64(valueLen),                          //nolint:gosec // less than size
		valueCRC: binary.LittleEndian.Uint32(b[24:]),
		key:      string(b[headSize : headSize+keyLen]),
	}
	if expired(h.expires) {
		return head{}, errExpired
	}
	return h, nil
}

// readHead reads the head of the entry at i.
func readHead(root *os.Root, i id) (head, error) {
	f, err := openFile(root, i.path())
	if err != nil {
		return head{}, err
	}
	defer func() { _ = f.Close() }()
	size, err := fileSize(f)
	if err != nil {
		return head{}, err
	}
	h, err := headOf(f, size)
	if err == nil && idOf(h.key) != i {
		return head{}, errBad
	}
	return h, err
}

// headOf reads the head of f, of size bytes.
func headOf(f *os.File, size int64) (head, error) {
	b := make([]byte, headSize+store.MaxKey)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return head{}, err
	}
	return parseHead(b[:n], size)
}

// trusted is the size up to which memory for a file is allocated before its head was checked.
const trusted = 64 << 10

// readEntry reads the entry at i, of at most limit bytes, with its value.
func readEntry(root *os.Root, i id, limit int64) (head, []byte, error) {
	f, err := openFile(root, i.path())
	if err != nil {
		return head{}, nil, err
	}
	defer func() { _ = f.Close() }()
	size, err := fileSize(f)
	if err != nil {
		return head{}, nil, err
	}
	if size < headSize || size > limit {
		return head{}, nil, errBad
	}
	if size > trusted {
		if _, err := headOf(f, size); err != nil {
			return head{}, nil, err
		}
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); errors.Is(err, io.EOF) {
		return head{}, nil, errBad
	} else if err != nil {
		return head{}, nil, err
	}
	return parseEntry(b, i)
}

// parseEntry decodes b, the whole file of i. The value is a part of b.
func parseEntry(b []byte, i id) (head, []byte, error) {
	h, err := parseHead(b, int64(len(b)))
	if err != nil {
		return head{}, nil, err
	}
	value := b[headSize+len(h.key) : len(b) : len(b)]
	if idOf(h.key) != i || checksum(value) != h.valueCRC {
		return head{}, nil, errBad
	}
	return h, value, nil
}

// openFile opens what is at path to read it. What cannot be opened for being no file, but a link that leads out or nowhere, is errBad
// and no failure, which would happen again at each look.
func openFile(root *os.Root, path string) (*os.File, error) {
	f, err := root.OpenFile(path, os.O_RDONLY|withoutWaiting, 0)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if info, infoErr := root.Lstat(path); infoErr == nil && !info.Mode().IsRegular() {
		return nil, errBad
	}
	return nil, err
}

func fileSize(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s: %w", info.Name(), errBad)
	}
	return info.Size(), nil
}
