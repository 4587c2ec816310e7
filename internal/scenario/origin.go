package scenario

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// handler is one block of what the origin does.
type handler struct {
	method, path string
	from, to     int64 // calls of the origin that it is for
	lines        []instruction
}

type instruction struct {
	line  int
	op    string
	text  string
	field field
	code  int
	pause time.Duration
	words []string
}

// defaultHandler is the origin of a scenario that says nothing of it.
var defaultHandler = &handler{to: 1 << 62, lines: []instruction{
	{op: "field", field: field{"Content-Type", "text/plain"}},
	{op: "status", code: http.StatusOK},
	{op: "write", text: "v{n}"},
}}

var callRangeRE = regexp.MustCompile(`^n=([0-9]{1,9})(-?)([0-9]{0,9})$`)

func (p *parser) handler(n *node) (*handler, error) {
	h := &handler{to: 1 << 62}
	for _, w := range strings.Fields(n.text)[1:] {
		m := callRangeRE.FindStringSubmatch(w)
		switch {
		case m != nil:
			h.from, _ = strconv.ParseInt(m[1], 10, 64)
			if m[2] == "" {
				h.to = h.from
			}
			if m[3] != "" {
				h.to, _ = strconv.ParseInt(m[3], 10, 64)
			}
		case strings.HasPrefix(w, "/"):
			h.path = w
		case w == strings.ToUpper(w):
			h.method = w
		default:
			return nil, p.errorf(n.line, "%q is no method, path or n=", w)
		}
	}
	for _, c := range n.children {
		if err := p.leaf(c); err != nil {
			return nil, err
		}
		i, err := parseInstruction(c.text)
		if err != nil {
			return nil, p.errorf(c.line, "%v", err)
		}
		i.line = c.line
		h.lines = append(h.lines, i)
	}
	return h, nil
}

func parseInstruction(text string) (instruction, error) {
	if b, ok := bodyText(text); ok {
		return instruction{op: "write", text: b}, nil
	}
	if f, ok := parseField(text); ok {
		return instruction{op: "field", field: f}, nil
	}
	if statusRE.MatchString(text) {
		code, _ := strconv.Atoi(text)
		return instruction{op: "status", code: code}, nil
	}
	word, rest, _ := strings.Cut(text, " ")
	i := instruction{op: word, text: rest}
	var err error
	switch word {
	case "flush", "wait", "abort":
		if rest != "" {
			return i, fmt.Errorf("%s takes nothing", word)
		}
	case "panic":
	case "sleep":
		i.pause, err = time.ParseDuration(rest)
	case "early":
		i.code, err = strconv.Atoi(rest)
		if err == nil && (i.code < 100 || i.code > 199 || i.code == http.StatusSwitchingProtocols) {
			err = fmt.Errorf("%d is no informational status", i.code)
		}
	case "trailer":
		var ok bool
		if i.field, ok = parseField(rest); !ok {
			err = fmt.Errorf("%q is no field", rest)
		}
	case "do":
		i.words, err = words(rest)
		if err == nil && len(i.words) == 0 {
			err = fmt.Errorf("do takes a command")
		}
	default:
		err = fmt.Errorf("%q is nothing that a handler does", text)
	}
	return i, err
}

// origin answers as the handlers say. Handlers may be replaced between requests. All processes share one.
type origin struct {
	calls    atomic.Int64
	handlers atomic.Pointer[[]*handler]
	report   func(line int, err error)
}

// originOf is the origin as one process reaches it: its handlers' commands are that process's.
type originOf struct {
	*origin
	process *process
}

func (o *origin) set(handlers []*handler) {
	if len(handlers) == 0 {
		handlers = []*handler{defaultHandler}
	}
	o.handlers.Store(&handlers)
}

func (o originOf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := o.calls.Add(1)
	for _, h := range *o.handlers.Load() {
		if (h.method == "" || h.method == r.Method) && (h.path == "" || h.path == r.URL.Path) && h.from <= n && n <= h.to {
			h.serve(o, w, r, n)
			return
		}
	}
	http.Error(w, "no handler of the scenario is for this request", http.StatusTeapot)
}

func (h *handler) serve(o originOf, w http.ResponseWriter, r *http.Request, n int64) {
	text := requestText(r, n)
	status := 0
	head := func() {
		if status != 0 {
			w.WriteHeader(status)
			status = 0
		}
	}
	for _, i := range h.lines {
		switch i.op {
		case "status":
			head() // a second status is a second WriteHeader
			status = i.code
		case "field":
			w.Header().Add(i.field.name, expand(i.field.value, text))
		case "write":
			head()
			_, _ = io.WriteString(w, expand(i.text, text))
		case "flush":
			head()
			_ = http.NewResponseController(w).Flush()
		case "early":
			w.WriteHeader(i.code)
		case "trailer":
			head()
			w.Header().Set(http.TrailerPrefix+i.field.name, expand(i.field.value, text))
		case "sleep":
			time.Sleep(i.pause)
		case "wait":
			<-r.Context().Done()
		case "do":
			literal := func(s string) (string, error) { return expand(s, text), nil }
			if _, err := o.process.command(r.Context(), &command{words: i.words}, literal); err != nil {
				o.report(i.line, err)
			}
		case "panic":
			panic(i.text)
		case "abort":
			panic(http.ErrAbortHandler)
		}
	}
	head()
}

var templateRE = regexp.MustCompile(`\{([a-z]+)(?::([^{}]*))?\}`)

// expand replaces what text knows of the {name} and {name:argument} in s; the rest stays as it is.
func expand(s string, text func(name, arg string) (string, bool)) string {
	if !strings.Contains(s, "{") {
		return s
	}
	return templateRE.ReplaceAllStringFunc(s, func(m string) string {
		parts := templateRE.FindStringSubmatch(m)
		if v, ok := text(parts[1], parts[2]); ok {
			return v
		}
		return m
	})
}

// repeat is {repeat:TEXT:COUNT}, of at most 16 MiB.
func repeat(arg string) (string, bool) {
	i := strings.LastIndexByte(arg, ':')
	if i < 1 {
		return "", false
	}
	n, err := strconv.Atoi(arg[i+1:])
	if err != nil || n < 0 || n > 16<<20/i {
		return "", false
	}
	return strings.Repeat(arg[:i], n), true
}

func requestText(r *http.Request, n int64) func(name, arg string) (string, bool) {
	return func(name, arg string) (string, bool) {
		switch name {
		case "n":
			return strconv.FormatInt(n, 10), true
		case "method":
			return r.Method, true
		case "host":
			return r.Host, true
		case "uri":
			return r.RequestURI, true
		case "path":
			return r.URL.EscapedPath(), true
		case "query":
			if arg == "" {
				return r.URL.RawQuery, true
			}
			return strings.Join(r.URL.Query()[arg], ","), true
		case "header":
			return strings.Join(r.Header.Values(arg), ","), true
		case "cookie":
			c, err := r.Cookie(arg)
			if err != nil {
				return "", true
			}
			return c.Value, true
		case "body":
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return err.Error(), true
			}
			return string(b), true
		case "repeat":
			return repeat(arg)
		}
		return "", false
	}
}
