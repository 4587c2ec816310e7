package scenario

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// expect is what a response should be.
type expect struct {
	client string
	any    bool // whatever it is; for tally
	none   bool // the connection is closed without a response
	goesOn bool // only more of the body is looked at
	status int
	mark   string
	early  []int
	rules  []rule
	body   *string
	length int  // -1: any
	open   bool // the body has not ended
	cut    bool // the body breaks off
	took   time.Duration
	atMost bool
}

// rule is what one field should be.
type rule struct {
	op    byte // ':' equal, '~' contains, '=' capture, '!' absent
	name  string
	value string
}

var (
	ruleRE    = regexp.MustCompile(`^([A-Za-z0-9-]+) ([~=]) (.+)$`)
	captureRE = regexp.MustCompile(`^\$[a-z]+$`)
	statusRE  = regexp.MustCompile(`^[1-9][0-9]{2}$`)
	tookRE    = regexp.MustCompile(`^took (<= )?(\S+)$`)
)

func (p *parser) expect(n *node, client, rest string) (*expect, error) {
	e := &expect{client: client, length: -1, took: -1}
	list := strings.Fields(rest)
	switch {
	case len(list) == 0 && client != "":
		e.goesOn = true
	case rest == "cut" || rest == "*":
		e.none, e.any = rest == "cut", rest == "*"
		return e, p.leaf(n)
	case len(list) == 2 && statusRE.MatchString(list[0]) && slices.Contains([]string{"HIT", "MISS", "-", "*"}, list[1]):
		e.status, _ = strconv.Atoi(list[0])
		e.mark = list[1]
	default:
		return nil, p.errorf(n.line, "a response is STATUS and HIT, MISS, - or *, not %q", rest)
	}
	for _, c := range n.children {
		if err := p.leaf(c); err != nil {
			return nil, err
		}
		if err := e.line(c.text); err != nil {
			return nil, p.errorf(c.line, "%v", err)
		}
	}
	switch {
	case e.goesOn && (len(e.rules) > 0 || len(e.early) > 0):
		return nil, p.errorf(n.line, "fields, but no status")
	case e.open && (client == "" || e.cut || e.length >= 0 || e.took >= 0):
		return nil, p.errorf(n.line, "... is for named clients, and for nothing that is known at the end")
	}
	return e, nil
}

func (e *expect) line(text string) error {
	word, rest, _ := strings.Cut(text, " ")
	if b, ok := bodyText(text); ok {
		if e.body != nil {
			b = *e.body + b
		}
		e.body = &b
		return nil
	}
	switch {
	case text == "...":
		e.open = true
	case text == "cut":
		e.cut = true
	case word == "early":
		code, err := strconv.Atoi(rest)
		if err != nil || code < 100 || code > 199 {
			return fmt.Errorf("%q is no informational status", rest)
		}
		e.early = append(e.early, code)
	case word == "length":
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no length", rest)
		}
		e.length = n
	case word == "took":
		m := tookRE.FindStringSubmatch(text)
		if m == nil {
			return fmt.Errorf("%q is no duration", rest)
		}
		d, err := time.ParseDuration(m[2])
		if err != nil || d < 0 {
			return fmt.Errorf("%q is no duration", m[2])
		}
		e.took, e.atMost = d, m[1] != ""
	case text[0] == '!':
		if !fieldRE.MatchString(text[1:] + ":") {
			return fmt.Errorf("%q is no field name", text[1:])
		}
		e.rules = append(e.rules, rule{'!', http.CanonicalHeaderKey(text[1:]), ""})
	default:
		if m := ruleRE.FindStringSubmatch(text); m != nil {
			if m[2] == "=" && !captureRE.MatchString(m[3]) {
				return fmt.Errorf("%q is no name to remember a value by", m[3])
			}
			e.rules = append(e.rules, rule{m[2][0], http.CanonicalHeaderKey(m[1]), m[3]})
			return nil
		}
		f, ok := parseField(text)
		if !ok {
			return fmt.Errorf("%q says nothing about a response", text)
		}
		e.rules = append(e.rules, rule{':', f.name, f.value})
	}
	return nil
}

