package reprise

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/reprise-go/reprise/internal/rfc9111"
)

// classify judges the head as soon as the handler has written it, so that nobody waits for an answer that is not for him.
func (f *fill) classify(rec *recorder) {
	j := f.judge(rec.status, rec.head, rec.length, f.scope.sofar())
	f.decide(j)
	f.learnSearch(rec.status, rec.head)
	if !j.shareable {
		f.goAlone()
		return
	}
	if final(j.reason) {
		f.loosen()
	}
	if f.part && rec.status == http.StatusOK && f.req.Header["If-Range"] == nil {
		f.ignoresRange()
	}
	if len(f.rt.vary) > 0 {
		mergeVary(rec.head, f.rt.vary)
	}
	f.learn()
}

// decide makes j the judgement.
func (f *fill) decide(j judgement) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.judgement = j
}

// final reports whether nothing that the handler says after the head can change that the answer is not stored.
func final(reason Reason) bool {
	switch reason {
	case ReasonTrailers, ReasonFieldsTooLarge, ReasonVariesOnUncertain, ReasonMustUnderstand, ReasonConditional:
		return true
	}
	return false
}

// mergeVary adds names to the Vary field of h.
func mergeVary(h http.Header, names []string) {
	have, star := rfc9111.VaryNames(http.Header{"Vary": h["Vary"]})
	if star {
		return
	}
	for _, name := range names {
		if !slices.Contains(have, name) {
			h["Vary"] = append(slices.Clip(h["Vary"]), name)
		}
	}
}

// learn takes note of what the URL varies on: what was known and what this answer adds. Followers who differ in that are told.
func (f *fill) learn() {
	if len(f.vary) == 0 && len(f.names) == 0 || f.req == nil {
		return
	}
	all := f.names
	for _, name := range f.vary {
		if !slices.Contains(all, name) {
			all = append(slices.Clip(all), name)
		}
	}
	if len(all) != len(f.names) {
		slices.Sort(all)
	}
	f.mu.Lock()
	f.selecting = all
	f.variant = string(appendVariant(nil, []byte(f.base), all, f.req))
	f.broadcast()
	f.mu.Unlock()
	f.engine.varies.put(f.base, &learned{names: all}, time.Now().Add(learnedFor))
}

// complete judges an answer that was held back to its end, stores it if it may be stored, and hands it to the followers.
func (f *fill) complete(rec *recorder, body []byte) {
	said := f.scope.close()
	if f.shareable && f.undecided(said) {
		j := f.judge(rec.status, rec.head, rec.length, said)
		f.decide(j)
		if !j.shareable {
			f.goAlone()
		}
	}
	if f.shareable {
		f.conclude(rec, body, said)
	}
}

// undecided reports whether what was judged by the head may be judged otherwise now: the handler has said something from
// inside, or the application's function may look at the Content-Type, which may have come later.
func (f *fill) undecided(s said) bool { return s.ttlSet || s.noStore || f.rt.ttlFunc != nil }

// conclude is complete for an answer that may be shared.
func (f *fill) conclude(rec *recorder, body []byte, said said) {
	f.shared()
	f.learn()
	f.lastWord(rec, said)
	kept := f.verdict() == ""
	if !kept {
		f.endFlight() // it goes to those who wait already, and ends with them
	}
	var e *entry
	if kept || f.followed() {
		if kept && rec.head["Etag"] == nil && rec.status == http.StatusOK && !f.rt.noETag {
			rec.head["Etag"], rec.ownTag = rec.line(rec.entityTag(body)), true
		}
		if f.head {
			body = nil
		}
		if !rec.frozen {
			body = slices.Clone(body)
		}
		e = f.entryOf(rec, body)
	}
	if kept {
		f.store(e)
	}
	f.mu.Lock()
	f.entry = e
	f.short = !rec.exact() && rec.n < rec.length
	f.phase = whole
	f.broadcast()
	f.mu.Unlock()
	if kept && !f.writing {
		f.endFlight() // before the first client gets it, who may be slow
	}
}

func (f *fill) followed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting > 0
}

// commit stores an answer whose body has left already.
func (f *fill) commit(rec *recorder, body []byte) {
	said := f.scope.close()
	f.decide(f.judge(rec.status, rec.head, rec.length, said))
	f.lastWord(rec, said)
	if f.verdict() != "" {
		return
	}
	if spare := cap(body) - len(body); spare > len(body)/8 {
		body = slices.Clone(body) // a store counts what it can see
	}
	e := f.entryOf(rec, slices.Clip(body))
	f.mu.Lock()
	f.entry = e // who comes while the store is being written gets all that a stored response gives
	f.mu.Unlock()
	f.store(e)
}

