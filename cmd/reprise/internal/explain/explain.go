// Package explain says what a shared cache makes of a response, decision by decision, with the section that each one comes
// from. It asks the functions by which reprise decides, so that it cannot say anything else.
package explain

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/reprise-go/reprise/internal/rfc9111"
)

// Exchange is a request with its response.
type Exchange struct {
	Method   string
	Request  http.Header
	Status   int
	Response http.Header
	Sent     time.Time // when the request was sent
	Received time.Time // when the response came

	AllowSetCookie, AllowCookies bool // as the proxy's flags
}

// Decision is one question with its answer.
type Decision struct {
	Question string
	Answer   string
	Section  string // "RFC 9111 §3"; "" for what is reprise's own
}

// Decisions returns what is decided, in order.
func Decisions(x Exchange) []Decision {
	resp := rfc9111.Parse(x.Status, x.Response, []string{"Cdn-Cache-Control"})
	var ds []Decision
	say := func(question, section, format string, args ...any) {
		ds = append(ds, Decision{question, fmt.Sprintf(format, args...), section})
	}

	if resp.Targeted {
		say("which field", "RFC 9213 §2.2", "CDN-Cache-Control is for this kind of cache; Cache-Control and Expires are not looked at")
	} else {
		say("which field", "RFC 9111 §5.2", "Cache-Control%s", value(x.Response["Cache-Control"]))
	}
	request := rfc9111.RequestDirectives(x.Request)
	why := resp.Storable(rfc9111.Request{
		Method: x.Method, CC: request,
		Authorization: x.Request["Authorization"] != nil,
		Cookie:        x.Request["Cookie"] != nil,
	}, rfc9111.Rules{Standard: true, SetCookie: x.AllowSetCookie, ByCookie: !x.AllowCookies, Partial: true})
	if why != "" {
		r := reasons()[why]
		say("may it be stored", r.section, "no: %s", r.text)
		return ds
	}
	say("may it be stored", "RFC 9111 §3", "yes%s", permission(x, &resp))
	if len(resp.CC.NoCacheFields)+len(resp.CC.PrivateFields) > 0 {
		say("without which fields", "RFC 9111 §5.2.2.4, §5.2.2.7", "%s", strings.Join(append(resp.CC.NoCacheFields, resp.CC.PrivateFields...), ", "))
	}
	if len(resp.Vary) > 0 {
		say("for which requests", "RFC 9111 §4.1", "those with the same %s", strings.Join(resp.Vary, ", "))
	} else {
		say("for which requests", "RFC 9111 §4.1", "all of its URL")
	}

	lifetime := lifetime(x, &resp, say)
	age := resp.InitialAge(x.Sent, x.Received)
	say("how old is it already", "RFC 9111 §4.2.3", "%s, by Age%s, Date%s and the time that the request took", short(age), value(x.Response["Age"]), value(x.Response["Date"]))
	reuse(x, &resp, lifetime, age, say)
	return ds
}

// permission says what allows storing.
func permission(x Exchange, resp *rfc9111.Response) string {
	switch {
	case x.Request["Authorization"] != nil:
		return ": the request has Authorization, and the response says public, s-maxage or must-revalidate (§3.5)"
	case x.Request["Cookie"] != nil && resp.Shareable():
		return ": the request has Cookie, and the response says public or s-maxage"
	case x.Request["Cookie"] != nil:
		return ": the request has Cookie, and --allow-cookies is set"
	case resp.SetCookie:
		return ": it sets a cookie, and --allow-set-cookie is set"
	}
	return ""
}

type sayer func(question, section, format string, args ...any)

// lifetime says for how long the response is fresh.
func lifetime(x Exchange, resp *rfc9111.Response, say sayer) time.Duration {
	const question = "how long is it fresh"
	d, explicit := resp.Lifetime(x.Received)
	switch {
	case resp.CC.SMaxAge.Set:
		say(question, "RFC 9111 §4.2.1, §5.2.2.10", "%s, by s-maxage%s", short(d), unreadable(resp.CC.SMaxAge.Invalid))
	case resp.CC.MaxAge.Set:
		say(question, "RFC 9111 §4.2.1, §5.2.2.1", "%s, by max-age%s", short(d), unreadable(resp.CC.MaxAge.Invalid))
	case explicit:
		say(question, "RFC 9111 §4.2.1, §5.3", "%s, by Expires less Date%s", short(d), unreadable(resp.Expires.IsZero()))
	default:
		d = resp.Heuristic(x.Received)
		if d > 0 {
			say(question, "RFC 9111 §4.2.2", "%s, a tenth of the time since Last-Modified: the response itself does not say", short(d))
		} else {
			say(question, "RFC 9111 §4.2.2", "not at all: the response does not say, and nothing allows a guess")
		}
	}
	return d
}

func unreadable(bad bool) string {
	if bad {
		return ", whose value cannot be read"
	}
	return ""
}

