package reprise

import (
	"hash/maphash"
	"reflect"
	"slices"
	"time"

	"github.com/reprise-go/reprise/internal/wire"
)

// result is a value as this process holds it: the record without a body, and beside it the value itself. A store of this
// process keeps it as it stands; for one outside, the record gets the encoded value as its body. It is immutable but
// for what entry says.
type result[V any] struct {
	entry

	// calm is the moment, in Unix nanoseconds, until which the value is simply served: from there on it is refreshed ahead, or
	// no longer fresh. It stands between checked and the value, which a hit reads as well.
	calm int64

	v    V
	err  error    // remembered, instead of v
	tags []string // of the record
}

// newResult makes a result without its value.
func newResult[V any](at string, tags []string, now time.Time, ttl time.Duration) *result[V] {
	r := new(result[V])
	r.Kind = wire.Value
	r.Born, r.Expires = now.UnixNano(), after(now, ttl)
	r.SetHead(wire.Head{Key: at, Tags: tags})
	return r
}

// age returns how old a value is at now, and what is left of its lifetime.
func (r *result[V]) age(now time.Time) (age, ttl time.Duration) {
	if ttl = Forever; r.Expires != int64(Forever) {
		ttl = time.Duration(r.Expires - now.UnixNano())
	}
	return max(0, time.Duration(now.UnixNano()-r.Born)), ttl
}

// inspect makes a result show itself in Entry and Entries.
func (r *result[V]) inspect() *entry { return &r.entry }

// ahead says how far ahead of its end a value is refreshed.
type ahead struct {
	fraction float64
	seed     maphash.Seed // another in each process, so that not all of them refresh a value at the same moment
}

// moment returns when a call that finds r begins to refresh it. A process that asks again gets the same answer.
func (a *ahead) moment(r *entry) int64 {
	if a == nil || a.fraction == 0 || r.Expires == int64(Forever) {
		return r.Expires
	}
	window := a.fraction * float64(r.Expires-r.Born)
	x := maphash.Comparable(a.seed, struct {
		key  string
		born int64
	}{r.Key(), r.Born})
	u := float64(x>>11) / (1 << 53)
	return r.Expires - int64(window*(1+u)/2) // the rest of the window is for the load
}

// label makes the parts of r that its record tells.
func (r *result[V]) label(a *ahead) {
	r.Tags(func(t string) bool { r.tags = append(r.tags, t); return true })
	r.calm = r.Expires
	if r.err == nil {
		r.calm = a.moment(&r.entry)
	}
}

// use is what may be done with a stored value.
type use uint8

const (
	useNot     use = iota // load; r may still be better than an error
	useFresh              // serve it
	useAndLoad            // serve it, and refresh it ahead
	useStale              // serve it, and refresh it
)

// judge says what may be done with r at now.
func (r *result[V]) judge(soft bool, now int64) use {
	switch {
	case soft:
		if now < r.Expires && r.StaleWhile > 0 { // stale since just now
			return useStale
		}
	case now < r.calm:
		return useFresh
	case now < r.Expires:
		return useAndLoad
	}
	if r.StaleWhile > 0 && now-r.Expires <= int64(r.StaleWhile.Duration()) {
		return useStale
	}
	return useNot
}

// insteadOfError reports whether r may be served at now because there is nothing better.
func (r *result[V]) insteadOfError(soft bool, now int64) bool {
	if r.err != nil || r.StaleIf == 0 {
		return false
	}
	return soft && now < r.Expires || now-r.Expires <= int64(r.StaleIf.Duration())
}

// sizer estimates the bytes that a value holds, from its type. What a value refers to is not followed: others may be changing it.
func sizer[V any]() func(V) int64 {
	t := reflect.TypeFor[V]()
	fixed := flatSize(t)
	switch t.Kind() {
	case reflect.String:
		return func(v V) int64 { return fixed + int64(reflect.ValueOf(&v).Elem().Len()) }
	case reflect.Slice:
		each := flatSize(t.Elem())
		return func(v V) int64 { return fixed + each*int64(reflect.ValueOf(&v).Elem().Len()) }
	case reflect.Map:
		each := flatSize(t.Elem()) + flatSize(t.Key()) + 16
		return func(v V) int64 { return fixed + each*int64(reflect.ValueOf(&v).Elem().Len()) }
	case reflect.Pointer:
		fixed += flatSize(t.Elem())
	}
	return func(V) int64 { return fixed }
}

const referenceBytes = 64 // what a value within a value counts for

// flatSize is the size of a t with a flat amount for each thing that it refers to.
func flatSize(t reflect.Type) int64 {
	return int64(t.Size()) + referenceBytes*references(t) //nolint:gosec // sizes of types are small
}

func references(t reflect.Type) (n int64) {
	switch t.Kind() {
	case reflect.Array:
		return int64(t.Len()) * references(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			n += references(t.Field(i).Type)
		}
		return n
	case reflect.String, reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface, reflect.Chan, reflect.Func:
		return 1
	default:
		return 0
	}
}

// tagsWith joins the tags of the function and what its loader said, each once. A reason is why a value with them is not
// stored.
func (f *Func[K, V]) tagsWith(said []string) ([]string, Reason) {
	static := f.tags
	tags := static
	if len(said) > 0 {
		tags = slices.Concat(static, said)
		slices.Sort(tags)
		tags = slices.Compact(tags)
	}
	if len(tags) > maxTags {
		return tags, ReasonTooManyTags
	}
	if slices.ContainsFunc(said, func(t string) bool { return tagFault(t) != "" }) || len(tags) > 0 && !f.engine.store.sequenced() {
		return tags, ReasonBadTag
	}
	return tags, ""
}

var _ inspectable = (*result[int])(nil)

// decode makes r the value of a record from a store outside the process.
func (r *result[V]) decode(e *entry, codec Codec, a *ahead) error {
	r.Record = e.Record
	if e.Flags&wire.ErrorValue != 0 {
		r.err = &RememberedError{Text: string(e.Body)}
	} else if err := codec.Decode(e.Body, &r.v); err != nil {
		return err
	}
	r.label(a)
	return nil
}
