package main

import (
	"fmt"
	"io"

	svg "github.com/ajstarks/svgo"
)

// chart is a list of horizontal bars, the shorter the better.
type chart struct {
	file, title, unit string
	bars              []bar
}

type bar struct {
	label string
	value float64
	text  string // beside the bar; "" is the value with its unit
}

// draw writes c as SVG that is readable on white and on black.
func (c chart) draw(w io.Writer) {
	const width, left, right, top, step = 720, 190, 170, 44, 28
	longest := 0.0
	for _, b := range c.bars {
		longest = max(longest, b.value)
	}
	s := svg.New(w)
	height := top + step*len(c.bars) + 12
	s.Startview(width, height, 0, 0, width, height)
	s.Title(c.title)
	s.Style("text/css", "text{font:13px sans-serif;fill:#57606a} .t{font-weight:bold;font-size:15px} .us{fill:#0a7d4f} .they{fill:#9aa4b0}")
	s.Text(0, 20, c.title, `class="t"`)
	for i, b := range c.bars {
		y := top + i*step
		class := `class="they"`
		if bold(b.label) != b.label {
			class = `class="us"`
		}
		length := max(1, int(b.value/longest*(width-left-right)))
		text := b.text
		if text == "" {
			text = fmt.Sprintf("%s %s", nanos(b.value), c.unit)
		}
		s.Text(left-10, y+15, b.label, `text-anchor="end"`)
		s.Roundrect(left, y, length, step-8, 3, 3, class)
		s.Text(left+length+8, y+15, text)
	}
	s.End()
}
