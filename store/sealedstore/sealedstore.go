// Package sealedstore encrypts and authenticates what another store keeps, so that whoever can read or write that store
// can neither read values nor make one up.
//
//	s, err := sealedstore.New(inner, sealedstore.Config{
//		Namespace: "shop",
//		Keys:      []sealedstore.Key{{ID: 2, Secret: current}, {ID: 1, Secret: previous}},
//	})
//
// # What it protects
//
// A value is sealed with AES-GCM under its own key and the namespace: what was changed, moved to another key or taken
// from another namespace does not open and is not there, and is overwritten in time. Keys, sizes and times stay visible
// to the store. Whoever can write to it can still remove values, bring back an earlier value of the same key, and undo
// invalidations, whose numbers the store keeps: a store that does such things on purpose must not be used.
//
// Compress before you seal, if at all: package zstdstore outside, this one inside. The size of a value then tells how
// well it compresses, which matters where an attacker can put text beside a secret.
//
// # Changing the secret
//
// The first key seals; all of them open. To change the secret, give the new one to every process behind the old, then
// put it in front, then remove the old one when what it sealed has expired; what it sealed and has not is a miss.
//
// Nonces are random and have 96 bits. A secret must not seal more than 2^32 values, 50 days at 1000 a second: with more,
// the chance that two of them share a nonce exceeds one in four thousand million, and two that do give the secret of
// authenticity away. Change it before.
package sealedstore

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/internal/wrap"
)

// Config says how values are sealed.
type Config struct {
	_ [0]func()

	// Keys are the key ring: the first one seals, all of them open. Required.
	Keys []Key

	// Namespace keeps apart what shares a key ring: a value opens only in the namespace that it was sealed in.
	Namespace string
}

// Key is a secret with the number by which values name it.
type Key struct {
	ID     uint32 // any number that no other Key of the ring has or had
	Secret []byte // 16, 24 or 32 random bytes: AES-128, AES-192 or AES-256
}

// New returns a store that keeps sealed values in inner and has the capabilities of inner, but for [store.Local] and
// [store.Sequenced]. It reports every mistake in cfg at once.
func New(inner store.Store, cfg Config) (store.Store, error) {
	var errs []error
	if inner == nil {
		errs = append(errs, errors.New("sealedstore: the store is nil; give the one whose values are to be sealed"))
	}
	if len(cfg.Keys) == 0 {
		errs = append(errs, errors.New("sealedstore: Keys is empty; give one with 32 random bytes for its Secret"))
	}
	r := ring{namespace: cfg.Namespace, aeads: make(map[uint32]cipher.AEAD, len(cfg.Keys))}
	for i, key := range cfg.Keys {
		aead, err := newAEAD(key.Secret)
		if err != nil {
			errs = append(errs, fmt.Errorf("sealedstore: Keys: secret of %d: %w; give 16, 24 or 32 bytes", key.ID, err))
			continue
		}
		if _, ok := r.aeads[key.ID]; ok {
			errs = append(errs, fmt.Errorf("sealedstore: Keys has %d twice; give each an ID of its own", key.ID))
		}
		if r.aeads[key.ID] = aead; i == 0 {
			r.seals = key.ID
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return wrap.Store(inner, r, "sealedstore"), nil
}

func newAEAD(secret []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// ring is a wrap.Codec. What it makes is
//
//	0  magic   "\x93rs"
//	3  version 1
//	4  key     uint32, little-endian
//	8  nonce, sealed value, tag: as cipher.NewGCMWithRandomNonce writes them
type ring struct {
	namespace string
	aeads     map[uint32]cipher.AEAD
	seals     uint32
}

const (
	magic     = "\x93rs\x01"
	headerLen = len(magic) + 4
)

var (
	errForeign    = errors.New("not a sealed value")
	errUnknownKey = errors.New("sealed with a key that is not in the ring")
	errForged     = errors.New("a sealed value was changed, or belongs elsewhere")
)

// bound is what a sealed value belongs to: its header, namespace and key. The length keeps apart where one ends and the
// next begins.
func (r ring) bound(header []byte, key string) []byte {
	b := make([]byte, 0, len(header)+8+len(r.namespace)+len(key))
	b = append(b, header...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(r.namespace)))
	return append(append(b, r.namespace...), key...)
}

// Encode implements wrap.Codec.
func (r ring) Encode(key string, value []byte) ([]byte, error) {
	aead := r.aeads[r.seals]
	b := make([]byte, headerLen, headerLen+len(value)+aead.Overhead())
	copy(b, magic)
	binary.LittleEndian.PutUint32(b[len(magic):], r.seals)
	return aead.Seal(b, nil, value, r.bound(b, key)), nil //nolint:gosec // the AEAD makes its own nonce
}

// Decode implements wrap.Codec.
func (r ring) Decode(key string, kept []byte) ([]byte, error) {
	if len(kept) < headerLen || string(kept[:len(magic)]) != magic {
		return nil, errForeign
	}
	header, sealed := kept[:headerLen], kept[headerLen:]
	aead, ok := r.aeads[binary.LittleEndian.Uint32(header[len(magic):])]
	if !ok {
		return nil, errUnknownKey
	}
	value, err := aead.Open(nil, nil, sealed, r.bound(header, key))
	if err != nil {
		return nil, errForged
	}
	return value, nil
}