// reuse says what the next requests get.
func reuse(x Exchange, resp *rfc9111.Response, lifetime, age time.Duration, say sayer) {
	stored := rfc9111.Stored{
		Age: age, Lifetime: lifetime,
		MustRevalidate: resp.MustRevalidate(),
		NoCache:        resp.CC.NoCache,
		StaleWhile:     resp.CC.StaleWhileRevalidate.D,
		StaleIf:        resp.CC.StaleIfError.D,
	}
	request := rfc9111.RequestDirectives(x.Request)
	verdict, why := rfc9111.Reuse(&request, stored)
	r := reasons()[why]
	answer := map[rfc9111.Verdict]string{
		rfc9111.Fresh:           "the stored response",
		rfc9111.StaleAllowed:    "the stored response, stale",
		rfc9111.WhileRevalidate: "the stored response, stale, while it is refreshed",
		rfc9111.Validate:        "what the origin says then",
	}[verdict]
	say("what does the same request get next", r.section, "%s: %s", answer, r.text)

	validators := rfc9111.Validators{ETag: x.Response.Get("Etag"), LastModified: x.Response.Get("Last-Modified"), Date: x.Response.Get("Date")}
	out := make(http.Header)
	if validators.Conditional(out) {
		var fields []string
		for _, name := range []string{"If-None-Match", "If-Modified-Since"} {
			if v := out.Get(name); v != "" {
				fields = append(fields, name+": "+v)
			}
		}
		say("how is the origin asked once it is stale", "RFC 9111 §4.3.1", "with %s", strings.Join(fields, " and "))
	} else {
		say("how is the origin asked once it is stale", "RFC 9111 §4.3.1", "for all of it: it has no validator")
	}
	switch {
	case stored.MustRevalidate:
		say("may it be served stale", "RFC 9111 §4.2.4, §5.2.2.2", "never: must-revalidate, proxy-revalidate or s-maxage")
	case stored.NoCache:
		say("may it be served stale", "RFC 9111 §5.2.2.4", "never: no-cache")
	default:
		if stored.StaleWhile > 0 {
			say("may it be served stale", "RFC 5861 §3", "for %s, while it is refreshed", short(stored.StaleWhile))
		}
		if stored.StaleIf > 0 {
			say("may it be served stale", "RFC 5861 §4", "for %s, instead of an error of the origin", short(stored.StaleIf))
		}
		say("may it be served stale", "RFC 9111 §4.2.4", "when the origin cannot be reached")
	}
}

// reason is a reason in words.
type reason struct{ section, text string }

// reasons puts into words why something is not stored, or why it is reused or not.
func reasons() map[rfc9111.Reason]reason {
	return map[rfc9111.Reason]reason{
		rfc9111.NoStore:          {"RFC 9111 §5.2.2.5", "it says no-store"},
		rfc9111.RequestNoStore:   {"RFC 9111 §5.2.1.5", "the request says no-store"},
		rfc9111.Private:          {"RFC 9111 §5.2.2.7", "it says private, and this is a shared cache"},
		rfc9111.Method:           {"RFC 9111 §3", "responses to this method are not stored"},
		rfc9111.Interim:          {"RFC 9111 §3", "its status is not a final one"},
		rfc9111.NotModifiedReply: {"RFC 9111 §3", "a 304 freshens what is stored, and is nothing by itself"},
		rfc9111.PartialContent:   {"RFC 9111 §3.3", "it is several parts, which are not stored"},
		rfc9111.NotUnderstood:    {"RFC 9111 §5.2.2.3", "it says must-understand, and its status is unknown"},
		rfc9111.Authorization:    {"RFC 9111 §3.5", "the request has Authorization, and the response says none of public, s-maxage and must-revalidate"},
		rfc9111.Cookie:           {"", "the request has Cookie, and the response says neither public nor s-maxage; --allow-cookies or a rule for the route would share it"},
		rfc9111.SetCookie:        {"RFC 9111 §7.3", "it sets a cookie, which everybody would get; --allow-set-cookie would share it"},
		rfc9111.VaryStar:         {"RFC 9111 §4.1", "Vary has a member that no other request can match"},
		rfc9111.NoFreshness:      {"RFC 9111 §3", "it states no lifetime, and neither its status nor public allows a guess"},

		rfc9111.IsFresh:         {"RFC 9111 §4.2", "it is younger than its lifetime"},
		rfc9111.IsStale:         {"RFC 9111 §4.2", "it is as old as its lifetime, or older"},
		rfc9111.NoCache:         {"RFC 9111 §5.2.2.4", "it says no-cache"},
		rfc9111.MustRevalidate:  {"RFC 9111 §5.2.2.2", "it is stale, and must not be served so"},
		rfc9111.RequestNoCache:  {"RFC 9111 §5.2.1.4", "the request says no-cache"},
		rfc9111.RequestMaxAge:   {"RFC 9111 §5.2.1.1", "the request wants none so old"},
		rfc9111.RequestMinFresh: {"RFC 9111 §5.2.1.3", "the request wants one that is fresh for longer"},
		rfc9111.RequestMaxStale: {"RFC 9111 §5.2.1.2", "the request says how stale it may be"},
		rfc9111.WhileStale:      {"RFC 5861 §3", "it says stale-while-revalidate"},
		rfc9111.OnlyIfCached:    {"RFC 9111 §5.2.1.7", "504, for the request says only-if-cached"},
	}
}

func value(lines []string) string {
	if len(lines) == 0 {
		return " (absent)"
	}
	return " (" + strings.Join(lines, ", ") + ")"
}

func short(d time.Duration) string { return d.Round(time.Second).String() }
