package reprise

import (
	"bytes"
	"slices"
	"testing"

	"github.com/reprise-go/reprise/internal/wire"
)

// A list of variants is bytes from a store like any: one that does not read is empty, whatever it says.
func TestReadIndex(t *testing.T) {
	for _, tt := range []struct {
		body []byte
		want []string
	}{
		{nil, nil},
		{[]byte("\x01a\x02bc"), []string{"a", "bc"}},
		{[]byte("\x00"), []string{""}},
		{[]byte("\x01a\x03bc"), nil},
		{[]byte("\x01a\x80"), nil},
		{bytes.Repeat([]byte{0xff}, 20), nil},
		{append(bytes.Repeat([]byte{0xff}, 9), 1), nil},
		{append(bytes.Repeat([]byte{0xff}, 7), 0x7f), nil},
	} {
		var l learned
		l.SetHead(wire.Head{Key: "k"})
		l.Body = tt.body
		if l.readIndex(); !slices.Equal(l.variants, tt.want) {
			t.Errorf("of %x: %q; want %q", tt.body, l.variants, tt.want)
		}
	}
}
