package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files of the current version")

const productKey = "reprise:shop|GET|https://shop.test|/products/42|lang=en"

// samples are the records of the golden files. They may grow, never change.
func samples() map[string]*wire.Record {
	response := &wire.Record{
		Kind: wire.Response, Status: 203, Flags: wire.MustRevalidate | wire.Shareable | wire.Explicit,
		Born: 1_700_000_000_123_456_789, Expires: 1_700_000_060_123_456_789,
		StaleWhile: wire.WindowOf(30 * time.Second), StaleIf: wire.WindowOf(time.Hour),
		Sequence: 41, Incarnation: 0xfeedface_cafe_beef,
		Body: []byte("{\"id\":42}\n"),
	}
	response.SetHead(wire.Head{
		Key: productKey + "|~v1", Base: productKey, URL: "shop.test", Path: "/products/42",
		Tags: []string{"product:42", "", "Größe"},
		Vary: []wire.Pair{{Name: "Accept-Language", Value: "en"}, {Name: "X-Tenant", Value: ""}},
		Fields: http.Header{
			"Content-Type": {"application/json"}, "Etag": {`"1"`}, "Link": {"</a>; rel=next", "", "</b>; rel=prev"},
			"X-Long": {strings.Repeat("long ", 100)}, "X-None": nil, "1st": {"x"},
		},
	})
	value := &wire.Record{
		Kind: wire.Value, Flags: wire.ErrorValue, Born: -1, Expires: math.MaxInt64, Body: []byte{},
		Sequence: math.MaxUint64,
	}
	value.SetHead(wire.Head{Key: "k"})
	index := &wire.Record{Kind: wire.Index, Born: 1, Expires: 2, Body: []byte{0, 1, 2}}
	index.SetHead(wire.Head{
		Key: productKey, URL: "elsewhere.test", Path: "/" + strings.Repeat("p", 300),
		Vary: []wire.Pair{{Name: "Accept-Encoding"}},
	})
	return map[string]*wire.Record{"response": response, "value": value, "index": index}
}

// view is a record as its readers show it.
type view struct {
	Kind                wire.Kind
	Status              uint16
	Flags               wire.Flags
	Born, Expires       int64
	StaleWhile, StaleIf wire.Window
	Seq, Inc            uint64
	Key, Base           string
	Host, Path          string
	Tags                []string
	Vary                []wire.Pair
	Header              http.Header
	Body                string
}

// walk reads all of r. It fails the test if a reader takes more steps than the head has bytes.
func walk(t testing.TB, r *wire.Record) view {
	t.Helper()
	v := view{
		Kind: r.Kind, Status: r.Status, Flags: r.Flags, Born: r.Born, Expires: r.Expires,
		StaleWhile: r.StaleWhile, StaleIf: r.StaleIf, Seq: r.Sequence, Inc: r.Incarnation,
		Key: r.Key(), Body: string(r.Body), Header: r.Header(),
	}
	v.Base, v.Host, v.Path = r.Names()
	steps := 0
	for tag := range r.Tags {
		v.Tags = append(v.Tags, tag)
		steps++
	}
	for p := range r.Vary {
		v.Vary = append(v.Vary, p)
		steps++
	}
	for c := r.Fields(); c.Next(); {
		var first string
		for i := range c.Values {
			if s := c.Value(); i == 0 {
				first = s
			}
			steps++
		}
		if got := r.Field(c.Name); got != first {
			t.Fatalf("Field(%q) = %q; want %q", c.Name, got, first)
		}
	}
	if steps > r.HeadBytes() {
		t.Fatalf("%d steps through a head of %d bytes", steps, r.HeadBytes())
	}
	return v
}

func TestRoundTrip(t *testing.T) {
	for name, r := range samples() {
		t.Run(name, func(t *testing.T) {
			prefix := []byte("before")
			b := r.Append(prefix)
			if len(b) != len(prefix)+r.EncodedLen() || !bytes.HasPrefix(b, prefix) {
				t.Fatalf("Append added %d bytes; want %d", len(b)-len(prefix), r.EncodedLen())
			}
			b = b[len(prefix):]
			var got wire.Record
			if err := got.Decode(b, r.Kind, r.Key()); err != nil {
				t.Fatalf("Decode: %v", err)
			}
			if g, w := walk(t, &got), walk(t, r); !reflect.DeepEqual(g, w) {
				t.Errorf("decoded\n%+v\nwant\n%+v", g, w)
			}
			if got.Body == nil {
				t.Error("an empty body is nil")
			}
			if n := len(got.Body); n > 0 && &got.Body[0] != &b[len(b)-4-n] {
				t.Error("the body was copied")
			}
			if cap(got.Body) != len(got.Body) {
				t.Error("an append to the body would write over the checksum")
			}
		})
	}
}

