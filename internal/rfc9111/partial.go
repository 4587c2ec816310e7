package rfc9111

import (
	"net/http"

	"github.com/reprise-go/reprise/internal/header"
)

// Part is a stored part of a representation (§3.3).
type Part struct {
	header.ContentRange       // as its response stated it
	Size                int64 // of the body
}

// PartOf returns the part that a 206 with these fields and a body of that size is. It reports false where the fields
// do not say which part it is, or the body is longer than that.
func PartOf(contentRange []string, size int64) (Part, bool) {
	r, ok := header.ParseContentRange(contentRange)
	p := Part{r, size}
	return p, ok && size > 0 && size-1 <= r.Last-r.First
}

// Exact reports whether the body is as long as the range says. What is not still answers smaller ranges, by as many
// bytes as there are, but is never combined with anything.
func (p Part) Exact() bool { return p.Size-1 == p.Last-p.First }

// atEnd reports whether the part is known to be the end of the representation.
func (p Part) atEnd() bool { return p.Length >= 0 && p.Last == p.Length-1 }

// Cut returns what of the body answers a request for r, and which part of the representation that is. It reports false
// where the part does not hold all of it.
func (p Part) Cut(r header.Range) (from, to int64, cr header.ContentRange, ok bool) {
	cr.Length = p.Length
	switch {
	case r.First < 0:
		// RFC 9110 §14.1.2: the last bytes, and all of them where there are fewer.
		n := r.Last
		if !p.atEnd() || n > p.Size {
			return 0, 0, cr, false
		}
		cr.First, cr.Last = p.Length-n, p.Length-1
		return p.Size - n, p.Size, cr, true
	case r.First < p.First || r.First-p.First >= p.Size:
		return 0, 0, cr, false
	case (r.Last < 0 || r.Last > p.Last) && !p.atEnd():
		return 0, 0, cr, false
	}
	from, to = r.First-p.First, p.Size
	if r.Last >= 0 {
		to = min(to, r.Last-p.First+1)
	}
	cr.First, cr.Last = r.First, r.First+to-from-1
	return from, to, cr, true
}

// Missing returns the range that is missing of a part which is the beginning of a representation. It reports false for
// any other part.
func (p Part) Missing() (header.Range, bool) {
	return header.Range{First: p.Size, Last: -1}, p.First == 0 && p.Exact() && !p.atEnd()
}

// Join returns the part that p and q are together, and how many bytes at the beginning of the later one the earlier one has
// already; swapped says that q is the earlier one. It reports false where they do not touch, or cannot be parts of one
// representation. That they are parts of the same one is for [Validators.Same] to say (§3.4).
func (p Part) Join(q Part) (joined Part, overlap int64, swapped, ok bool) {
	if !p.Exact() || !q.Exact() || p.Length >= 0 && q.Length >= 0 && p.Length != q.Length {
		return Part{}, 0, false, false
	}
	a, b := p, q
	if swapped = q.First < p.First; swapped {
		a, b = q, p
	}
	if b.First > a.Last+1 {
		return Part{}, 0, false, false
	}
	j := Part{ContentRange: header.ContentRange{First: a.First, Last: max(a.Last, b.Last), Length: max(a.Length, b.Length)}}
	j.Size = j.Last - j.First + 1
	if j.Length >= 0 && j.Last >= j.Length {
		return Part{}, 0, false, false
	}
	return j, min(a.Last+1-b.First, b.Size), swapped, true
}

// Whole reports whether the part is all of the representation.
func (p Part) Whole() bool { return p.First == 0 && p.atEnd() && p.Exact() }

// Same reports whether a response with these fields is of the very representation that has these validators: they share a
// strong one (§3.4, RFC 9110 §8.8.3.2).
func (v Validators) Same(h http.Header) bool {
	if etag := header.First(h, "Etag"); etag != "" || v.ETag != "" {
		return header.ValidETag(etag) && header.MatchETag([]string{etag}, v.ETag, true)
	}
	return v.strongDate() && header.First(h, "Last-Modified") == v.LastModified
}

// Strong returns the strong validator for If-Range, "" if there is none.
func (v Validators) Strong() string {
	switch {
	case header.ValidETag(v.ETag):
		if header.IsWeak(v.ETag) {
			return ""
		}
		return v.ETag
	case v.strongDate():
		return v.LastModified
	}
	return ""
}
