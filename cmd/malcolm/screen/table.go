package screen

import (
	"math"
	"strings"
	"unicode/utf8"
)

// A Column is one column of a table. Its numbers say how it shrinks on a narrow
// terminal.
type Column struct {
	Title string
	Right bool // its cells are set to the right
	Least int  // least width in columns, so that changing numbers do not move it
	Drop  int  // the higher, the sooner it is left out; 0: never
}

// A Cell is text, and how to colour it; nil: plain.
type Cell struct {
	Text  string
	Paint func(string) string
}

// ColumnGap is the space between two columns.
const ColumnGap = 2

// Table sets rows below the titles, in at most width columns of the terminal.
// What does not fit is left out, column by column.
func Table(p Palette, width int, columns []Column, rows [][]Cell) []string {
	widths := make([]int, len(columns))
	shown := make([]bool, len(columns))
	for i, c := range columns {
		widths[i], shown[i] = max(c.Least, Columns(c.Title)), true
		for _, r := range rows {
			widths[i] = max(widths[i], Columns(r[i].Text))
		}
	}
	fitColumns(width, columns, widths, shown)
	titles := make([]Cell, len(columns))
	for i, c := range columns {
		titles[i] = Cell{c.Title, p.Dim}
	}
	lines := make([]string, 0, len(rows)+1)
	for _, r := range append([][]Cell{titles}, rows...) {
		lines = append(lines, tableLine(columns, widths, shown, r))
	}
	return lines
}

// fitColumns leaves out columns until the rest fits, and then cuts the first.
func fitColumns(width int, columns []Column, widths []int, shown []bool) {
	for {
		all, first := -ColumnGap, -1
		for i, w := range widths {
			if shown[i] {
				all += w + ColumnGap
				if columns[i].Drop > 0 && (first < 0 || columns[i].Drop > columns[first].Drop) {
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

func tableLine(columns []Column, widths []int, shown []bool, cells []Cell) string {
	var b strings.Builder
	space := 0
	for i, c := range cells {
		if !shown[i] {
			continue
		}
		text := cutMiddle(c.Text, widths[i])
		rest := widths[i] - Columns(text)
		if columns[i].Right {
			space, rest = space+rest, 0
		}
		if text != "" {
			b.WriteString(strings.Repeat(" ", space))
			space = 0
			if c.Paint != nil {
				text = c.Paint(text)
			}
			b.WriteString(text)
		} else {
			rest = widths[i]
			if columns[i].Right {
				rest = 0
			}
		}
		space += rest + ColumnGap
	}
	return b.String()
}

// cutMiddle shortens text to width columns. Both ends stay, since the port is
// at the end of an address.
func cutMiddle(text string, width int) string {
	if Columns(text) <= width {
		return text
	}
	tail := (width - 1) * 2 / 3
	end := len(text)
	for columns := 0; end > 0; {
		r, n := utf8.DecodeLastRuneInString(text[:end])
		if columns += Columns(string(r)); columns > tail {
			break
		}
		end -= n
	}
	return CutEnd(text, width-1-Columns(text[end:])) + "…" + text[end:]
}

// CutEnd returns the beginning of text that fits into width columns.
func CutEnd(text string, width int) string {
	for i, r := range text {
		if width -= Columns(string(r)); width < 0 {
			return text[:i]
		}
	}
	return text
}

// Bar draws a bar of width columns. kept is the part of done that was there
// before, and is drawn differently.
func (l Look) Bar(width int, done, kept, total int64) string {
	if width <= 0 {
		return ""
	}
	total = max(total, 1)
	done = min(max(done, 0), total)
	columns := func(part int64) int { return int(math.Round(float64(width) * float64(part) / float64(total))) }
	filled := columns(done)
	if done < total { // an unfinished bar never looks full
		filled = min(filled, width-1)
	}
	before := min(max(columns(kept), 0), filled)
	keptMark, mark, rest := "+", "#", "-"
	if l.Unicode {
		keptMark, mark, rest = "▓", "█", "░"
	}
	return l.Green(strings.Repeat(keptMark, before)+strings.Repeat(mark, filled-before)) + l.Dim(strings.Repeat(rest, width-filled))
}