// TestGolden holds the promise of Version: what was written once is readable, and is what it was.
func TestGolden(t *testing.T) {
	if *update {
		dir := filepath.Join("testdata", fmt.Sprintf("v%d", wire.Version))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, r := range samples() {
			if err := os.WriteFile(filepath.Join(dir, name+".bin"), r.Append(nil), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for version := 1; version <= wire.Version; version++ {
		for name, r := range samples() {
			t.Run(fmt.Sprintf("v%d/%s", version, name), func(t *testing.T) {
				b, err := os.ReadFile(filepath.Join("testdata", fmt.Sprintf("v%d", version), name+".bin"))
				if err != nil {
					t.Fatal(err)
				}
				var got wire.Record
				if err := got.Decode(b, r.Kind, r.Key()); err != nil {
					t.Fatalf("Decode: %v", err)
				}
				if g, w := walk(t, &got), walk(t, r); !reflect.DeepEqual(g, w) {
					t.Errorf("decoded\n%+v\nwant\n%+v", g, w)
				}
				if version == wire.Version && !bytes.Equal(r.Append(nil), b) {
					t.Error("Append writes other bytes than it did: that is a new version")
				}
			})
		}
	}
}

// edit returns rec with change applied and a right checksum.
func edit(rec []byte, change func(b []byte) []byte) []byte {
	b := change(slices.Clone(rec[:len(rec)-4]))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// setHead returns rec, a record with no body, with another head.
func setHead(rec []byte, fields int, head ...any) []byte {
	return edit(rec, func(b []byte) []byte {
		b = b[:76]
		for _, h := range head {
			switch h := h.(type) {
			case int:
				b = binary.AppendUvarint(b, uint64(h))
			case string:
				b = append(binary.AppendUvarint(b, uint64(len(h))), h...)
			case []byte:
				b = append(b, h...)
			}
		}
		if fields < 0 {
			fields = len(b) - 76
		}
		binary.LittleEndian.PutUint32(b[12:], uint32(fields))
		binary.LittleEndian.PutUint32(b[64:], uint32(len(b)-76))
		binary.LittleEndian.PutUint64(b[68:], 0)
		return b
	})
}

func TestDecodeRefuses(t *testing.T) {
	all := samples()
	resp, val := all["response"].Append(nil), all["value"].Append(nil)
	respKey := all["response"].Key()
	at := func(rec []byte, pos int, bytes ...byte) []byte {
		return edit(rec, func(b []byte) []byte { copy(b[pos:], bytes); return b })
	}
	// A head up to the field lines: key "k", base, host and path empty, no tags, no selecting fields.
	top := []any{"k", 1, 0, 1, 0, 1, 0, 0, 0}
	const topLen = 10
	head := func(rest ...any) []byte { return setHead(val, topLen, append(slices.Clone(top), rest...)...) }
	long := strings.Repeat("v", wire.MaxValue+1)

	if err := new(wire.Record).Decode(head("Name", 1, "value"), wire.Value, "k"); err != nil {
		t.Fatalf("the head that the cases change: %v", err)
	}
	for _, tt := range []struct {
		name string
		rec  []byte
		kind wire.Kind
		key  string
		want error
	}{
		{"empty", nil, wire.Value, "k", wire.ErrForeign},
		{"other program's value", []byte("hello, world"), wire.Value, "k", wire.ErrForeign},
		{"magic alone", resp[:3], wire.Response, respKey, wire.ErrForeign},
		{"later version", at(resp, 3, wire.Version+1), wire.Response, respKey, wire.ErrVersion},
		{"a flag of version 2 in version 1", at(at(head("Name", 1, "value"), 3, 1), 7, 0x10), wire.Value, "k", wire.ErrMalformed},
		{"version 0", at(resp, 3, 0), wire.Response, respKey, wire.ErrVersion},
		{"version alone", resp[:4], wire.Response, respKey, wire.ErrDamaged},
		{"one byte more", append(slices.Clone(resp), 0), wire.Response, respKey, wire.ErrDamaged},
		{"checksum", append(slices.Clone(resp[:len(resp)-1]), resp[len(resp)-1]^1), wire.Response, respKey, wire.ErrDamaged},
		{"head length", at(resp, 64, 255, 255, 255, 255), wire.Response, respKey, wire.ErrDamaged},
		{"body length", at(resp, 68, 255, 255, 255, 255, 255, 255, 255, 255), wire.Response, respKey, wire.ErrDamaged},
		{"other kind", resp, wire.Value, respKey, wire.ErrMismatch},
		{"other key", resp, wire.Response, respKey + "x", wire.ErrMismatch},
		{"shorter key", resp, wire.Response, respKey[1:], wire.ErrMismatch},
		{"no key", resp, wire.Response, "", wire.ErrMismatch},
		{"reserved byte", at(val, 5, 1), wire.Value, "k", wire.ErrMalformed},
		{"reserved bytes", at(val, 11, 1), wire.Value, "k", wire.ErrMalformed},
		{"unknown flag", at(val, 7, 0x80), wire.Value, "k", wire.ErrMalformed},
		{"negative stale-while-revalidate", at(val, 39, 0x80), wire.Value, "k", wire.ErrMalformed},
		{"negative stale-if-error", at(val, 47, 0x80), wire.Value, "k", wire.ErrMalformed},
		{"a window that no record of version 3 has", at(val, 32, 1), wire.Value, "k", wire.ErrMalformed},
		{"status 0", at(resp, 8, 0, 0), wire.Response, respKey, wire.ErrMalformed},
		{"status 103", at(resp, 8, 103, 0), wire.Response, respKey, wire.ErrMalformed},
		{"status 1000", at(resp, 8, 0xe8, 3), wire.Response, respKey, wire.ErrMalformed},
		{"no head", setHead(val, 0), wire.Value, "", wire.ErrMalformed},
		{"key beyond the head", setHead(val, 0, 200, []byte("k")), wire.Value, "k", wire.ErrMalformed},
		{"key alone", setHead(val, -1, "k"), wire.Value, "k", wire.ErrMalformed},
		{"base outside the key", setHead(val, -1, "k", 3, 0, 1, 0, 1, 0, 0, 0), wire.Value, "k", wire.ErrMalformed},
		{"base beyond the key", setHead(val, -1, "k", 1, 2, 1, 0, 1, 0, 0, 0), wire.Value, "k", wire.ErrMalformed},
		{"base that ends beyond the key", setHead(val, -1, "k", 2, 1, 1, 0, 1, 0, 0, 0), wire.Value, "k", wire.ErrMalformed},
		{"too many tags", setHead(val, -1, "k", 1, 0, 1, 0, 1, 0, wire.MaxTags+1, make([]byte, wire.MaxTags+2)), wire.Value, "k", wire.ErrMalformed},
		{"more tags than bytes", setHead(val, -1, "k", 1, 0, 1, 0, 1, 0, 9, 0, 0), wire.Value, "k", wire.ErrMalformed},
		{"too many selecting fields", setHead(val, -1, "k", 1, 0, 1, 0, 1, 0, 0, wire.MaxVary+1), wire.Value, "k", wire.ErrMalformed},
		{"selecting field without name", setHead(val, -1, "k", 1, 0, 1, 0, 1, 0, 0, 1, "", ""), wire.Value, "k", wire.ErrMalformed},
		{"long number", setHead(val, -1, "k", 1, 0, 1, 0, 1, 0, []byte{0x80, 0}, 0), wire.Value, "k", wire.ErrMalformed},
		{"endless number", setHead(val, -1, "k", 1, 0, 1, 0, 1, 0, bytes.Repeat([]byte{0xff}, 20)), wire.Value, "k", wire.ErrMalformed},
		{"fields begin early", setHead(val, topLen-1, append(slices.Clone(top), "Name", 1, "v")...), wire.Value, "k", wire.ErrMalformed},
		{"fields begin beyond the head", setHead(val, topLen+1, top...), wire.Value, "k", wire.ErrMalformed},
		{"name without lines", head("Name", 0), wire.Value, "k", wire.ErrMalformed},
		{"name alone", head("Name"), wire.Value, "k", wire.ErrMalformed},
		{"a usual name in version 2", at(head([]byte{0, 1}, 1, "v"), 3, 2), wire.Value, "k", wire.ErrMalformed},
		{"a number of no usual name", head([]byte{0, 0}, 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"a number beyond the usual names", head([]byte{0, 200}, 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"a number that is cut off", head([]byte{0}), wire.Value, "k", wire.ErrMalformed},
		{"a usual name twice", head([]byte{0, 1}, 1, "v", []byte{0, 1}, 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"a usual name in both forms", head([]byte{0, 1}, 1, "v", "Accept", 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"usual names not sorted", head([]byte{0, 2}, 1, "v", []byte{0, 1}, 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"empty name", head("", 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"lower-case name", head("name", 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"lower case after hyphen", head("My-name", 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"upper-case name", head("NAme", 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"name with a space", head("A b", 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"name with a colon", head("A:", 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"name with a line break", head("A\r\n", 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"name beyond ASCII", head("Ä", 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"name too long", head("N"+strings.Repeat("a", wire.MaxName), 1, "v"), wire.Value, "k", wire.ErrMalformed},
		{"name twice", head("A", 1, "v", "A", 1, "w"), wire.Value, "k", wire.ErrMalformed},
		{"names not sorted", head("B", 1, "v", "A", 1, "w"), wire.Value, "k", wire.ErrMalformed},
		{"value with CR", head("A", 1, "v\rw"), wire.Value, "k", wire.ErrMalformed},
		{"value with LF", head("A", 1, "v\nSet-Cookie: a=b"), wire.Value, "k", wire.ErrMalformed},
		{"value with NUL", head("A", 2, "v", "\x00"), wire.Value, "k", wire.ErrMalformed},
		{"value too long", head("A", 1, long), wire.Value, "k", wire.ErrMalformed},
		{"value beyond the head", head("A", 1, 5, []byte("v")), wire.Value, "k", wire.ErrMalformed},
		{"too many lines", head("A", wire.MaxLines, make([]byte, wire.MaxLines), "B", 1, ""), wire.Value, "k", wire.ErrMalformed},
		{"head too long", head("A", 4, long[1:], long[1:], long[1:], long[1:]), wire.Value, "k", wire.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &wire.Record{Kind: wire.Index, Sequence: 7}
			if err := r.Decode(tt.rec, tt.kind, tt.key); !errors.Is(err, tt.want) {
				t.Errorf("Decode = %v; want %v", err, tt.want)
			}
			if !reflect.DeepEqual(r, &wire.Record{Kind: wire.Index, Sequence: 7}) {
				t.Error("a refused record changed the receiver")
			}
		})
	}
}

// TestHostileRecords is the promise to the operator of a broken or foreign store: nothing of what lies there is served,
// nothing of it ends the process, and none of it costs more memory than it takes in the store.
func TestHostileRecords(t *testing.T) {
	n := 1_000_000
	if testing.Short() {
		n = 20_000
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	good := encodedSamples(rnd)
	const batch = 1000
	var before, after runtime.MemStats
	recs, keys, kinds := make([][]byte, batch), make([]string, batch), make([]wire.Kind, batch)
	buf := make([]byte, 0, 16<<20)
	for done := 0; done < n; done += batch {
		buf = buf[:0]
		for i := range recs {
			g := good[rnd.IntN(len(good))]
			start := len(buf)
			buf = damage(rnd, buf, g.rec, good)
			recs[i], keys[i], kinds[i] = buf[start:], g.key, g.kind
			if bytes.Equal(recs[i], g.rec) {
				recs[i] = recs[i][:len(g.rec)-1]
			}
		}
		served := 0
		runtime.ReadMemStats(&before)
		for i, rec := range recs {
			var r wire.Record
			if r.Decode(rec, kinds[i], keys[i]) == nil {
				served++
			}
		}
		runtime.ReadMemStats(&after)
		if served > 0 {
			t.Fatalf("%d of records %d to %d were served", served, done, done+batch)
		}
		// One record may cost twice its length and 64 KiB. The thousand together stay below what one of no length may.
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 64<<10 {
			t.Fatalf("%d damaged records cost %d bytes", batch, cost)
		}
	}
}

type encoded struct {
	rec  []byte
	key  string
	kind wire.Kind
}

// encodedSamples returns the samples and a hundred random records, some of them with large bodies.
func encodedSamples(rnd *rand.Rand) []encoded {
	var out []encoded
	for _, name := range []string{"response", "value", "index"} {
		r := samples()[name]
		out = append(out, encoded{r.Append(nil), r.Key(), r.Kind})
	}
	for range 100 {
		r := randomRecord(rnd)
		out = append(out, encoded{r.Append(nil), r.Key(), r.Kind})
	}
	return out
}

// damage appends to dst what an accident or an enemy without the checksum makes of rec.
func damage(rnd *rand.Rand, dst, rec []byte, others []encoded) []byte {
	other := others[rnd.IntN(len(others))].rec
	start := len(dst)
	switch rnd.IntN(6) {
	case 0: // noise, sometimes behind a right magic and version
		if rnd.IntN(2) == 0 {
			dst = append(dst, rec[:4]...)
		}
		for range rnd.IntN(300) {
			dst = append(dst, byte(rnd.Uint32()))
		}
	case 1: // cut short
		dst = append(dst, rec[:rnd.IntN(len(rec))]...)
	case 2: // another's
		if bytes.Equal(rec, other) {
			other = other[1:]
		}
		dst = append(dst, other...)
	case 3: // the beginning of one, the end of another
		cut := rnd.IntN(min(len(rec), len(other)))
		dst = append(append(dst, rec[:cut]...), other[cut:]...)
	case 4: // flipped bits
		dst = append(dst, rec...)
		for range 1 + rnd.IntN(8) {
			dst[start+rnd.IntN(len(rec))] ^= 1 << rnd.IntN(8)
		}
	case 5: // a piece overwritten
		dst = append(dst, rec...)
		at := start + rnd.IntN(len(rec))
		copy(dst[at:], other[rnd.IntN(len(other)):])
	}
	return dst
}

func randomRecord(rnd *rand.Rand) *wire.Record {
	text := func(n int) string {
		b := make([]byte, rnd.IntN(n))
		for i := range b {
			b[i] = byte('!' + rnd.IntN('~'-'!'+1))
		}
		return string(b)
	}
	r := &wire.Record{
		Kind:   []wire.Kind{wire.Response, wire.Value, wire.Index}[rnd.IntN(3)],
		Status: uint16(200 + rnd.IntN(300)), Flags: wire.Flags(rnd.IntN(1 << 11)),
		Born: int64(rnd.Uint64()), Expires: int64(rnd.Uint64()),
		StaleWhile: wire.WindowOf(time.Duration(rnd.Int64())), StaleIf: wire.WindowOf(time.Duration(rnd.Int64())),
		Sequence: rnd.Uint64(), Incarnation: rnd.Uint64(),
		Body: []byte(text(1 + 1<<rnd.IntN(13))),
	}
	key := "k" + text(199)
	h := wire.Head{Key: key, Base: key[:rnd.IntN(len(key)+1)], URL: text(30), Path: key[rnd.IntN(len(key)):], Fields: http.Header{}}
	for range rnd.IntN(4) {
		h.Tags = append(h.Tags, text(40))
		h.Vary = append(h.Vary, wire.Pair{Name: "Name", Value: text(20)})
	}
	for range rnd.IntN(12) {
		h.Fields.Add(fmt.Sprintf("X-%d", rnd.IntN(9)), text(200))
	}
	r.SetHead(h)
	return r
}

func TestRandomRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		r := randomRecord(rnd)
		var got wire.Record
		if err := got.Decode(r.Append(nil), r.Kind, r.Key()); err != nil {
			t.Fatalf("Decode: %v of %+v", err, r)
		}
		if g, w := walk(t, &got), walk(t, r); !reflect.DeepEqual(g, w) {
			t.Fatalf("decoded\n%+v\nwant\n%+v", g, w)
		}
	}
}

func TestDecodeAllocs(t *testing.T) {
	r := samples()["response"]
	rec, key := r.Append(nil), r.Key()
	if n := testing.AllocsPerRun(100, func() {
		var got wire.Record
		if got.Decode(rec, wire.Response, key) != nil {
			t.Error("refused")
		}
	}); n > 1 {
		t.Errorf("Decode allocates %v times; want once, the head", n)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range samples() {
		f.Add(r.Append(nil), byte(r.Kind), r.Key())
	}
	f.Fuzz(func(t *testing.T, rec []byte, kind byte, key string) {
		var r wire.Record
		if r.Decode(rec, wire.Kind(kind), key) == nil {
			walk(t, &r)
		}
		if len(rec) < 80 {
			return
		}
		// Beyond the checksum, with lengths that fit, the head is what is tried.
		head := binary.LittleEndian.Uint32(rec[64:]) % uint32(len(rec)-80+1)
		rec = edit(rec, func(b []byte) []byte {
			copy(b, "\x93rp\x03")
			b[4], b[5], b[7], b[10], b[11] = kind, 0, b[7]&0x1f, 0, 0
			for at := 32; at < 48; at += 8 { // windows
				d := wire.WindowOf(time.Duration(binary.LittleEndian.Uint64(b[at:])))
				binary.LittleEndian.PutUint64(b[at:], uint64(d.Duration()))
			}
			binary.LittleEndian.PutUint32(b[64:], head)
			binary.LittleEndian.PutUint64(b[68:], uint64(len(b)-76)-uint64(head))
			return b
		})
		if err := r.Decode(rec, wire.Kind(kind), key); err != nil {
			if !errors.Is(err, wire.ErrMismatch) && !errors.Is(err, wire.ErrMalformed) {
				t.Fatalf("Decode = %v", err)
			}
			return
		}
		v := walk(t, &r)
		if v.Key != key {
			t.Fatalf("Decode(key %q) gave the record of %q", key, v.Key)
		}
		again := r.Append(nil)
		again[3] = rec[3] // the version that wrote it
		if !bytes.Equal(again[:len(again)-4], rec[:len(rec)-4]) {
			t.Fatalf("encode(decode(x)) is not x")
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add("k", "k", "host", "/p", "tag", "Accept", "en", "Etag", `"1"`, []byte("body"), uint64(1))
	f.Fuzz(func(t *testing.T, key, base, host, path, tag, vary, selects, name, value string, body []byte, n uint64) {
		vary, name = http.CanonicalHeaderKey(vary), http.CanonicalHeaderKey(name)
		r := &wire.Record{Kind: wire.Value, Status: uint16(n), Born: int64(n), Sequence: n, Body: body}
		r.SetHead(wire.Head{
			Key: key, Base: base, URL: host, Path: path, Tags: []string{tag}, Vary: []wire.Pair{{Name: vary, Value: selects}},
			Fields: http.Header{name: {value, value}},
		})
		rec := r.Append(nil)
		var got wire.Record
		err := got.Decode(rec, wire.Value, key)
		valid := validName(vary) && validName(name) && !strings.ContainsAny(value, "\r\n\x00")
		if (err == nil) != valid {
			t.Fatalf("Decode = %v; valid is %v", err, valid)
		}
		if err != nil {
			return
		}
		g, w := walk(t, &got), walk(t, r)
		if !reflect.DeepEqual(g, w) {
			t.Fatalf("decoded\n%+v\nwant\n%+v", g, w)
		}
		if wantBase := base; g.Host != host || g.Path != path || g.Key != key || (g.Base != wantBase && wantBase != "") {
			t.Fatalf("read %+v", g)
		}
	})
}

func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

func BenchmarkEncode(b *testing.B) {
	benchmark(b, func(r *wire.Record, _ []byte) { _ = r.Append(nil) })
}

func BenchmarkDecode(b *testing.B) {
	benchmark(b, func(r *wire.Record, rec []byte) {
		var got wire.Record
		if err := got.Decode(rec, wire.Response, productKey); err != nil {
			b.Fatal(err)
		}
	})
}

func benchmark(b *testing.B, run func(r *wire.Record, rec []byte)) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			r := &wire.Record{Kind: wire.Response, Status: 200, Expires: math.MaxInt64, Body: make([]byte, size)}
			r.SetHead(wire.Head{
				Key: productKey, URL: "shop.test", Path: "/products/42", Tags: []string{"product:42", "shop"},
				Fields: http.Header{
					"Content-Type": {"application/json"}, "Etag": {`"0123456789abcdef"`}, "Cache-Control": {"public, max-age=60"},
					"Date": {"Tue, 10 Nov 2026 10:00:00 GMT"}, "Vary": {"Accept-Encoding"}, "X-Request-Source": {"shop"},
				},
			})
			rec := r.Append(nil)
			b.SetBytes(int64(len(rec)))
			b.ReportAllocs()
			for b.Loop() {
				run(r, rec)
			}
		})
	}
}
