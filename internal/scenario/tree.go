package scenario

import (
	"fmt"
	"strings"
)

// node is a line with the lines that are indented deeper below it.
type node struct {
	line     int
	text     string
	children []*node
}

// syntaxError is a mistake in a file.
type syntaxError struct {
	file string
	line int
	text string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s:%d: %s", e.file, e.line, e.text) }

// parseTree reads the lines of src by their indentation. Comments and empty lines are left out, but for the comment
// that a file begins with: a file without one is refused.
func parseTree(file, src string) ([]*node, error) {
	if !strings.HasPrefix(src, "# ") {
		return nil, &syntaxError{file, 1, "a file begins with a comment that says what it holds"}
	}
	type level struct {
		indent int
		node   *node
	}
	root := &node{}
	open := []level{{-1, root}}
	line := 0
	for text := range strings.Lines(src) {
		line++
		text = strings.TrimSuffix(text, "\n")
		rest := strings.TrimLeft(text, " ")
		if rest == "" || rest[0] == '#' {
			continue
		}
		if last := rest[len(rest)-1]; last == ' ' || last == '\t' || last == '\r' || rest[0] == '\t' {
			return nil, &syntaxError{file, line, "a tab, a carriage return or blanks at the end of the line"}
		}
		indent := len(text) - len(rest)
		for indent <= open[len(open)-1].indent {
			open = open[:len(open)-1]
		}
		parent := open[len(open)-1]
		if parent.node == root && indent > 0 {
			return nil, &syntaxError{file, line, "indented below nothing"}
		}
		n := &node{line: line, text: rest}
		parent.node.children = append(parent.node.children, n)
		open = append(open, level{indent, n})
	}
	return root.children, nil
}

// words splits a line at blanks; what stands between double quotes stays together, without them.
func words(text string) ([]string, error) {
	var list []string
	var word strings.Builder
	started, quoted := false, false
	for _, c := range []byte(text) {
		switch {
		case c == '"':
			quoted, started = !quoted, true
		case c == ' ' && !quoted:
			if started {
				list = append(list, word.String())
				word.Reset()
			}
			started = false
		default:
			word.WriteByte(c)
			started = true
		}
	}
	if quoted {
		return nil, fmt.Errorf("a quote without its other half")
	}
	if started {
		list = append(list, word.String())
	}
	return list, nil
}