// lastWord asks what can only be told when the handler has returned, and names the answer.
func (f *fill) lastWord(rec *recorder, s said) {
	var bad Reason
	f.tags, bad = f.tagsOf(s, rec.head)
	for s := f.scope.outer; s != nil; s = s.outer {
		s.addTags(f.tags)
	}
	switch {
	case f.verdict() != "":
	case !rec.exact():
		f.refuse(ReasonShortBody)
	case hasTrailers(rec.header):
		f.refuse(ReasonTrailers)
	case rec.status == http.StatusPartialContent && !rec.isPart():
		f.refuse(ReasonPartial)
	case f.ctx.Err() != nil: // whatever the handler made of that
		f.refuse(ReasonAbandoned)
	case bad != "":
		f.refuse(bad)
	case f.rt.storable != nil:
		if storable, ok := f.askStorable(rec); !ok {
			f.refuse(ReasonCallbackPanic)
		} else if !storable {
			f.refuse(ReasonPredicate)
		}
	}
}

// tagsOf returns the tags of the route, of the request, from inside and of the groups of the answer: all of them, or why that is not stored.
func (f *fill) tagsOf(s said, h http.Header) ([]string, Reason) {
	tags := f.rt.tags
	if f.rt.tagsFunc != nil {
		more, ok := f.askTags()
		if !ok {
			return nil, ReasonCallbackPanic
		}
		tags = append(slices.Clip(tags), more...)
	}
	if len(s.tags) > 0 {
		tags = append(slices.Clip(tags), s.tags...)
	}
	if groups := f.rt.groupTags(f.req, h["Cache-Groups"]); groups != nil {
		tags = append(slices.Clip(tags), groups...)
	}
	if len(tags) == 0 {
		return nil, ""
	}
	tags = slices.Clone(tags)
	slices.Sort(tags)
	tags = slices.Compact(tags)
	switch {
	case len(tags) > maxTags:
		return nil, ReasonTooManyTags
	case slices.ContainsFunc(tags, func(t string) bool { return tagFault(t) != "" }), !f.engine.store.sequenced():
		return nil, ReasonBadTag
	}
	return tags, ""
}

func (f *fill) askTags() (tags []string, ok bool) {
	defer f.recovered("TagsFunc", &ok)
	return f.rt.tagsFunc(f.req), true
}

func (f *fill) askStorable(rec *recorder) (storable, ok bool) {
	defer f.recovered("Storable", &ok)
	return f.rt.storable(f.req, rec.status, rec.head), true
}

// store keeps e, and the index of its variants: at once in memory; elsewhere when the clients have their answer.
func (f *fill) store(e *entry) {
	b := &f.engine.store
	ttl := e.remaining(time.Now())
	if ttl <= 0 {
		f.refuse(ReasonNoLifetime)
		return
	}
	f.engine.retries.forget(f.base)
	if b.local != nil {
		f.keep(context.Background(), e, ttl)
		return
	}
	if b.numbers != nil && e.Incarnation == 0 {
		f.refuse(ReasonStoreFailed) // the last look-up did, so that nobody can tell what was invalidated since
		return
	}
	if !f.engine.begin() {
		return // closed
	}
	f.writing = true
	written, writtenToo := f.engine.pending.begin(e.Key()), func() {}
	if key, ok := f.languageKey(e); ok {
		writtenToo = f.engine.pending.begin(key)
	}
	go func() { // ends with the store's deadline
		defer f.engine.work.Done()
		defer writtenToo()
		defer written()
		defer f.endFlight()
		defer f.lease.release()
		ctx, cancel := b.writeContext()
		defer cancel()
		f.keep(ctx, e, ttl)
	}()
}

func (f *fill) keep(ctx context.Context, e *entry, ttl time.Duration) {
	b := &f.engine.store
	why, err := b.keepUnder(ctx, f.lease, e, ttl)
	if why == "" && f.variant != "" {
		if err = f.engine.keepIndex(ctx, f, ttl); err == nil {
			err = f.keepLanguage(ctx, e, ttl)
		}
	}
	if why != "" {
		f.refuse(why)
	}
	if err != nil {
		f.failedWrite(cmp.Or(why, ReasonStoreFailed), err)
	}
}

// failedWrite reports a store that did not take an answer, or refused it.
func (f *fill) failedWrite(why Reason, err error) {
	f.engine.report(f.engine.ctx, Event{Outcome: Failed, Reason: why, Key: f.base, Start: f.began, Err: err})
}
