package main

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// A column is one of a table. Its numbers say how it gives way on a narrow
// terminal.
type column struct {
	title string
	right bool // its cells are set to the right
	least int  // columns that it is wide at least, so that changing numbers do not move it
	drop  int  // the higher, the sooner it is left out; 0: never
}

// A cell is text, and how to colour it; nil: not at all.
type cell struct {
	text  string
	paint func(string) string
}

// columnGap is the space between two columns.
const columnGap = 2

// tableLines sets rows below the titles, in at most width columns of the
// terminal. What does not fit is left out, column by column.
func tableLines(p palette, width int, columns []column, rows [][]cell) []string {
	widths := make([]int, len(columns))
	shown := make([]bool, len(columns))
	for i, c := range columns {
		widths[i], shown[i] = max(c.least, columnsOf(c.title)), true
		for _, r := range rows {
			widths[i] = max(widths[i], columnsOf(r[i].text))
		}
	}
	fitColumns(width, columns, widths, shown)
	titles := make([]cell, len(columns))
	for i, c := range columns {
		titles[i] = cell{c.title, p.dim}
	}
	lines := make([]string, 0, len(rows)+1)
	for _, r := range append([][]cell{titles}, rows...) {
		lines = append(lines, tableLine(columns, widths, shown, r))
	}
	return lines
}

// fitColumns leaves out columns until the rest fits, and then cuts the first.
func fitColumns(width int, columns []column, widths []int, shown []bool) {
	for {
		all, first := -columnGap, -1
		for i, w := range widths {
			if shown[i] {
				all += w + columnGap
				if columns[i].drop > 0 && (first < 0 || columns[i].drop > columns[first].drop) {
					first = i
				}
			}
		}
		switch {
		case all <= width:
			return
		case first < 0:
			widths[0] = max(1, widths[0]-(all-width))
			return
		}
		shown[first] = false
	}
}

func tableLine(columns []column, widths []int, shown []bool, cells []cell) string {
	var b strings.Builder
	space := 0
	for i, c := range cells {
		if !shown[i] {
			continue
		}
		text := cutMiddle(c.text, widths[i])
		rest := widths[i] - columnsOf(text)
		if columns[i].right {
			space, rest = space+rest, 0
		}
		if text != "" {
			b.WriteString(strings.Repeat(" ", space))
			space = 0
			if c.paint != nil {
				text = c.paint(text)
			}
			b.WriteString(text)
		} else {
			rest = widths[i]
			if columns[i].right {
				rest = 0
			}
		}
		space += rest + columnGap
	}
	return b.String()
}

// cutMiddle shortens text to so many columns; both ends stay, since the port is
// at the end of an address.
func cutMiddle(text string, width int) string {
	if columnsOf(text) <= width {
		return text
	}
	tail := (width - 1) * 2 / 3
	end := len(text)
	for columns := 0; end > 0; {
		r, n := utf8.DecodeLastRuneInString(text[:end])
		if columns += columnsOf(string(r)); columns > tail {
			break
		}
		end -= n
	}
	return cutEnd(text, width-1-columnsOf(text[end:])) + "…" + text[end:]
}

// cutEnd returns the beginning of text that fits into so many columns.
func cutEnd(text string, width int) string {
	for i, r := range text {
		if width -= columnsOf(string(r)); width < 0 {
			return text[:i]
		}
	}
	return text
}

// barOf draws a bar of so many columns; kept is the part of done that was there
// before, and is drawn differently.
func (l look) barOf(width int, done, kept, total int64) string {
	if width <= 0 {
		return ""
	}
	style := mpb.BarStyle().Lbound("").Rbound("").Filler("#").Tip("#").Refiller("+").Padding("-")
	if l.unicode {
		style = mpb.BarStyle().Lbound("").Rbound("").Filler("█").Tip("█").Refiller("▓").Padding("░")
	}
	style = style.FillerMeta(l.green).TipMeta(l.green).RefillerMeta(l.green).PaddingMeta(l.dim)
	var b bytes.Buffer
	total = max(total, 1)
	done = min(max(done, 0), total)
	// What is not whole is not shown as whole. A bar into a buffer does not fail.
	if done < total {
		done = min(done, total-total/int64(2*width)-1)
	}
	_ = style.Build().Fill(&b, decor.Statistics{
		AvailableWidth: width, Total: total, Current: max(done, 0), Refill: min(max(kept, 0), max(done, 0)), Completed: done == total,
	})
	return b.String()
}