func (e *expect) captures() bool {
	return slices.ContainsFunc(e.rules, func(r rule) bool { return r.op == '=' })
}

// check compares the response of x with e and returns what is wrong with it. text makes expected texts out of written
// ones; captured is called with each value that is to be remembered.
func (e *expect) check(x *exchange, text func(string) (string, error), captured func(name, value string)) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	x.mu.Lock()
	defer x.mu.Unlock()

	if e.any {
		return nil
	}
	if e.none {
		if x.response != nil {
			bad("response %s; want none", x.response.Status)
		}
		return wrong
	}
	if x.response == nil {
		if x.err != nil {
			bad("no response: %v", x.err)
		} else {
			bad("no response yet")
		}
		return wrong
	}
	if !e.goesOn {
		e.checkHead(x.response, bad, text, captured)
		if e.early != nil && !slices.Equal(e.early, x.early) {
			bad("informational responses %v; want %v", x.early, e.early)
		}
	}

	got := x.body.String()
	x.body.Reset()
	if e.body != nil {
		want, err := text(*e.body)
		if err != nil {
			bad("%v", err)
		} else if got != want {
			bad("body %s; want %s", quote(got), quote(want))
		}
	}
	if e.length >= 0 && len(got) != e.length {
		bad("a body of %d bytes; want %d", len(got), e.length)
	}
	switch {
	case e.open && x.ended():
		bad("the body has ended")
	case e.open:
	case e.cut && x.err == nil:
		bad("the body is whole; want it cut")
	case !e.cut && x.err != nil:
		bad("reading the body: %v", x.err)
	}
	if took := x.end.Sub(x.begin); e.took >= 0 && (took > e.took || took < e.took && !e.atMost) {
		bad("took %v; want %v", took, e.took)
	}
	return wrong
}

func (e *expect) checkHead(r *http.Response, bad func(string, ...any), text func(string) (string, error), captured func(name, value string)) {
	if r.StatusCode != e.status {
		bad("status %d; want %d", r.StatusCode, e.status)
	}
	if mark := markOf(r); e.mark != "*" && e.mark != mark {
		bad("X-Cache %s; want %s (Cache-Status: %s)", mark, e.mark, r.Header.Get("Cache-Status"))
	}
	equal := map[string][]string{}
	for _, rule := range e.rules {
		got := r.Header[rule.name]
		want, err := rule.value, error(nil)
		if rule.op != '=' {
			want, err = text(want)
		}
		switch {
		case err != nil:
			bad("%v", err)
		case rule.op == ':':
			equal[rule.name] = append(equal[rule.name], want)
		case rule.op == '!' && len(got) > 0:
			bad("%s: %q; want no such field", rule.name, got)
		case rule.op == '~' && !slices.ContainsFunc(got, func(s string) bool {
			return strings.Contains(strings.ToLower(s), strings.ToLower(want))
		}):
			bad("%s: %q; want it to contain %q", rule.name, got, want)
		case rule.op == '=' && len(got) != 1:
			bad("%s: %q; want one value to remember", rule.name, got)
		case rule.op == '=':
			captured(want, got[0])
		}
	}
	for name, want := range equal {
		if got := r.Header[name]; !slices.Equal(got, want) {
			bad("%s: %q; want %q", name, got, want)
		}
	}
}

// markOf returns what the status header of a response says; - without one.
func markOf(r *http.Response) string {
	if v := r.Header["X-Cache"]; len(v) > 0 {
		return strings.Join(v, ", ")
	}
	return "-"
}

// quote shortens long texts.
func quote(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%q… (%d bytes)", s[:100], len(s))
	}
	return strconv.Quote(s)
}
