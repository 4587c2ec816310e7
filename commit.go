package reprise

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/reprise-go/reprise/internal/rfc9111"
)

// classify judges the head as soon as the handler has written it, so that nobody waits for an answer that is not for him.
func (f *fill) classify(rec *recorder) {
	j := f.judge(rec.status, rec.head, rec.length, f.scope.sofar())
	if !j.shareable {
		f.judgement = j
		f.goAlone(j.reason)
		return
	}
	f.mu.Lock()
	if f.reason != "" { // FillTimeout
		j.reason = f.reason
	}
	f.judgement = j
	f.mu.Unlock()
	if len(rec.f.rt.vary) > 0 {
		mergeVary(rec.head, rec.f.rt.vary)
	}
	f.learn()
}

// mergeVary adds names to the Vary field of h.
func mergeVary(h http.Header, names []string) {
	have, star := rfc9111.VaryNames(http.Header{"Vary": h["Vary"]})
	if star {
		return
	}
	for _, name := range names {
		if !slices.Contains(have, name) {
			h["Vary"] = append(h["Vary"][:len(h["Vary"]):len(h["Vary"])], name)
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
			all = append(all[:len(all):len(all)], name)
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
func (f *fill) complete(rec *recorder, body []byte, isWhole bool) {
	said := f.scope.close()
	if f.timer != nil {
		f.timer.Stop()
	}
	if f.shareable {
		j := f.judge(rec.status, rec.head, rec.length, said)
		switch {
		case !j.shareable:
			f.goAlone(j.reason)
		case !isWhole && j.reason == "":
			j.reason = ReasonShortBody
		}
		f.mu.Lock()
		f.judgement = j
		f.mu.Unlock()
	}
	if !f.shareable || f.head {
		f.finishHead(rec, body)
		return
	}
	f.learn()
	if f.reason == "" {
		f.reason = f.lastWord(rec, said)
	}
	var e *entry
	if f.reason == "" {
		if rec.status == http.StatusOK && !f.rt.noETag && rec.head["Etag"] == nil {
			rec.head["Etag"] = []string{entityTag(body)}
		}
		e = f.entryOf(rec, slices.Clone(body))
	} else if f.followed() {
		e = f.entryOf(rec, slices.Clone(body))
	}
	if f.reason == "" {
		f.store(e)
	}
	f.deliverWhole(e)
}

// finishHead hands the answer to a HEAD request to those who follow it, where it may be handed on.
func (f *fill) finishHead(rec *recorder, body []byte) {
	if !f.shareable || !f.followed() {
		return
	}
	f.deliverWhole(f.entryOf(rec, slices.Clone(body)))
}

func (f *fill) followed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.waiting > 0
}

func (f *fill) deliverWhole(e *entry) {
	f.mu.Lock()
	f.entry = e
	f.phase = whole
	f.broadcast()
	f.mu.Unlock()
}

// commit stores an answer whose body has left already.
func (f *fill) commit(rec *recorder, body []byte) {
	said := f.scope.close()
	j := f.judge(rec.status, rec.head, rec.length, said)
	if j.reason == "" {
		j.reason = f.lastWord(rec, said)
	}
	f.mu.Lock()
	f.judgement = j
	f.mu.Unlock()
	if j.reason != "" {
		return
	}
	if rec.head["Etag"] == nil && rec.status == http.StatusOK && !f.rt.noETag {
		rec.head = rec.head.Clone() // followers are reading the one that was sent
		rec.head["Etag"] = []string{entityTag(body)}
	}
	f.store(f.entryOf(rec, slices.Clip(body)))
}

// lastWord asks what only the route can say, and names the answer.
func (f *fill) lastWord(rec *recorder, s said) (reason Reason) {
	if hasTrailers(rec.header) {
		return ReasonTrailers
	}
	if f.tags, reason = f.tagsOf(s); reason != "" {
		return reason
	}
	if f.rt.storable == nil {
		return ""
	}
	storable, ok := f.askStorable(rec)
	switch {
	case !ok:
		return ReasonCallbackPanic
	case !storable:
		return ReasonPredicate
	}
	return ""
}

// tagsOf returns the tags of the route, of the request and from inside: all of them, or why the answer is not stored.
func (f *fill) tagsOf(s said) ([]string, Reason) {
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
		f.reason = ReasonNoLifetime
		return
	}
	if f.background {
		f.engine.retries.forget(f.base)
	}
	if b.local != nil {
		f.keep(context.Background(), e, ttl)
		return
	}
	if !f.engine.begin() {
		return // closed
	}
	f.writing = true
	go func() { // ends with the store's deadline
		defer f.engine.work.Done()
		ctx, cancel := b.writeContext()
		defer cancel()
		f.keep(ctx, e, ttl)
		if f.key != "" {
			f.engine.fills.End(f.base, f.key, f)
		}
	}()
}

func (f *fill) keep(ctx context.Context, e *entry, ttl time.Duration) {
	b := &f.engine.store
	why, err := b.keep(ctx, e, e, e.bytes(), ttl)
	if why == "" && f.variant != "" {
		err = f.engine.keepIndex(ctx, f, e, ttl)
	}
	if why == ReasonLateFill {
		f.mu.Lock()
		f.reason = why
		f.mu.Unlock()
	}
	if err != nil {
		f.failedWrite(err)
	}
}

// failedWrite reports a store that did not take an answer, or refused it.
func (f *fill) failedWrite(err error) {
	f.engine.report(f.engine.ctx, Event{Outcome: Failed, Reason: ReasonStoreFailed, Key: f.base, Start: f.began, Err: err})
}
