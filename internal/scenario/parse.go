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

// script is a file as parsed: what is said, not yet done.
type script struct {
	file      string
	scenarios []*scenario
}

type scenario struct {
	line   int
	name   string
	mark   string
	config []Option
	routes []route
	outer  []field
	origin []*handler
	steps  []step
}

type route struct {
	line  int
	plain bool
	Route
}

type field struct{ name, value string }

// A step does one thing to the world; errors that end the scenario are returned, others are reported to the test.
type step struct {
	line int
	mark string
	do   action
}

type action interface {
	run(w *world, line int) error
}

// What a step can be.
type (
	send struct {
		client, method, target string
		fields                 []field
		body                   string
	}
	advance    time.Duration
	calls      int64
	hangUp     string
	setOrigin  []*handler
	setProcess string
	newProcess struct{}
	parallel   struct {
		clients int
		pairs   []pair
	}
	pair struct {
		send   *send
		line   int
		expect *expect
	}
	tally   map[string]int
	command struct {
		words  []string
		fields []field
		output *string
		has    []string
		fails  []string
	}
)

// parser reads a tree. The first mistake ends it.
type parser struct{ file string }

func (p *parser) errorf(line int, format string, args ...any) error {
	return &syntaxError{p.file, line, fmt.Sprintf(format, args...)}
}

func parse(file, src string) (*script, error) {
	nodes, err := parseTree(file, src)
	if err != nil {
		return nil, err
	}
	p := &parser{file}
	s := &script{file: file}
	for len(nodes) > 0 {
		head := nodes[0]
		if !strings.HasPrefix(head.text, "== ") {
			return nil, p.errorf(head.line, "%q before the first scenario", head.text)
		}
		end := 1
		for end < len(nodes) && !strings.HasPrefix(nodes[end].text, "== ") {
			end++
		}
		sc, err := p.scenario(head, nodes[1:end])
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.scenarios, func(o *scenario) bool { return o.name == sc.name }) {
			return nil, p.errorf(head.line, "a second scenario %q", sc.name)
		}
		s.scenarios = append(s.scenarios, sc)
		nodes = nodes[end:]
	}
	if len(s.scenarios) == 0 {
		return nil, p.errorf(1, "no scenario")
	}
	return s, nil
}

var endMark = regexp.MustCompile(`^(.*?) \[([a-z]+)\]$`)

func (p *parser) scenario(head *node, nodes []*node) (*scenario, error) {
	sc := &scenario{line: head.line, name: strings.TrimSpace(head.text[3:])}
	if m := endMark.FindStringSubmatch(sc.name); m != nil {
		sc.name, sc.mark = m[1], m[2]
	}
	if err := p.leaf(head); err != nil {
		return nil, err
	}
	for len(nodes) > 0 {
		n := nodes[0]
		nodes = nodes[1:]
		word, rest, _ := strings.Cut(n.text, " ")
		setting := false
		var err error
		switch word {
		case "config", "route", "plain", "outer":
			setting = true
			err = p.setting(sc, n, word, rest)
		case "handler":
			handlers := []*handler{}
			for {
				h, err := p.handler(n)
				if err != nil {
					return nil, err
				}
				handlers = append(handlers, h)
				if len(nodes) == 0 || !strings.HasPrefix(nodes[0].text, "handler") {
					break
				}
				n, nodes = nodes[0], nodes[1:]
			}
			if len(sc.steps) == 0 {
				sc.origin = append(sc.origin, handlers...)
			} else {
				sc.steps = append(sc.steps, step{line: n.line, do: setOrigin(handlers)})
			}
		default:
			var s step
			s, err = p.step(n)
			sc.steps = append(sc.steps, s)
		}
		if err != nil {
			return nil, err
		}
		if setting && len(sc.steps) > 0 {
			return nil, p.errorf(n.line, "%s after the first step", word)
		}
	}
	if len(sc.steps) == 0 {
		return nil, p.errorf(head.line, "a scenario without steps")
	}
	return sc, nil
}

