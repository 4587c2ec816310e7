package reprise_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise"
)

type order struct {
	ID    int
	Lines []string
	At    time.Time
	Notes map[string]string
}

// TestCodec: what is appended decodes to what it was, behind anything that stood there before.
func TestCodec(t *testing.T) {
	o := order{7, []string{"shoe", ""}, time.Unix(1, 2).UTC(), map[string]string{"a": "b"}}
	for _, tt := range []struct {
		name  string
		codec reprise.Codec
		v     any
	}{
		{"JSON", reprise.JSON, o},
		{"JSON/text", reprise.JSON, "<&>"},
		{"JSON/nil", reprise.JSON, []int(nil)},
		{"Gob", reprise.Gob, o},
		{"Gob/zero", reprise.Gob, 0},
		{"Bytes", reprise.Bytes, []byte{0, 1, 255}},
		{"Bytes/empty", reprise.Bytes, []byte{}},
		{"Bytes/text", reprise.Bytes, "text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b, err := tt.codec.Append([]byte("before"), tt.v)
			if err != nil || !bytes.HasPrefix(b, []byte("before")) {
				t.Fatalf("Append = %q, %v; want it behind what was there", b, err)
			}
			src := b[len("before"):]
			kept := bytes.Clone(src)
			got := reflect.New(reflect.TypeOf(tt.v))
			if err := tt.codec.Decode(src, got.Interface()); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.Elem().Interface(), tt.v) {
				t.Errorf("Decode = %#v; want %#v", got.Elem(), tt.v)
			}
			if !bytes.Equal(src, kept) {
				t.Error("Decode has changed its source")
			}
			clear(src)
			if !reflect.DeepEqual(got.Elem().Interface(), tt.v) {
				t.Error("what was decoded is a part of its source")
			}
		})
	}
}

func TestCodecErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		codec  reprise.Codec
		v      any    // does not encode
		src    string // does not decode
		target any
	}{
		{"JSON", reprise.JSON, func() {}, "{", new(order)},
		{"Gob", reprise.Gob, func() {}, "?", new(order)},
		{"Bytes", reprise.Bytes, 7, "7", new(int)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if b, err := tt.codec.Append([]byte("before"), tt.v); err == nil || !strings.Contains(err.Error(), tt.name) || string(b) != "before" {
				t.Errorf("Append(%T) = %q, %v; want an error of %s and what was there", tt.v, b, err, tt.name)
			}
			if err := tt.codec.Decode([]byte(tt.src), tt.target); err == nil || !strings.Contains(err.Error(), tt.name) {
				t.Errorf("Decode(%q) = %v; want an error of %s", tt.src, err, tt.name)
			}
		})
	}
}

// TestCodecChange: a value that no longer decodes is loaded anew and overwritten.
func TestCodecChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newOutside(t)
		var events []reprise.Event
		cfg := reprise.Config{Store: s, Logger: silent(), Observe: func(_ context.Context, e reprise.Event) { events = append(events, e) }}
		old := reprise.Memoize(open(t, cfg), "f", func(context.Context, int) (string, error) { return "text", nil })
		wants(t, "the old program", "text")(old(t.Context(), 1))
		synctest.Wait()
		events = nil
		loads := 0
		f := newFunc(t, open(t, cfg), "f", func(context.Context, int) (int, error) { loads++; return 7, nil })
		for range 2 {
			wants(t, "the new program", 7)(f.Get(t.Context(), 1))
			synctest.Wait()
		}
		if loads != 1 || len(events) != 2 || events[0].Reason != reprise.ReasonRecordBad || events[0].Err == nil || events[1].Outcome != reprise.Hit {
			t.Errorf("%d loads, events %+v; want one because of a bad record, then a hit", loads, events)
		}
	})
}

// TestCodecFails: what does not encode is returned, not stored, and logged once.
func TestCodecFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var reasons []reprise.Reason
		c := open(t, reprise.Config{
			Store: newOutside(t), Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Observe: func(_ context.Context, e reprise.Event) { reasons = append(reasons, e.Reason) },
		})
		loads := 0
		f := newFunc(t, c, "f", func(context.Context, int) (chan int, error) { loads++; return make(chan int), nil })
		g := newFunc(t, c, "g", func(context.Context, int) (int, error) { return 1, nil }, reprise.UseCodec(panicking{}))
		for range 2 {
			if ch, err := f.Get(t.Context(), 1); ch == nil || err != nil {
				t.Errorf("Get = %v, %v; want the value", ch, err)
			}
			wants(t, "a codec that panics", 1)(g.Get(t.Context(), 1))
			synctest.Wait() // until then others share what was loaded
		}
		want := []reprise.Reason{reprise.ReasonCodec, reprise.ReasonCallbackPanic, reprise.ReasonCodec, reprise.ReasonCallbackPanic}
		if loads != 2 || !reflect.DeepEqual(reasons, want) {
			t.Errorf("%d loads, reasons %q; want 2 and %q", loads, reasons, want)
		}
		if n := strings.Count(log.String(), "does not encode"); n != 1 {
			t.Errorf("%d lines about the codec in %q; want 1", n, log.String())
		}
		if err := f.Set(t.Context(), 1, nil); err == nil {
			t.Error("Set of what does not encode = nil")
		}
	})
}

type panicking struct{}

func (panicking) Append([]byte, any) ([]byte, error) { panic("boom") }
func (panicking) Decode([]byte, any) error           { return errors.New("never asked") }
