package history

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// History is what happened in one run. All times are nanoseconds of one clock, which all processes read.
type History struct {
	Reads         []Read
	Invalidations []Invalidation
}

// Read is a request or call that was answered.
type Read struct {
	Process        int
	What           string
	Object         int32 // that was asked for
	Sent, Returned int64 // by the driver

	// Answer is the fill that the answer comes from, and after it those of whatever that was made of.
	Answer []Fill
}

// Fill is one run of a handler or loader, as the value that it made tells.
type Fill struct {
	Object  int32
	Version uint64 // of the object, read after Begin
	Begin   int64  // in the handler or loader: its look-up was earlier

	// Names are those by which an invalidation of this fill drops the answer that it is in.
	Names []string
}

// Invalidation is a mutation of an object and the call that followed it.
type Invalidation struct {
	Process        int
	Name           string // what it names
	Object         int32
	Version        uint64 // that the object had when the call was sent, or an older one
	Sent, Returned int64
	Acknowledged   bool // it returned without error
}

// Rule is what a violation violates.
type Rule string

// The rules. Early is the promise of DESIGN §6. Old follows from it for a handler that reads when it begins, and is what a
// user would see; it is checked by itself, from versions instead of times.
const (
	Early   Rule = "early"   // the fill began before an acknowledged invalidation that names it
	Old     Rule = "old"     // the version is older than that of an acknowledged mutation
	Foreign Rule = "foreign" // an answer about another object
	Future  Rule = "future"  // the fill began after the answer: the history is no history
)

// Violation is a read that must not have been.
type Violation struct {
	Rule         Rule
	Read         Read
	Fill         Fill
	Invalidation Invalidation // with Early and Old
}

func (v Violation) String() string {
	var b strings.Builder
	ms := func(t int64) string { return fmt.Sprintf("%+.3f ms", float64(t-v.Read.Sent)/1e6) }
	fmt.Fprintf(&b, "%s: process %d read %s in %s: object %d version %d, its fill began at %s", v.Rule, v.Read.Process,
		v.Read.What, ms(v.Read.Returned), v.Fill.Object, v.Fill.Version, ms(v.Fill.Begin))
	if i := v.Invalidation; i.Name != "" {
		fmt.Fprintf(&b, "; %s was invalidated through process %d from %s to %s, object %d being at version %d",
			i.Name, i.Process, ms(i.Sent), ms(i.Returned), i.Object, i.Version)
	}
	return b.String()
}

// Check returns every violation, at most one of each rule for a fill of an answer.
//
// It is exact: an invalidation counts from the moment at which its call has returned, and against fills that had begun when the
// call was sent. What overlaps may be seen either way.
func (h *History) Check() []Violation {
	byName := make(map[string]*order)
	byObject := make(map[nameObject]*order)
	for i := range h.Invalidations {
		x := &h.Invalidations[i]
		if !x.Acknowledged {
			continue
		}
		into(byName, x.Name).add(x)
		into(byObject, nameObject{x.Name, x.Object}).add(x)
	}
	for _, o := range byName {
		o.build(func(x *Invalidation) uint64 { return uint64(x.Sent) }) //nolint:gosec // a monotonic clock
	}
	for _, o := range byObject {
		o.build(func(x *Invalidation) uint64 { return x.Version })
	}

	var found []Violation
	for _, r := range h.Reads {
		for i, f := range r.Answer {
			if i == 0 && f.Object != r.Object {
				found = append(found, Violation{Rule: Foreign, Read: r, Fill: f})
			}
			if f.Begin > r.Returned {
				found = append(found, Violation{Rule: Future, Read: r, Fill: f})
			}
			var early, old *Invalidation
			for _, name := range f.Names {
				if x := byName[name].before(r.Sent); x != nil && x.Sent > f.Begin && early == nil {
					early = x
				}
				if x := byObject[nameObject{name, f.Object}].before(r.Sent); x != nil && x.Version > f.Version && old == nil {
					old = x
				}
			}
			if early != nil {
				found = append(found, Violation{Early, r, f, *early})
			}
			if old != nil {
				found = append(found, Violation{Old, r, f, *old})
			}
		}
	}
	return found
}

type nameObject struct {
	name   string
	object int32
}

func into[K comparable](m map[K]*order, key K) *order {
	o := m[key]
	if o == nil {
		o = new(order)
		m[key] = o
	}
	return o
}

// order has invalidations by the time at which they returned, and beside each the one among it and all earlier ones that
// demands the most.
type order struct {
	all  []*Invalidation
	most []*Invalidation
}

func (o *order) add(x *Invalidation) { o.all = append(o.all, x) }

func (o *order) build(demand func(*Invalidation) uint64) {
	slices.SortFunc(o.all, func(a, b *Invalidation) int { return cmp.Compare(a.Returned, b.Returned) })
	o.most = make([]*Invalidation, len(o.all))
	for i, x := range o.all {
		if i > 0 && demand(o.most[i-1]) >= demand(x) {
			x = o.most[i-1]
		}
		o.most[i] = x
	}
}

// before returns the most demanding of those that had returned at t.
func (o *order) before(t int64) *Invalidation {
	if o == nil {
		return nil
	}
	n := sort.Search(len(o.all), func(i int) bool { return o.all[i].Returned >= t })
	if n == 0 {
		return nil
	}
	return o.most[n-1]
}
