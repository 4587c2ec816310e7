package reprise

import (
	"net/http"
	"slices"
	"time"

	"github.com/reprise-go/reprise/internal/header"
)

// No-Vary-Search, on Standard routes: an answer says which query parameters do not tell its URL from others. What a path says is remembered
// in this process; from then on the key of a request for it has that rule, and of the query what the rule leaves. An answer is stored
// under such a key only if it states that very rule, so that what is found there holds for every request that leads there.

const partSearch = "~n:" // a rule of No-Vary-Search

// searchPlace is where the rule of a path is remembered.
func (b *KeyBuilder) searchPlace(dst []byte) []byte {
	dst = append(append(dst, b.route.namespace...), '|')
	dst = append(append(dst, b.host...), '|')
	return append(dst, b.path...)
}

// searchParts adds the rule of the path, and of the query what it leaves. It reports false, and adds nothing, where no rule is known.
func (b *KeyBuilder) searchParts(r *http.Request) bool {
	rt := b.route
	e := rt.cache.engine
	if !rt.standard || !e.searching.Load() {
		return false
	}
	var place [256]byte
	rule, ok := e.searches.get(b.searchPlace(place[:0]), time.Now())
	if !ok {
		return false
	}
	pairs, ok := rt.query.normal(r.URL.RawQuery)
	if !ok {
		return false // who cannot read it cannot say what matters of it
	}
	b.search = rule.text
	b.part(partSearch)
	b.buf = appendEscaped(b.buf, rule.text)
	pairs = rt.query.filled(pairs)
	pairs = slices.DeleteFunc(pairs, func(p queryPair) bool { return rule.Ignores(p.name) })
	sortPairs(pairs)
	if len(pairs) > 0 {
		b.part("")
		b.buf = appendPairs(b.buf, pairs)
	}
	return true
}

// searchRule is a rule and its text.
type searchRule struct {
	header.Search
	text string
}

// searchFits reports whether an answer with these fields states the rule that its key was made by, or the key was made by none.
func (f *fill) searchFits(h http.Header) bool {
	return f.search == "" || header.ParseSearch(h["No-Vary-Search"]).String() == f.search
}

// learnSearch takes note of the rule that an answer states. An error that states none takes none back.
func (f *fill) learnSearch(status int, h http.Header) {
	if f.place == "" || f.search == "" && h["No-Vary-Search"] == nil {
		return
	}
	e := f.engine
	rule := header.ParseSearch(h["No-Vary-Search"])
	switch text := rule.String(); {
	case text != "":
		e.searches.put(f.place, searchRule{rule, text}, time.Now().Add(searchFor))
		e.searching.Store(true)
	case status == http.StatusOK:
		e.searches.forget(f.place)
	}
}

// searchFor is how long a rule is remembered without being seen again.
const searchFor = time.Hour
