package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Measures of the chart, in pixels.
const (
	svgWidth  = 760
	svgLabels = 290 // width of the labels
	svgValues = 70  // width left for the numbers behind the bars
	svgBar    = 14
	svgGap    = 10 // between rows
	svgHead   = 52 // title and legend
	svgFoot   = 24
)

// svgStyle makes the chart readable on light and dark pages: the colours follow
// the reader's preference, and the background is the page's.
const svgStyle = `
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 14px; font-weight: 600 }
.note { fill: #59636e }
.veth { fill: #0969da } .loopback { fill: #8c959f }
.ours { font-weight: 600 }
.range { stroke: #1f2328; stroke-width: 1.5 }
.axis { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .note { fill: #9198a1 }
.veth { fill: #4493f8 } .loopback { fill: #656c76 }
.range { stroke: #f0f6fc } .axis { stroke: #3d444d }
}
`

// An svgBars is one row of the chart: a bar for each link over which it was
// measured.
type svgBars struct {
	title string
	name  string
	bars  []svgOne
}

type svgOne struct {
	link           string
	rate, min, max float64 // MB/s
}

// svg draws the rate of each row: the median as a bar, the least and the
// greatest as a line.
func (r *report) svg() string {
	rows := r.svgRows()
	most := 1.0
	height := svgHead + svgFoot
	for _, row := range rows {
		height += len(row.bars)*svgBar + svgGap
		for _, bar := range row.bars {
			most = max(most, bar.max)
		}
	}
	step := niceStep(most)
	most = math.Ceil(most/step) * step
	x := func(rate float64) float64 { return svgLabels + rate/most*(svgWidth-svgLabels-svgValues) }

	var b strings.Builder
	title := fmt.Sprintf("Copying %s from memory to memory, MB/s: more is better", Size(r.Size))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n<style>%s</style>\n",
		svgWidth, height, svgWidth, height, html.EscapeString(title), svgStyle)
	fmt.Fprintf(&b, "<text x=\"8\" y=\"18\" class=\"title\">%s</text>\n", html.EscapeString(title))
	r.svgLegend(&b)
	for at := 0.0; at <= most; at += step {
		fmt.Fprintf(&b, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" class=\"axis\"/>\n", x(at), x(at), svgHead, height-svgFoot)
		fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" class=\"note\" text-anchor=\"middle\">%.0f</text>\n", x(at), height-svgFoot+16, at)
	}
	y := svgHead + svgGap/2
	for _, row := range rows {
		class := ""
		if strings.HasPrefix(row.name, "malcolm") {
			class = ` class="ours"`
		}
		middle := y + len(row.bars)*svgBar/2 + 4
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\"%s>%s</text>\n", svgLabels-8, middle, class, html.EscapeString(row.title))
		for _, bar := range row.bars {
			svgBarOf(&b, bar, y, x)
			y += svgBar
		}
		y += svgGap
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// svgBarOf draws one bar, the line of its spread, and its number.
func svgBarOf(b *strings.Builder, bar svgOne, y int, x func(float64) float64) {
	middle := y + svgBar/2
	fmt.Fprintf(b, "<rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"%d\" class=\"%s\"/>\n", svgLabels, y+1, x(bar.rate)-svgLabels, svgBar-2, bar.link)
	fmt.Fprintf(b, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" class=\"range\"/>\n", x(bar.min), x(bar.max), middle, middle)
	fmt.Fprintf(b, "<text x=\"%.1f\" y=\"%d\">%.0f</text>\n", x(bar.max)+6, middle+4, bar.rate)
}

// svgLegend names the links and the machine.
func (r *report) svgLegend(b *strings.Builder) {
	at := 8
	for _, l := range r.Links {
		fmt.Fprintf(b, "<rect x=\"%d\" y=\"30\" width=\"10\" height=\"10\" class=\"%s\"/>\n", at, l.Name)
		text := linkTitle(l.Name)
		fmt.Fprintf(b, "<text x=\"%d\" y=\"39\" class=\"note\">%s</text>\n", at+15, text)
		at += 15 + 7*len(text) + 20
	}
	fmt.Fprintf(b, "<text x=\"%d\" y=\"39\" class=\"note\" text-anchor=\"end\">%s</text>\n", svgWidth-8,
		html.EscapeString(fmt.Sprintf("%d CPUs, medians of %s", r.Machine.CPUs, plural(r.Rounds, "round"))))
}

// svgRows gathers the rows of all links by name, in the order of the table.
func (r *report) svgRows() []svgBars {
	var rows []svgBars
	place := make(map[string]int)
	for i := range r.Links {
		for j := range r.Links[i].Rows {
			row := &r.Links[i].Rows[j]
			at, ok := place[row.Name]
			if !ok {
				at = len(rows)
				place[row.Name] = at
				rows = append(rows, svgBars{title: row.Title, name: row.Name})
			}
			size := float64(r.Size) / 1e6
			rows[at].bars = append(rows[at].bars, svgOne{
				link: r.Links[i].Name, rate: size / row.Seconds.Median, min: size / row.Seconds.Max, max: size / row.Seconds.Min,
			})
		}
	}
	return rows
}

// niceStep returns 1, 2 or 5 times a power of ten, so that most has about six
// steps.
func niceStep(most float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(most/6)))
	for _, times := range []float64{1, 2, 5} {
		if most/(times*power) <= 7 {
			return times * power
		}
	}
	return 10 * power
}
