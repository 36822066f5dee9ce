package emulator

import (
	"fmt"
	"html"
	"strings"
	"time"
)

// The measures of a picture, in its own units, and its colours.
const (
	cellWidth, cellHeight = 8.4, 18.0
	margin                = 12.0
	paper, ink            = "#16181d", "#d6d9e0"
)

// inks are the eight colours of a terminal.
var inks = [8]string{"#16181d", "#ef6b73", "#8ccf7e", "#e5c76b", "#67b0e8", "#c47fd5", "#6cbfbf", "#d6d9e0"}

// xterm returns one of xterm's 256 colours: a terminal's own twice, a cube, and
// shades of grey.
func xterm(n int) string {
	switch {
	case n < 16:
		return inks[n%8]
	case n < 232:
		level := func(v int) int { return min(v, 1)*55 + v*40 }
		return fmt.Sprintf("#%02x%02x%02x", level((n-16)/36), level((n-16)/6%6), level((n-16)%6))
	default:
		grey := 8 + 10*(n-232)
		return fmt.Sprintf("#%02x%02x%02x", grey, grey, grey)
	}
}

// A Recording is what a terminal showed, from time to time.
type Recording struct {
	width, height int
	frames        [][]string // the rows of each, as SVG
	times         []time.Duration
}

// NewRecording returns a recording of a terminal with these rows and columns.
func NewRecording(width, height int) *Recording { return &Recording{width: width, height: height} }

// Add adds what a terminal shows at a time, which is behind the last one. What
// equals the last frame is not added.
func (r *Recording) Add(at time.Duration, e *Terminal) {
	var rows []string
	for _, row := range e.rows[max(0, len(e.rows)-r.height):] {
		rows = append(rows, drawRow(row))
	}
	for len(rows) > 0 && rows[len(rows)-1] == "" {
		rows = rows[:len(rows)-1]
	}
	if n := len(r.frames); n > 0 && strings.Join(r.frames[n-1], "\n") == strings.Join(rows, "\n") {
		return
	}
	r.frames, r.times = append(r.frames, rows), append(r.times, at)
}

// drawRow returns a row whose upper left corner is at 0, 0; empty: it is blank.
func drawRow(row []cell) string {
	for len(row) > 0 && row[len(row)-1] == (cell{r: ' '}) {
		row = row[:len(row)-1]
	}
	var grounds, text strings.Builder
	for i := 0; i < len(row); {
		j := i
		for j < len(row) && row[j].style == row[i].style {
			j++
		}
		s, run := row[i].style, html.EscapeString(textOf(row[i:j]))
		if s.ground != "" {
			fmt.Fprintf(&grounds, `<rect x="%.1f" width="%.1f" height="%.0f" fill=%q/>`, float64(i)*cellWidth, float64(j-i)*cellWidth, cellHeight, s.ground)
		}
		if a := s.attributes(); a != "" {
			run = "<tspan" + a + ">" + run + "</tspan>"
		}
		text.WriteString(run)
		i = j
	}
	if len(row) == 0 {
		return ""
	}
	return fmt.Sprintf(`%s<text y="%.1f" textLength="%.1f">%s</text>`, grounds.String(), cellHeight*.75, float64(len(row))*cellWidth, text.String())
}

func (s style) attributes() (a string) {
	if s.color != "" {
		a += fmt.Sprintf(" fill=%q", s.color)
	}
	if s.bold {
		a += ` font-weight="bold"`
	}
	if s.dim {
		a += ` opacity=".6"`
	}
	return a
}

// SVG is the recording as a picture that moves. It ends with its last frame,
// rests there, and begins again. Where nothing moves, it is the last frame.
func (r *Recording) SVG(rest time.Duration) string {
	var b strings.Builder
	width, height := 2*margin+float64(r.width)*cellWidth, 2*margin+float64(r.height)*cellHeight
	total := r.times[len(r.times)-1] + rest
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %.0f\" width=\"%.0f\" height=\"%.0f\">\n<style>\n", width, height, width, height)
	fmt.Fprintf(&b, "text{font:14px ui-monospace,Menlo,Consolas,\"DejaVu Sans Mono\",monospace;fill:%s;white-space:pre}\n", ink)
	fmt.Fprintf(&b, "#s{transform:translateX(%.0fpx);animation:p %.1fs steps(1,end) infinite}\n", -width*float64(len(r.frames)-1), total.Seconds())
	b.WriteString("@media (prefers-reduced-motion:reduce){#s{animation:none}}\n@keyframes p{")
	for i, at := range r.times {
		fmt.Fprintf(&b, "%.2f%%{transform:translateX(%.0fpx)}", 100*at.Seconds()/total.Seconds(), -width*float64(i))
	}
	fmt.Fprintf(&b, "}\n</style>\n<rect width=\"%.0f\" height=\"%.0f\" rx=\"8\" fill=%q/>\n", width, height, paper)
	drawn := make(map[string]int)
	b.WriteString("<defs>\n")
	for _, frame := range r.frames {
		for _, row := range frame {
			if _, ok := drawn[row]; !ok && row != "" {
				drawn[row] = len(drawn)
				fmt.Fprintf(&b, "<g id=\"r%d\">%s</g>\n", drawn[row], row)
			}
		}
	}
	b.WriteString("</defs>\n<g id=\"s\">\n")
	for i, frame := range r.frames {
		fmt.Fprintf(&b, "<g transform=\"translate(%.0f)\">", width*float64(i))
		for j, row := range frame {
			if row != "" {
				fmt.Fprintf(&b, "<use href=\"#r%d\" x=\"%.0f\" y=\"%.0f\"/>", drawn[row], margin, margin+cellHeight*float64(j))
			}
		}
		b.WriteString("</g>\n")
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}
