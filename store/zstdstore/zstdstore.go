// Package zstdstore compresses what another store keeps.
//
//	s, err := zstdstore.New(inner, zstdstore.Config{})
//
// JSON and HTML shrink to a fourth at the cheapest level, at about 200 MB/s in and twice that out. Short values and those that
// do not shrink are kept as they are. A route whose responses carry a Content-Encoding gains nothing.
//
// The compressor is github.com/klauspost/compress, the best kept one in Go, without dependencies of its own.
package zstdstore

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/reprise-go/reprise/store"
	"github.com/reprise-go/reprise/store/internal/wrap"
)

// Config says what is compressed, and how.
type Config struct {
	_ [0]func()

	// Level is how hard it tries. 0 is zstd.SpeedFastest.
	Level zstd.EncoderLevel

	// MinBytes is the length of the shortest value that is compressed. 0 is 1 KiB.
	MinBytes int

	// MaxBytes is the length of the longest value: Set refuses a longer one with [store.ErrTooLarge], and what
	// would become longer when it is read is not there. So no value in the store, however made, takes more memory.
	// 0 is 16 MiB.
	MaxBytes int
}

// New returns a store that keeps compressed values in inner and has the capabilities of inner, but for [store.Local]
// and [store.Sequenced]. What was kept without it is not there. It reports every mistake in cfg at once.
func New(inner store.Store, cfg Config) (store.Store, error) {
	var errs []error
	if inner == nil {
		errs = append(errs, errors.New("zstdstore: the store is nil; give the one whose values are to be compressed"))
	}
	if cfg.Level == 0 {
		cfg.Level = zstd.SpeedFastest
	}
	if cfg.Level < zstd.SpeedFastest || cfg.Level > zstd.SpeedBestCompression {
		errs = append(errs, fmt.Errorf("zstdstore: Level %d is none; give one of package zstd, %d to %d", cfg.Level, zstd.SpeedFastest, zstd.SpeedBestCompression))
	}
	if cfg.MinBytes == 0 {
		cfg.MinBytes = 1 << 10
	}
	if cfg.MinBytes < 0 {
		errs = append(errs, fmt.Errorf("zstdstore: MinBytes %d is negative; 0 is 1 KiB", cfg.MinBytes))
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 16 << 20
	}
	if cfg.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("zstdstore: MaxBytes %d is negative; 0 is 16 MiB", cfg.MaxBytes))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	c := &codec{minBytes: cfg.MinBytes, maxBytes: cfg.MaxBytes}
	var err error
	// Neither starts a goroutine when it only works on whole values, so that there is nothing to close.
	if c.encoder, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(cfg.Level)); err != nil {
		return nil, fmt.Errorf("zstdstore: %w", err)
	}
	memory := max(cfg.MaxBytes, 2*zstd.MinWindowSize) // what a frame of a short value says that it takes
	c.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(uint64(memory)))
	if err != nil {
		return nil, fmt.Errorf("zstdstore: %w", err)
	}
	return wrap.Store(inner, c, "zstdstore"), nil
}

// codec is a wrap.Codec. Its first byte says what follows.
type codec struct {
	minBytes, maxBytes int
	encoder            *zstd.Encoder
	decoder            *zstd.Decoder
}

const (
	asIs       = 0
	compressed = 1
)

var (
	errForeign = errors.New("not a value of this store")
	errTooLong = errors.New("longer than MaxBytes")
)

// Encode implements wrap.Codec.
func (c *codec) Encode(_ string, value []byte) ([]byte, error) {
	if len(value) > c.maxBytes {
		return nil, fmt.Errorf("%w: %d bytes", store.ErrTooLarge, len(value))
	}
	if len(value) >= c.minBytes {
		b := append(make([]byte, 0, len(value)/2), compressed)
		// What saves less than an eighth is not worth the time of its readers.
		if b = c.encoder.EncodeAll(value, b); len(b) < len(value)-len(value)/8 {
			return b, nil
		}
	}
	return append(append(make([]byte, 0, 1+len(value)), asIs), value...), nil
}

// Decode implements wrap.Codec.
func (c *codec) Decode(_ string, kept []byte) ([]byte, error) {
	if len(kept) == 0 {
		return nil, errForeign
	}
	switch kept[0] {
	case asIs:
		return kept[1:], nil
	case compressed:
		value, err := c.decoder.DecodeAll(kept[1:], nil) // at most maxBytes, but for the smallest of them
		if err == nil && len(value) > c.maxBytes {
			return nil, errTooLong
		}
		return value, err
	default:
		return nil, errForeign
	}
}
