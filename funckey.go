package reprise

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A function's key reads
//
//	reprise:shop|~f:product|~i:42            an int
//	reprise:shop|~f:search|~s:9d1c4a07|shoes|~i:2   a struct of a string and an int
//	reprise:shop|~f:search|~k|shoes          made by KeyBy
//
// A struct or array is the list of what it is made of, which has the same length for all values of a type. The digest in
// front is of the names and kinds of the fields: when a program changes what its argument means, old answers are not
// taken for new ones.
const (
	partFloat = "~d:"
	partTime  = "~m:"
	partHex   = "~x:"
	partShape = "~s:"
)

// keyWriter adds a value to a key. Writers are put together once, from the type; to run one allocates nothing.
type keyWriter func(b *KeyBuilder, v reflect.Value)

// shortWriter returns what newKeyWriter does for K, without reflection; nil unless K is one of the commonest types.
func shortWriter[K any]() func(b []byte, key K) []byte {
	var w any
	switch reflect.TypeFor[K]() {
	case reflect.TypeFor[string]():
		w = func(b []byte, key string) []byte { return appendEscaped(append(b, '|'), key) }
	case reflect.TypeFor[int]():
		w = func(b []byte, key int) []byte { return strconv.AppendInt(append(b, "|"+partInt...), int64(key), 10) }
	case reflect.TypeFor[int64]():
		w = func(b []byte, key int64) []byte { return strconv.AppendInt(append(b, "|"+partInt...), key, 10) }
	}
	short, _ := w.(func([]byte, K) []byte)
	return short
}

// typeFault says which part of a type can be no key.
type typeFault struct{ path, reason string }

func (f *typeFault) Error() string { return f.path + ": " + f.reason }

var timeType = reflect.TypeFor[time.Time]() //nolint:gochecknoglobals // a constant, were there such constants

// newKeyWriter returns the writer for values of t and the shape of t, which is empty unless t is made of parts. path is
// how a fault names t.
func newKeyWriter(t reflect.Type, path string, exported bool) (w keyWriter, shape string, err error) {
	switch t.Kind() {
	case reflect.String:
		return writeString, "", nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return writeInt, "", nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return writeUint, "", nil
	case reflect.Float32, reflect.Float64:
		return writeFloat, "", nil
	case reflect.Complex64, reflect.Complex128:
		return writeComplex, "", nil
	case reflect.Bool:
		return writeBool, "", nil
	case reflect.Array:
		return newArrayWriter(t, path, exported)
	case reflect.Struct:
		if t == timeType {
			if !exported {
				return nil, "", &typeFault{path, "a time in an unexported field cannot be read; export the field"}
			}
			return writeTime, "", nil
		}
		return newStructWriter(t, path, exported)
	}
	return nil, "", &typeFault{path, fmt.Sprintf("a %s is no part of a key", t)}
}

func newArrayWriter(t reflect.Type, path string, exported bool) (keyWriter, string, error) {
	if t.Elem().Kind() == reflect.Uint8 {
		return writeBytes, fmt.Sprintf("[%d]byte", t.Len()), nil
	}
	elem, shape, err := newKeyWriter(t.Elem(), path+"[]", exported)
	if err != nil {
		return nil, "", err
	}
	n := t.Len()
	return func(b *KeyBuilder, v reflect.Value) {
		for i := range n {
			elem(b, v.Index(i))
		}
	}, fmt.Sprintf("[%d]%s%s", n, t.Elem().Kind(), shape), nil
}

func newStructWriter(t reflect.Type, path string, exported bool) (keyWriter, string, error) {
	type field struct {
		index int
		write keyWriter
	}
	var fields []field
	var errs []error
	var shape strings.Builder
	shape.WriteByte('{')
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue // it holds nothing
		}
		w, s, err := newKeyWriter(f.Type, path+"."+f.Name, exported && f.IsExported())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fields = append(fields, field{i, w})
		shape.WriteString(f.Name + " " + f.Type.Kind().String() + s + ";")
	}
	if errs != nil {
		return nil, "", errors.Join(errs...)
	}
	shape.WriteByte('}')
	return func(b *KeyBuilder, v reflect.Value) {
		for i := range fields {
			fields[i].write(b, v.Field(fields[i].index))
		}
	}, shape.String(), nil
}

// shapePart is the part of a key that tells the shape of its type; "" for a type that is one part.
func shapePart(shape string) string {
	if shape == "" {
		return ""
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(shape))
	return fmt.Sprintf("|%s%08x", partShape, h.Sum32())
}

func writeString(b *KeyBuilder, v reflect.Value) { b.Text(v.String()) }
func writeInt(b *KeyBuilder, v reflect.Value)    { b.Int(v.Int()) }
func writeBool(b *KeyBuilder, v reflect.Value)   { b.Bool(v.Bool()) }

func writeUint(b *KeyBuilder, v reflect.Value) {
	b.part(partInt)
	b.buf = strconv.AppendUint(b.buf, v.Uint(), 10)
}

func writeFloat(b *KeyBuilder, v reflect.Value) { b.float(v.Float()) }

func writeComplex(b *KeyBuilder, v reflect.Value) {
	c := v.Complex()
	b.float(real(c))
	b.float(imag(c))
}

// float adds the shortest text that reads back as f. Every NaN is the same, and -0 is not 0: a function may tell them apart.
func (b *KeyBuilder) float(f float64) {
	b.part(partFloat)
	if math.IsNaN(f) {
		b.buf = append(b.buf, "NaN"...)
		return
	}
	b.buf = strconv.AppendFloat(b.buf, f, 'g', -1, 64)
}

// writeBytes adds an array of bytes, such as a UUID, as one part.
func writeBytes(b *KeyBuilder, v reflect.Value) {
	b.part(partHex)
	for _, c := range v.Bytes() {
		b.buf = append(b.buf, upperHex[c>>4], upperHex[c&15])
	}
}

// writeTime adds the moment and the zone it is told in: a function that prints it answers differently in another zone. The
// monotonic clock counts for nothing.
func writeTime(b *KeyBuilder, v reflect.Value) {
	t, _ := reflect.TypeAssert[*time.Time](v.Addr()) // a pointer into the argument: no copy escapes
	_, offset := t.Zone()
	b.part(partTime)
	b.buf = strconv.AppendInt(b.buf, t.Unix(), 10)
	b.buf = append(b.buf, '.')
	b.buf = strconv.AppendInt(b.buf, int64(t.Nanosecond()), 10)
	b.buf = append(b.buf, ',')
	b.buf = strconv.AppendInt(b.buf, int64(offset), 10)
	b.buf = append(b.buf, ',')
	b.buf = appendEscaped(b.buf, t.Location().String())
}
