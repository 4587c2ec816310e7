package reprise

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/header"
	"github.com/reprise-go/reprise/internal/rfc9111"
	"github.com/reprise-go/reprise/internal/wire"
)

// judgement is what is to become of a response. It is made when the handler writes the head, and once more when it has returned and
// may have said more.
type judgement struct {
	reason    Reason   // why it is not stored; "" if it is
	vary      []string // selecting fields that are not in the base key
	lifetime  time.Duration
	shareable bool
	explicit  bool
	validates bool // the origin can be asked whether it is still the current one
}

const maxVary = 16 // selecting fields of a URL

// judge answers, top first: is it safe to share, may it be stored, for how long (DESIGN §3 "who decides").
func (f *fill) judge(status int, h http.Header, length int64, s said) (j judgement) {
	resp := &f.recorder.resp
	*resp = rfc9111.Parse(status, h, f.rt.targeted)
	if f.writes {
		j.reason = ReasonMethod
		return j
	}
	if f.head {
		j.reason = ReasonHead
		why := resp.Storable(f.rfcRequest(), f.rules())
		j.shareable = f.head && (why == "" || why == rfc9111.NoFreshness) && !s.noStore && !eventStream(h)
		return j
	}
	f.weigh(&j, h, length, s)
	return j
}

// weigh judges an answer as one to GET.
func (f *fill) weigh(j *judgement, h http.Header, length int64, s said) {
	rt, resp := f.rt, &f.recorder.resp
	switch why := resp.Storable(f.rfcRequest(), f.rules()); why {
	case "", rfc9111.NoFreshness:
		j.shareable = true
	case rfc9111.NotUnderstood:
		j.reason = ReasonMustUnderstand // and so nobody has asked what else it says, private and Set-Cookie among it
		return
	case rfc9111.Interim: // 101 is the only one that ends here
		j.reason = ReasonUpgrade
		return
	default:
		// Nobody else's answer either: also a 206 or 304 that nobody asked for.
		j.reason = Reason(why)
		if why == rfc9111.Cookie {
			j.reason = f.identified // a certificate counts as one
		}
		return
	}
	switch {
	case s.noStore || s.ttlSet && s.ttl <= 0:
		j.shareable, j.reason = false, ReasonFromInside
	case eventStream(h):
		j.shareable, j.reason = false, ReasonEventStream
	case !f.searchFits(h):
		j.shareable, j.reason = false, ReasonSearch // those who follow share a rule, and not this answer
	case f.part && resp.Status != http.StatusPartialContent:
		j.reason = ReasonConditional
	case length > rt.maxBody:
		j.shareable, j.reason = false, ReasonTooLarge
	case h["Trailer"] != nil:
		j.reason = ReasonTrailers
	case !f.fieldsFit(h):
		j.reason = ReasonFieldsTooLarge
	}
	if j.reason != "" {
		return
	}
	for _, name := range resp.Vary {
		if !slices.Contains(rt.vary, name) && !rt.hidesField(name) {
			j.vary = append(j.vary, name)
		}
	}
	if len(j.vary) > maxVary {
		j.reason = ReasonVariesOnUncertain
		return
	}
	j.reason = f.live(j, h, s)
}

// hidesField reports whether a credential is none that the answer depends on: the handler is not shown it, or what it is shown is in
// the key.
func (rt *Route) hidesField(name string) bool {
	return name == "Cookie" && (rt.cookiesSet || rt.public) || name == "Authorization" && rt.public
}

