package rfc9111_test

import (
	"net/http"
	"testing"

	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/internal/rfc9111"
)

func part(t *testing.T, contentRange string, size int64) rfc9111.Part {
	t.Helper()
	p, ok := rfc9111.PartOf([]string{contentRange}, size)
	if !ok {
		t.Fatalf("PartOf(%q, %d) = false; want true", contentRange, size)
	}
	return p
}

func TestPartOf(t *testing.T) {
	for _, tt := range []struct {
		contentRange string
		size         int64
		ok, exact    bool
	}{
		{"bytes 0-4/10", 5, true, true},
		{"bytes 0-4/10", 4, true, false},
		{"bytes 0-4/10", 6, false, false},
		{"bytes 0-4/10", 0, false, false},
		{"bytes 0-4/*", 5, true, true},
		{"bytes */10", 5, false, false},
		{"", 5, false, false},
	} {
		p, ok := rfc9111.PartOf([]string{tt.contentRange}, tt.size)
		if ok != tt.ok || ok && p.Exact() != tt.exact {
			t.Errorf("PartOf(%q, %d) = %v, %v; want %v", tt.contentRange, tt.size, p, ok, tt.ok)
		}
	}
}

func TestPartCut(t *testing.T) {
	for _, tt := range []struct {
		name, contentRange string
		size               int64
		ask                string
		from, to           int64
		want               string
		ok                 bool
	}{
		{"within", "bytes 4-9/20", 6, "bytes=5-7", 1, 4, "bytes 5-7/20", true},
		{"all", "bytes 4-9/20", 6, "bytes=4-9", 0, 6, "bytes 4-9/20", true},
		{"before", "bytes 4-9/20", 6, "bytes=3-7", 0, 0, "", false},
		{"beyond", "bytes 4-9/20", 6, "bytes=5-10", 0, 0, "", false},
		{"behind", "bytes 4-9/20", 6, "bytes=10-11", 0, 0, "", false},
		{"open, in the middle", "bytes 4-9/20", 6, "bytes=5-", 0, 0, "", false},
		{"open, at the end", "bytes 4-9/10", 6, "bytes=5-", 1, 6, "bytes 5-9/10", true},
		{"beyond the end", "bytes 4-9/10", 6, "bytes=5-99", 1, 6, "bytes 5-9/10", true},
		{"suffix, at the end", "bytes 4-9/10", 6, "bytes=-2", 4, 6, "bytes 8-9/10", true},
		{"suffix, too long", "bytes 4-9/10", 6, "bytes=-7", 0, 0, "", false},
		{"suffix, in the middle", "bytes 4-9/20", 6, "bytes=-2", 0, 0, "", false},
		{"suffix, of unknown length", "bytes 4-9/*", 6, "bytes=-2", 0, 0, "", false},
		{"of unknown length", "bytes 4-9/*", 6, "bytes=4-5", 0, 2, "bytes 4-5/*", true},
		{"shorter than it says", "bytes 4-9/10", 5, "bytes=6-8", 2, 5, "bytes 6-8/10", true},
		{"shorter than it says, open", "bytes 4-9/10", 5, "bytes=6-", 2, 5, "bytes 6-8/10", true},
		{"shorter than it says, suffix", "bytes 4-9/10", 5, "bytes=-5", 0, 5, "bytes 5-9/10", true},
		{"shorter than it says, what is not there", "bytes 4-9/10", 5, "bytes=9-9", 0, 0, "", false},
	} {
		t.Run("3.3/"+tt.name, func(t *testing.T) {
			r, ok := header.ParseRange([]string{tt.ask})
			if !ok {
				t.Fatal(tt.ask)
			}
			from, to, cr, ok := part(t, tt.contentRange, tt.size).Cut(r)
			if ok != tt.ok || ok && (from != tt.from || to != tt.to || cr.String() != tt.want) {
				t.Errorf("Cut(%s) = %d, %d, %s, %v; want %d, %d, %s, %v", tt.ask, from, to, cr, ok, tt.from, tt.to, tt.want, tt.ok)
			}
		})
	}
}

