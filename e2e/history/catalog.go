package history

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// kind is a kind of thing that is cached.
type kind uint8

const (
	page     kind = iota // a plain answer, tagged by its request
	varied               // varies on the request's language; tagged from inside
	stream               // outgrows the buffer: it is stored after it has left; tagged when it has
	stale                // has a short lifetime and is served stale while it is refreshed in the background; fails at times
	composed             // a plain answer made of a report and a product
	product              // a function's result, tagged from inside
	report               // a function's result, made of two products
	node                 // a function's result, made of those of two nodes below it

	kinds
)

// traits are what is said of a kind when it is wrapped.
type traits struct {
	name   string
	levels []string // of its namespace
	route  bool     // has a URL
}

var catalog = [...]traits{
	page:     {"page", []string{"shop"}, true},
	varied:   {"varied", []string{"shop", "eu"}, true},
	stream:   {"stream", []string{"blog"}, true},
	stale:    {"stale", []string{"shop", "us"}, true},
	composed: {"composed", []string{"shop"}, true},
	product:  {"product", []string{"shop", "eu"}, false},
	report:   {"report", []string{"blog"}, false},
	node:     {"node", []string{"graph"}, false},
}

// mixed are the kinds that are not of a graph.
var mixed = [...]kind{page, varied, stream, stale, composed, product, report}

// namespaces are those that are cleared.
var namespaces = [...][]string{{"shop"}, {"shop", "eu"}, {"shop", "us"}, {"blog"}}

// thing is what is asked for: an object in one of its forms.
type thing struct {
	Kind    kind
	Object  int32
	Variant uint8 // of a page its query, of a varied its language
}

func (t thing) String() string {
	return fmt.Sprintf("%s/%d?%d", catalog[t.Kind].name, t.Object, t.Variant)
}

// Names, as the checker knows them, are of the contract and not of the engine: what the doc comments of Delete,
// InvalidateTags, InvalidateURLs and Clear say that they drop.

func (t thing) key() string {
	if t.Kind != page {
		t.Variant = 0 // a base key has no variant
	}
	return "key " + t.String()
}

func (t thing) url() string { return "url " + catalog[t.Kind].name + "/" + strconv.Itoa(int(t.Object)) }

const objectsInGroup = 10

func tagsOf(object int32) []string {
	return []string{"object:" + strconv.Itoa(int(object)), "group:" + strconv.Itoa(int(object/objectsInGroup))}
}

func tagName(tag string) string { return "tag " + tag }

func namespaceName(levels []string) string { return "namespace " + fmt.Sprint(levels) }

// namespaceNames returns the names of the namespace of k and of each level above it.
func namespaceNames(k kind) []string {
	var names []string
	levels := catalog[k].levels
	for n := range levels {
		names = append(names, namespaceName(levels[:n+1]))
	}
	return names
}

// A graph has width nodes on each of its levels. Its edges follow from its numbers alone, so that all processes have the same.
const (
	graphWidth = 12
	graphDepth = 5
	graphNodes = graphWidth * graphDepth
)

// below returns the nodes that a node is made of.
func below(node int32) []int32 {
	next := (node/graphWidth + 1) * graphWidth
	if next >= graphNodes {
		return nil
	}
	rng := rand.New(rand.NewPCG(uint64(node), graphNodes)) //nolint:gosec // the same everywhere, on purpose
	return []int32{next + rng.Int32N(graphWidth), next + rng.Int32N(graphWidth)}
}

// names returns what drops the answer to t.
func (t thing) names() []string {
	names := append(namespaceNames(t.Kind), t.key())
	if catalog[t.Kind].route {
		names = append(names, t.url())
	}
	return append(names, t.namesWithin()...)
}

// namesWithin returns what drops an answer because t is a part of it: tags alone are inherited. To delete a function's result,
// or to clear its namespace, is not to drop the pages made of it.
func (t thing) namesWithin() []string {
	var names []string
	for _, tag := range tagsOf(t.Object) {
		names = append(names, tagName(tag))
	}
	return names
}