func eventStream(h http.Header) bool {
	ct, _, _ := strings.Cut(header.First(h, "Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(ct), "text/event-stream")
}

// stores reports whether the route stores answers of that status that state no lifetime.
func (rt *Route) stores(status int) bool { return status < len(rt.codes) && rt.codes[status] }

// live finds the lifetime. It returns why the response has none.
func (f *fill) live(j *judgement, h http.Header, s said) Reason {
	rt, resp := f.rt, &f.recorder.resp
	status := resp.Status
	d, explicit := resp.Lifetime(f.began)
	switch {
	case rt.statuses != nil && !rt.stores(status):
		return ReasonStatus
	case s.ttlSet:
		d = s.ttl
	case rt.overrideTTL > 0 && (explicit || rt.stores(status)):
		d = rt.overrideTTL
	case explicit:
	case rt.standard:
		d = resp.Heuristic(f.began)
	case rt.ttlFunc != nil:
		var ok bool
		if d, ok = f.callTTLFunc(status, h); !ok {
			return ReasonCallbackPanic
		}
	case !rt.stores(status):
		return ReasonStatus
	default:
		d = rt.ttl
		if t, ok := rt.statusTTL[status]; ok {
			d = t
		}
	}
	j.lifetime, j.explicit = d, explicit
	j.validates = f.validatable(status, h)
	if j.validates && (explicit || rt.standard || resp.CC.NoCache) {
		return "" // whatever its lifetime
	}
	if resp.CC.NoCache {
		return ReasonNoCache
	}
	while, ifError := f.windows(resp)
	if d <= 0 && while <= 0 && ifError <= 0 {
		return ReasonNoLifetime
	}
	return ""
}

// windows returns how long after its lifetime the response may be served stale: by its own word, else the route's.
func (f *fill) windows(resp *rfc9111.Response) (while, ifError wire.Window) {
	if resp.MustRevalidate() {
		return 0, 0
	}
	w, i := f.rt.staleWhile, f.rt.staleIf
	if o := resp.CC.StaleWhileRevalidate; o.Set {
		w = o.D
	}
	if o := resp.CC.StaleIfError; o.Set {
		i = o.D
	}
	return wire.WindowOf(w), wire.WindowOf(i)
}

func (f *fill) callTTLFunc(status int, h http.Header) (d time.Duration, ok bool) {
	defer f.recovered("TTLFunc", &ok)
	return f.rt.ttlFunc(status, h), true
}

// recovered logs what an option's function panicked with. Deferred; ok stays false then.
func (f *fill) recovered(option string, ok *bool) {
	if v := recover(); v != nil {
		*ok = false
		if f.rt.optionPanics.again() {
			f.engine.log.Error("reprise: an option's function panicked; the answer is not stored", "option", option, "panic", v, "key", f.base)
		}
	}
}

func (f *fill) rfcRequest() rfc9111.Request {
	return rfc9111.Request{
		Method:        http.MethodGet, // a method that was opted in is in the key
		Authorization: f.identified == ReasonAuthorization,
		Cookie:        f.identified == ReasonCookie || f.identified == ReasonClientCert,
	}
}

func (f *fill) rules() rfc9111.Rules {
	rt := f.rt
	return rfc9111.Rules{
		Private:    rt.perUser != nil,
		SetCookie:  rt.setCookie,
		Method:     true,
		DefaultTTL: !rt.standard,
		Partial:    f.part,
		Standard:   rt.standard,
		ByCookie:   rt.byCookie,
	}
}

// fieldsFit reports whether h is within Limits.FieldBytes, and what a record can hold.
func (f *fill) fieldsFit(h http.Header) bool {
	bytes, lines := 0, 0
	for name, values := range h {
		if len(name) > wire.MaxName {
			return false
		}
		for _, v := range values {
			bytes += len(name) + len(v)
		}
		lines += len(values)
	}
	return bytes <= f.engine.config.Limits.FieldBytes && lines <= wire.MaxLines && len(h) <= wire.MaxFields
}

// entityTag is a digest of the body: the same in every process, and nobody can make two bodies with one.
func (s *scratch) entityTag(body []byte) string {
	sum := sha256.Sum256(body)
	var tag [2*16 + 2]byte
	tag[0], tag[len(tag)-1] = '"', '"'
	hex.Encode(tag[1:], sum[:16])
	return s.text(tag[:])
}

// keeps returns cc, by which fields are taken off before others get them, without those of private="…" that one user may be given
// again. A cookie is one client's all the same (I3).
func (rt *Route) keeps(cc header.CacheControl) header.CacheControl {
	if rt.perUser == nil || len(cc.PrivateFields) == 0 {
		return cc
	}
	cc.PrivateFields = slices.DeleteFunc(slices.Clone(cc.PrivateFields), func(name string) bool {
		return rt.setCookie || name != "Set-Cookie" && name != "Set-Cookie2"
	})
	return cc
}

// entryOf makes the entry of an answer. body is its own from now on.
func (f *fill) entryOf(rec *recorder, body []byte) *entry {
	rt := f.rt
	resp := &rec.resp
	h := rec.stored(rt.keeps(resp.CC))
	if f.verdict() == "" && h["Etag"] == nil && rec.status == http.StatusOK && !rt.noETag {
		// For what has left without one; the fields that did so are not touched.
		h["Etag"], rec.ownTag = rec.line(rec.entityTag(body)), true
	}
	status := rec.status
	if status == http.StatusPartialContent {
		h = maps.Clone(h) // the first client gets its own part
		body, status = f.joined(h, body)
	}
	now := time.Now()
	if h["Date"] == nil {
		h["Date"] = rec.line(f.engine.text.date(now))
	}
	switch {
	case rec.status == http.StatusNoContent:
		delete(h, "Content-Length") // RFC 9110 §8.6
	case rec.noBody:
	case f.head:
		if h["Content-Length"] == nil && rec.n > 0 { // as net/http does
			h["Content-Length"] = rec.line(strconv.FormatInt(rec.n, 10))
		}
	case rec.exact():
		h["Content-Length"] = rec.line(f.engine.text.length.of(int64(len(body)), "", ""))
	}

	e := &entry{}
	e.Kind = wire.Response
	e.Status = uint16(status) //nolint:gosec // 200 to 999
	e.Body = body
	e.Sequence, e.Incarnation = f.number, f.incarnation
	e.Flags = f.flags(status, len(body) > 0 && len(rec.head["Content-Type"]) == 0, h["Etag"] != nil && !rec.ownTag)
	e.Born = now.Add(-resp.InitialAge(f.began, now)).UnixNano()
	e.StaleWhile, e.StaleIf = f.windows(resp)
	key := f.entryKey()
	e.Expires = after(time.Unix(0, e.Born), jittered(f.lifetime, rt.jitter, key))
	e.SetHead(wire.Head{Key: key, Base: f.base, URL: f.url, Path: f.path, Tags: f.tags, Fields: h})
	return e
}

func (f *fill) flags(status int, untyped, originTag bool) (flags wire.Flags) {
	resp := &f.recorder.resp
	for _, x := range []struct {
		on   bool
		flag wire.Flags
	}{
		{resp.MustRevalidate(), wire.MustRevalidate},
		{resp.CC.NoCache, wire.NoCache},
		{resp.Shareable(), wire.Shareable},
		{resp.Authorizable(), wire.Authorized},
		{f.rt.perUser != nil, wire.PerUser},
		{f.covered || f.identified != "", wire.Identified},
		{resp.CC.Immutable, wire.Immutable},
		{f.explicit, wire.Explicit},
		{untyped, wire.Untyped},
		{originTag, wire.OriginTag},
		{status == http.StatusPartialContent, wire.Partial},
		{f.validates || f.rt.standard && !resp.MustRevalidate() && !resp.CC.NoCache, wire.Lasting},
	} {
		if x.on {
			flags |= x.flag
		}
	}
	return flags
}

// jittered shortens d by up to fraction, by key alone.
func jittered(d time.Duration, fraction float64, key string) time.Duration {
	if fraction == 0 || d == Forever {
		return d
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd // FNV leaves the high bits of like keys alike
	x ^= x >> 33
	return d - time.Duration(fraction*float64(d)*float64(x>>11)/(1<<53))
}

// remaining is how long e is of use to the store, from now.
func (e *entry) remaining(now time.Time) time.Duration {
	window := max(e.StaleWhile.Duration(), e.StaleIf.Duration())
	if e.Flags&wire.Lasting != 0 {
		window = max(window, min(max(time.Duration(e.Expires-e.Born), lastingLeast), lastingMost))
	}
	if e.Expires == int64(Forever) || window == Forever {
		return Forever
	}
	left := time.Duration(e.Expires - now.UnixNano())
	if left > Forever-window {
		return Forever
	}
	return left + window
}