func TestPartMissing(t *testing.T) {
	for _, tt := range []struct {
		contentRange string
		size         int64
		want         string
		ok           bool
	}{
		{"bytes 0-4/10", 5, "bytes=5-", true},
		{"bytes 0-4/*", 5, "bytes=5-", true},
		{"bytes 0-4/10", 4, "", false},
		{"bytes 1-4/10", 4, "", false},
		{"bytes 0-9/10", 10, "", false},
	} {
		r, ok := part(t, tt.contentRange, tt.size).Missing()
		if ok != tt.ok || ok && r.String() != tt.want {
			t.Errorf("Missing of %s = %s, %v; want %s, %v", tt.contentRange, r, ok, tt.want, tt.ok)
		}
	}
}

func TestPartJoin(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		sizeB      int64
		want       string
		overlap    int64
		swapped    bool
		whole, ok  bool
	}{
		{"next", "bytes 0-4/20", "bytes 5-9/20", 5, "bytes 0-9/20", 0, false, false, true},
		{"the last", "bytes 0-4/10", "bytes 5-9/10", 5, "bytes 0-9/10", 0, false, true, true},
		{"overlapping", "bytes 0-4/20", "bytes 3-9/20", 7, "bytes 0-9/20", 2, false, false, true},
		{"the first", "bytes 0-4/10", "bytes 0-9/10", 10, "bytes 0-9/10", 5, false, true, true},
		{"before", "bytes 0-4/20", "bytes 0-1/20", 2, "bytes 0-4/20", 2, false, false, true},
		{"a gap", "bytes 0-4/20", "bytes 6-9/20", 4, "", 0, false, false, false},
		{"other lengths", "bytes 0-4/20", "bytes 5-9/21", 5, "", 0, false, false, false},
		{"one length known", "bytes 0-4/*", "bytes 5-9/10", 5, "bytes 0-9/10", 0, false, true, true},
		{"not exact", "bytes 0-4/20", "bytes 5-9/20", 4, "", 0, false, false, false},
	} {
		t.Run("3.4/"+tt.name, func(t *testing.T) {
			a, b := part(t, tt.a, 5), part(t, tt.b, tt.sizeB)
			j, overlap, swapped, ok := a.Join(b)
			if ok != tt.ok || ok && (j.String() != tt.want || overlap != tt.overlap || swapped != tt.swapped || j.Whole() != tt.whole) {
				t.Errorf("Join = %s, %d, %v, %v, whole %v; want %s, %d, %v, %v, %v",
					j, overlap, swapped, ok, j.Whole(), tt.want, tt.overlap, tt.swapped, tt.ok, tt.whole)
			}
		})
	}
	j, overlap, swapped, ok := part(t, "bytes 5-9/10", 5).Join(part(t, "bytes 0-6/10", 7))
	if !ok || !swapped || overlap != 2 || j.String() != "bytes 0-9/10" {
		t.Errorf("Join with an earlier part = %s, %d, %v, %v; want bytes 0-9/10, 2, true, true", j, overlap, swapped, ok)
	}
}

func TestValidatorsSame(t *testing.T) {
	const date, old = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 31 Dec 1999 00:00:00 GMT"
	for _, tt := range []struct {
		name   string
		v      rfc9111.Validators
		h      http.Header
		want   bool
		strong string
	}{
		{"a tag", rfc9111.Validators{ETag: `"a"`}, http.Header{"Etag": {`"a"`}}, true, `"a"`},
		{"another tag", rfc9111.Validators{ETag: `"a"`}, http.Header{"Etag": {`"b"`}}, false, `"a"`},
		{"a weak tag", rfc9111.Validators{ETag: `W/"a"`}, http.Header{"Etag": {`W/"a"`}}, false, ""},
		{"a tag and none", rfc9111.Validators{ETag: `"a"`}, http.Header{"Last-Modified": {old}}, false, `"a"`},
		{"a date", rfc9111.Validators{LastModified: old, Date: date}, http.Header{"Last-Modified": {old}}, true, old},
		{"a weak date", rfc9111.Validators{LastModified: date, Date: date}, http.Header{"Last-Modified": {date}}, false, ""},
		{"nothing", rfc9111.Validators{}, http.Header{}, false, ""},
	} {
		t.Run("3.4/"+tt.name, func(t *testing.T) {
			if got := tt.v.Same(tt.h); got != tt.want {
				t.Errorf("Same = %v; want %v", got, tt.want)
			}
			if got := tt.v.Strong(); got != tt.strong {
				t.Errorf("Strong() = %q; want %q", got, tt.strong)
			}
		})
	}
}
