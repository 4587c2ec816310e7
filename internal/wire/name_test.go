package wire

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestUsualNames: a list that is not sorted is not found in, and a name in another form is another name.
func TestUsualNames(t *testing.T) {
	if !slices.IsSorted(usual[:]) || len(usual) > 128 {
		t.Errorf("the %d usual names are not sorted, or more than a byte counts", len(usual))
	}
	for i, name := range usual[1:] {
		if http.CanonicalHeaderKey(name) != name || name == usual[i] {
			t.Errorf("%q is not in canonical form, or stands twice", name)
		}
		if b := appendName(nil, name); len(b) != 2 || b[0] != 0 || usual[b[1]] != name {
			t.Errorf("%q is written as %q", name, b)
		}
	}
	if b := appendName(nil, "X-Own"); string(b) != "\x05X-Own" {
		t.Errorf("another name is written as %q", b)
	}
	var r Record
	r.SetHead(Head{
		Key: "k", Vary: []Pair{{"Accept-Language", "en"}, {"X-Own", ""}},
		Fields: http.Header{"Content-Type": {"text/html"}, "X-Own": {"1"}, "Date": {"now", "later"}},
	})
	if strings.Contains(r.head, "Content-Type") || strings.Contains(r.head, "Accept-Language") || !strings.Contains(r.head, "X-Own") {
		t.Errorf("the head is %q", r.head)
	}
}

func TestWindow(t *testing.T) {
	const forever = time.Duration(1<<63 - 1)
	const days = 24 * time.Hour
	for _, tt := range []struct{ d, want time.Duration }{
		{-1, 0}, {0, 0},
		{1, time.Millisecond},
		{time.Millisecond, time.Millisecond},
		{time.Millisecond + 1, 2 * time.Millisecond},
		{24 * days, 24 * days},
		{(1<<31 - 1) * time.Millisecond, (1<<31 - 1) * time.Millisecond},
		{(1<<31-1)*time.Millisecond + 1, (1<<31/1000 + 1) * time.Second},
		{365 * days, 365 * days},
		{365*days + 1, 365*days + time.Second},
		{(1<<31 - 2) * time.Second, (1<<31 - 2) * time.Second},
		{(1<<31-2)*time.Second + 1, forever},
		{forever, forever},
	} {
		if got := WindowOf(tt.d).Duration(); got != tt.want {
			t.Errorf("WindowOf(%v) is %v; want %v", tt.d, got, tt.want)
		}
	}
}

// TestRecordSize: each byte of a record is a megabyte of a large store, and Incarnation has to be aligned on 32 bits.
func TestRecordSize(t *testing.T) {
	record := reflect.TypeFor[Record]()
	if n := record.Size(); n > 96 {
		t.Errorf("a record has %d bytes; want 96", n)
	}
	if f, ok := record.FieldByName("Incarnation"); !ok || f.Offset%8 != 0 {
		t.Errorf("Incarnation is at %d, across words", f.Offset)
	}
}
