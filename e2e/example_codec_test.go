package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/reprise-go/reprise"
	"github.com/reprise-go/reprise/store/filestore"
)

// cborCodec encodes values as CBOR (RFC 8949). Unlike JSON it has bytes as they are, where JSON has base64, and knows NaN
// and the infinities.
type cborCodec struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

func newCBOR() (cborCodec, error) {
	enc, err := cbor.EncOptions{Time: cbor.TimeRFC3339Nano}.UserBufferEncMode()
	if err != nil {
		return cborCodec{}, err
	}
	// What is in a store is bounded by the store; how deep it nests and how long its lists are, is bounded here.
	dec, err := cbor.DecOptions{MaxNestedLevels: 32, MaxArrayElements: 1 << 16, MaxMapPairs: 1 << 16}.DecMode()
	return cborCodec{enc, dec}, err
}

// Append implements reprise.Codec.
func (c cborCodec) Append(dst []byte, v any) ([]byte, error) {
	buf := bytes.NewBuffer(dst)
	err := c.enc.MarshalToBuffer(v, buf)
	return buf.Bytes(), err
}

// Decode implements reprise.Codec.
func (c cborCodec) Decode(src []byte, v any) error { return c.dec.Unmarshal(src, v) }

type cover struct {
	Title  string    `cbor:"1,keyasint"`
	Image  []byte    `cbor:"2,keyasint"`
	Bought time.Time `cbor:"3,keyasint"`
}

// A codec of one's own.
func Example_cbor() {
	dir, err := os.MkdirTemp("", "covers")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	covers := 0
	// Each time as another process that opens the same directory.
	for range 2 {
		s, err := filestore.Open(dir, filestore.Config{})
		if err != nil {
			panic(err)
		}
		codec, err := newCBOR()
		if err != nil {
			panic(err)
		}
		cache := reprise.Must(reprise.New(reprise.Config{Store: s, Codec: codec}))
		coverOf := reprise.Memoize(cache, "cover.cbor", func(_ context.Context, id int) (cover, error) {
			covers++
			bought := time.Date(2024, 2, 29, 12, 0, 0, 123456789, time.UTC)
			return cover{"Solaris", []byte{0xff, 0xd8, 0xff}, bought}, nil
		})
		c, err := coverOf(context.Background(), 3)
		fmt.Printf("%s % x %s, %v\n", c.Title, c.Image, c.Bought.Format(time.RFC3339Nano), err)
		if err := cache.Close(); err != nil { // waits for what is being written
			panic(err)
		}
		if err := s.Close(); err != nil {
			panic(err)
		}
	}
	fmt.Println("runs:", covers)
	// Output:
	// Solaris ff d8 ff 2024-02-29T12:00:00.123456789Z, <nil>
	// Solaris ff d8 ff 2024-02-29T12:00:00.123456789Z, <nil>
	// runs: 1
}