func (p *parser) setting(sc *scenario, n *node, word, rest string) error {
	list, err := words(rest)
	if err != nil {
		return p.errorf(n.line, "%v", err)
	}
	if word == "outer" {
		if rest != "" {
			return p.errorf(n.line, "outer takes fields, not %q", rest)
		}
		sc.outer, err = p.fields(n.children)
		return err
	}
	if err := p.leaf(n); err != nil {
		return err
	}
	r := route{line: n.line, plain: word == "plain"}
	for i, w := range list {
		if word != "config" && i == 0 && strings.Contains(w, "/") && !strings.Contains(w, "=") {
			r.Pattern = w
			continue
		}
		o := Option{}
		o.Name, o.Value, _ = strings.Cut(w, "=")
		if o.Name == "" {
			return p.errorf(n.line, "%q is no option", w)
		}
		r.Options = append(r.Options, o)
	}
	if word == "config" {
		sc.config = append(sc.config, r.Options...)
		return nil
	}
	if r.plain && (r.Pattern == "" || len(r.Options) > 0) {
		return p.errorf(n.line, "plain takes a pattern and nothing else")
	}
	if slices.ContainsFunc(sc.routes, func(o route) bool { return o.Pattern == r.Pattern }) {
		return p.errorf(n.line, "a second route for %q", r.Pattern)
	}
	sc.routes = append(sc.routes, r)
	return nil
}

var (
	startMark  = regexp.MustCompile(`^\[([a-z]+)\] +(.*)$`)
	exchangeRE = regexp.MustCompile(`^([a-z][a-z0-9]*)?([<>])(?: (.*))?$`)
	callsRE    = regexp.MustCompile(`^n=([0-9]{1,9})$`)
	nameRE     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
)

// step reads one step. Between a name and its sign there is no blank: a> GET /.
func (p *parser) step(n *node) (step, error) {
	s := step{line: n.line}
	text := n.text
	if m := startMark.FindStringSubmatch(text); m != nil {
		s.mark, text = m[1], m[2]
	}
	if m := exchangeRE.FindStringSubmatch(text); m != nil {
		var err error
		if m[2] == ">" {
			s.do, err = p.send(n, m[1], m[3])
		} else {
			s.do, err = p.expect(n, m[1], m[3])
		}
		return s, err
	}
	list, err := words(text)
	if err != nil {
		return s, p.errorf(n.line, "%v", err)
	}
	switch {
	case text[0] == '!':
		s.do, err = p.command(n, strings.TrimPrefix(text, "!"))
		return s, err
	case list[0] == "parallel":
		s.do, err = p.parallel(n, list[1:])
		return s, err
	}
	if err := p.leaf(n); err != nil {
		return s, err
	}
	switch m := callsRE.FindStringSubmatch(text); {
	case m != nil:
		c, _ := strconv.ParseInt(m[1], 10, 64)
		s.do = calls(c)
	case text[0] == '+':
		d, err := time.ParseDuration(text[1:])
		if err != nil || d <= 0 {
			return s, p.errorf(n.line, "%q is no time to wait", text)
		}
		s.do = advance(d)
	case list[0] == "hangup" && len(list) == 2:
		s.do = hangUp(list[1])
	case list[0] == "process" && len(list) == 2 && nameRE.MatchString(list[1]):
		s.do = setProcess(list[1])
	case text == "new process":
		s.do = newProcess{}
	case list[0] == "tally" && len(list) > 1:
		t := tally{}
		for _, w := range list[1:] {
			mark, count, _ := strings.Cut(w, "=")
			c, err := strconv.Atoi(count)
			if err != nil || c < 0 {
				return s, p.errorf(n.line, "%q is no count", w)
			}
			t[mark] = c
		}
		s.do = t
	default:
		return s, p.errorf(n.line, "%q is no step", text)
	}
	return s, nil
}

func (p *parser) send(n *node, client, rest string) (*send, error) {
	s := &send{client: client}
	list, err := words(rest)
	if err != nil || len(list) != 2 {
		return nil, p.errorf(n.line, "a request is METHOD TARGET, not %q", rest)
	}
	s.method, s.target = list[0], list[1]
	var rows []*node
	for _, c := range n.children {
		if text, ok := bodyText(c.text); ok {
			s.body += text
		} else {
			rows = append(rows, c)
		}
	}
	s.fields, err = p.fields(rows)
	return s, err
}

