package reprise

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

type scopeKey struct{}

// scope is what a handler or loader can reach of the cache that runs it.
type scope struct {
	cache *Cache
	mu    sync.Mutex
	open  bool // in a fill: what is said here counts
	said  said
	outer *scope // of the fill that called this one: tags are its, too
	base  string // key of the answer that a handler makes; "" for what a loader does
	same  bool   // the answer that is being made is outer's, too: what is said of one is said of both

	perUser bool // the answer has a user's partition to itself

	crowded bool // the fill is one of the crowd; set before it begins
}

// inCrowd reports whether the fill of s has a place in e's crowd, or one that called it: which waits for it with its place, so that it must
// not wait for one.
func (s *scope) inCrowd(e *engine) bool {
	for ; s != nil; s = s.outer {
		if s.crowded && s.cache.engine == e {
			return true
		}
	}
	return false
}

// said is what a handler or loader said from inside.
type said struct {
	tags    []string
	ttl     time.Duration
	ttlSet  bool
	noStore bool
}

func scopeOf(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// FromContext returns the cache that the handler or loader of ctx is wrapped by, under the namespace it was wrapped
// with; nil anywhere else. [Get] and [Set] accept a nil *Cache.
func FromContext(ctx context.Context) *Cache {
	if s := scopeOf(ctx); s != nil {
		return s.cache
	}
	return nil
}

// AddTags adds tags to the answer that is being made, as [Tags] does for all answers of a route or function, and to the
// answers that are being made of it. It does nothing outside a wrapped handler or loader. It is safe
// for concurrent use, and counts until the handler or loader returns.
func AddTags(ctx context.Context, tags ...string) {
	for s := scopeOf(ctx); s != nil; s = s.outer {
		s.addTags(tags)
	}
}

func (s *scope) addTags(tags []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open {
		return
	}
	for _, t := range tags {
		// A page that calls one function a hundred times has its tags once. One too many is enough to know.
		if len(s.said.tags) <= maxTags && !slices.Contains(s.said.tags, t) {
			s.said.tags = append(s.said.tags, t)
		}
	}
}

// madeOf takes note that what s and the scopes outside of it make is made of a stored answer: its tags are theirs. What is made of one that
// was softly invalidated is not kept.
func (s *scope) madeOf(e *entry, soft bool) {
	for ; s != nil; s = s.outer {
		if soft {
			s.keepOut()
		}
		e.Tags(func(tag string) bool {
			s.addTags([]string{tag})
			return true
		})
	}
}

// isOneUsers takes note that what s and the scopes outside of it make is made of a user's own answer: others do not get it.
func (s *scope) isOneUsers() {
	for ; s != nil; s = s.outer {
		if !s.perUser {
			s.keepOut()
		}
	}
}

// isOf reports whether what is written to w is the answer of s: w is its recorder, or a middleware's writer around that.
func (s *scope) isOf(w http.ResponseWriter) bool {
	for s != nil {
		switch t := w.(type) {
		case *recorder:
			return &t.f.scope == s
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
	return false
}

// answers calls say with s and the scopes of the same answer outside of it.
func (s *scope) answers(say func(*said)) {
	for ; s != nil; s = s.outer {
		s.mu.Lock()
		say(&s.said)
		s.mu.Unlock()
		if !s.same {
			return
		}
	}
}

// SetTTL sets the lifetime of the answer that is being made. It wins over everything but safety; 0 or less is
// [NoStore]. It does nothing outside a wrapped handler or loader, and counts for every cache that wraps the handler.
func SetTTL(ctx context.Context, d time.Duration) {
	scopeOf(ctx).answers(func(s *said) { s.ttl, s.ttlSet = d, true })
}

// NoStore keeps the answer that is being made out of the store. It does nothing outside a wrapped handler or loader, and
// counts for every cache that wraps the handler.
func NoStore(ctx context.Context) {
	scopeOf(ctx).answers(func(s *said) { s.noStore = true })
}

// isOpen reports whether an answer is being made.
func (s *scope) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// keepOut keeps the answer that is being made out of the store.
func (s *scope) keepOut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said.noStore = true
}

// sofar returns what was said until now.
func (s *scope) sofar() said {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said
}

// close returns all that was said; what comes later does not count.
func (s *scope) close() said {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = false
	return s.said
}
