package demo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
)

// printer writes what the demo shows, plain or in colour. It is safe for concurrent use.
type printer struct {
	mu    sync.Mutex
	w     io.Writer
	color bool
}

// style is an ANSI style; "" is none.
type style string

const (
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

const (
	indent = "    "
	width  = 88
)

func (p *printer) paint(s style, text string) string {
	if !p.color || s == "" || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// line writes one line. An output that is gone is no reason to end the demo.
func (p *printer) line(parts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.w, strings.TrimRight(strings.Join(parts, ""), " ")+"\n")
}

func (p *printer) step(n int, name string) {
	p.line()
	p.line(p.paint(bold, fmt.Sprintf("%2d. %s", n, name)))
}

// exchange writes a request and what came back, aligned.
func (p *printer) exchange(request string, fields []string, a answer, self string) {
	cache := a.header.Get("X-Cache")
	status := strconv.Itoa(a.status)
	if a.status == 0 {
		status = "---"
	}
	p.line(indent,
		p.paint(cyan, fmt.Sprintf("%-20s", request)), " ",
		p.paint(statusStyle(a.status), status), "  ",
		p.paint(cacheStyle(cache), fmt.Sprintf("%-5s", cache)),
		fmt.Sprintf("%8s", milliseconds(a.total)), "  ",
		p.paint(dim, a.header.Get("Cache-Status")))
	for _, f := range fields {
		p.line(indent, indent, p.paint(dim, f))
	}
	if by := a.elsewhere(self); by != "" {
		p.line(indent, indent, p.paint(green, "this hit came from elsewhere: filled by process "+by))
	}
}

func (p *printer) note(text string) {
	for _, l := range wrap(text, width-2*len(indent)) {
		p.line(indent, indent, p.paint(dim, l))
	}
}

func (p *printer) shown(text string) {
	p.verdict(p.paint(green, "ok"), text)
}

func (p *printer) failed(text string) {
	p.verdict(p.paint(red, "FAILED"), text)
}

func (p *printer) verdict(mark, text string) {
	for i, l := range wrap(text, width-2*len(indent)) {
		if i == 0 {
			p.line(indent, mark, "  ", l)
		} else {
			p.line(indent, indent, l)
		}
	}
}

func statusStyle(status int) style {
	switch {
	case status >= 500 || status == 0:
		return red
	case status >= 400:
		return yellow
	}
	return green
}

func cacheStyle(value string) style {
	switch value {
	case "HIT":
		return green
	case "MISS":
		return yellow
	}
	return ""
}

func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 10 {
		return fmt.Sprintf("%.2f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// wrap cuts text into lines of at most n bytes where it has spaces.
func wrap(text string, n int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= n:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