func (p *parser) parallel(n *node, list []string) (*parallel, error) {
	if len(list) != 1 {
		return nil, p.errorf(n.line, "parallel takes a number of clients")
	}
	clients, err := strconv.Atoi(list[0])
	if err != nil || clients < 1 || clients > 10_000 {
		return nil, p.errorf(n.line, "%q is no number of clients", list[0])
	}
	s := &parallel{clients: clients}
	for i := 0; i < len(n.children); i += 2 {
		var last pair
		for j, c := range n.children[i:min(i+2, len(n.children))] {
			inner, err := p.step(c)
			if err != nil {
				return nil, err
			}
			sent, isSend := inner.do.(*send)
			want, isExpect := inner.do.(*expect)
			switch {
			case j == 0 && isSend && sent.client == "" && inner.mark == "":
				last.send = sent
			case j == 1 && isExpect && want.client == "" && inner.mark == "" && !want.open && !want.goesOn && !want.captures():
				last.line, last.expect = c.line, want
			default:
				return nil, p.errorf(c.line, "parallel takes requests and their whole responses, in turn, and captures nothing")
			}
		}
		if last.expect == nil {
			return nil, p.errorf(n.line, "a request without a response")
		}
		s.pairs = append(s.pairs, last)
	}
	if len(s.pairs) == 0 {
		return nil, p.errorf(n.line, "parallel without requests")
	}
	return s, nil
}

func (p *parser) command(n *node, rest string) (*command, error) {
	list, err := words(rest)
	if err != nil || len(list) == 0 {
		return nil, p.errorf(n.line, "%q is no command", n.text)
	}
	c := &command{words: list}
	var rows []*node
	for _, row := range n.children {
		if err := p.leaf(row); err != nil {
			return nil, err
		}
		word, text, _ := strings.Cut(row.text, " ")
		switch word {
		case "=":
			c.output = &text
		case "~":
			c.has = append(c.has, text)
		case "error":
			c.fails = append(c.fails, text)
		default:
			rows = append(rows, row)
		}
	}
	if len(c.fails) > 0 && (c.output != nil || len(c.has) > 0) {
		return nil, p.errorf(n.line, "an output and an error")
	}
	if _, _, ok := c.request(); !ok && len(rows) > 0 {
		return nil, p.errorf(rows[0].line, "a field, but the command names no request")
	}
	c.fields, err = p.fields(rows)
	return c, err
}

// request returns the method and target at the end of the command.
func (c *command) request() (method, target string, ok bool) {
	if len(c.words) < 3 {
		return "", "", false
	}
	method, target = c.words[len(c.words)-2], c.words[len(c.words)-1]
	return method, target, method == strings.ToUpper(method) && strings.Contains(target, "/")
}

func (p *parser) fields(nodes []*node) ([]field, error) {
	var list []field
	for _, n := range nodes {
		f, ok := parseField(n.text)
		if !ok {
			return nil, p.errorf(n.line, "%q is no field", n.text)
		}
		if err := p.leaf(n); err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

var fieldRE = regexp.MustCompile(`^([!#$%&'*+.^_` + "`" + `|~0-9A-Za-z-]+):(?: (.*))?$`)

func parseField(text string) (field, bool) {
	m := fieldRE.FindStringSubmatch(text)
	if m == nil {
		return field{}, false
	}
	return field{http.CanonicalHeaderKey(m[1]), m[2]}, true
}

// bodyText reads a line of a body: | and, behind one blank, its text, in which \n is a line feed.
func bodyText(text string) (string, bool) {
	if text != "|" && !strings.HasPrefix(text, "| ") {
		return "", false
	}
	return strings.ReplaceAll(strings.TrimPrefix(text[1:], " "), `\n`, "\n"), true
}

// leaf refuses lines below n.
func (p *parser) leaf(n *node) error {
	if len(n.children) > 0 {
		return p.errorf(n.children[0].line, "%q takes no lines below it", n.text)
	}
	return nil
}
