package reprise

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"fmt"
)

// Codec turns values into bytes for stores outside the process. It is safe for concurrent use. What does not decode is
// computed anew, so a codec may change.
type Codec interface {
	// Append appends the encoding of v to dst and returns the result.
	Append(dst []byte, v any) ([]byte, error)
	// Decode sets what v points to from src, which it neither keeps nor changes.
	Decode(src []byte, v any) error
}

// The codecs of this package: JSON by encoding/json, Gob by encoding/gob, neither of which knows unexported fields, and
// Bytes for []byte and string alone.
var (
	JSON  Codec = jsonCodec{}
	Gob   Codec = gobCodec{}
	Bytes Codec = bytesCodec{}
)

type jsonCodec struct{}

func (jsonCodec) Append(dst []byte, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return dst, fmt.Errorf("reprise: JSON: %w", err)
	}
	return append(dst, b...), nil
}

func (jsonCodec) Decode(src []byte, v any) error {
	if err := json.Unmarshal(src, v); err != nil {
		return fmt.Errorf("reprise: JSON: %w", err)
	}
	return nil
}

type gobCodec struct{}

func (gobCodec) Append(dst []byte, v any) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	if err := gob.NewEncoder(b).Encode(v); err != nil {
		return dst, fmt.Errorf("reprise: Gob: %w", err)
	}
	return b.Bytes(), nil
}

func (gobCodec) Decode(src []byte, v any) error {
	if err := gob.NewDecoder(bytes.NewReader(src)).Decode(v); err != nil {
		return fmt.Errorf("reprise: Gob: %w", err)
	}
	return nil
}

type bytesCodec struct{}

func (bytesCodec) Append(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return append(dst, v...), nil
	case string:
		return append(dst, v...), nil
	}
	return dst, fmt.Errorf("reprise: Bytes: %T is neither []byte nor string", v)
}

func (bytesCodec) Decode(src []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = bytes.Clone(src)
		if *v == nil {
			*v = []byte{}
		}
		return nil
	case *string:
		*v = string(src)
		return nil
	}
	return fmt.Errorf("reprise: Bytes: %T is neither *[]byte nor *string", v)
}
