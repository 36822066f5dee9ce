package manual

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// gap is between the columns of a table.
const gap = "  "

// Text returns blocks for a terminal. Prose and tables fit width columns as far
// as their words do; code stays as it is.
func Text(blocks []Block, width int) string {
	var parts []string
	for _, b := range blocks {
		var lines []string
		switch b.Kind {
		case Heading:
			lines = []string{strings.ToUpper(plain(b.Lines[0]))}
		case Paragraph:
			lines = wrap(plain(b.Lines[0]), width)
		case Code:
			for _, line := range b.Lines {
				lines = append(lines, strings.TrimRight("    "+line, " "))
			}
		case Bullets, Numbered:
			lines = listText(b, width)
		case Table:
			lines = tableText(b.Rows, width)
		}
		parts = append(parts, strings.Join(lines, "\n")+"\n")
	}
	return strings.Join(parts, "\n")
}

func listText(b Block, width int) (lines []string) {
	for i, text := range b.Lines {
		mark := "- "
		if b.Kind == Numbered {
			mark = fmt.Sprintf("%d. ", i+1)
		}
		for _, line := range wrap(plain(text), width-len(mark)) {
			lines = append(lines, mark+line)
			mark = strings.Repeat(" ", len(mark))
		}
	}
	return lines
}

// wrap breaks a text between words. A longer word has a line of its own.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case columns(line)+1+columns(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

func columns(s string) int { return utf8.RuneCountInString(s) }

// tableText aligns the columns of a table, and wraps cells where it would be
// too wide.
func tableText(rows [][]string, width int) (lines []string) {
	texts := make([][]string, len(rows))
	for i, row := range rows {
		for _, cell := range row {
			texts[i] = append(texts[i], plain(cell))
		}
	}
	widths := columnWidths(texts, width)
	for i, row := range texts {
		lines = append(lines, rowText(row, widths)...)
		if i == 0 {
			var rules []string
			for _, w := range widths {
				rules = append(rules, strings.Repeat("-", w))
			}
			lines = append(lines, strings.Join(rules, gap))
		}
	}
	return lines
}

// rowText returns the lines of a row.
func rowText(row []string, widths []int) (lines []string) {
	var parts [][]string
	height := 0
	for i, cell := range row {
		parts = append(parts, wrap(cell, widths[i]))
		height = max(height, len(parts[i]))
	}
	for y := range height {
		line := ""
		for i, part := range parts {
			text := ""
			if y < len(part) {
				text = part[y]
			}
			line += text + strings.Repeat(" ", max(0, widths[i]-columns(text))) + gap
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}

// columnWidths shares a width among columns: each has what it needs, or an even
// share of what the narrower ones leave, and the room of its longest word.
func columnWidths(rows [][]string, width int) []int {
	need := make([]int, len(rows[0]))
	least := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			need[i] = max(need[i], columns(cell))
			for _, word := range strings.Fields(cell) {
				least[i] = max(least[i], columns(word))
			}
		}
	}
	left := width - len(gap)*(len(need)-1)
	widths := make([]int, len(need))
	for open := len(need); open > 0; {
		share, settled := max(left, 0)/open, 0
		for i := range need {
			if w := max(1, min(need[i], max(least[i], share))); widths[i] == 0 && w != share {
				widths[i] = w
				left -= w
				settled++
			}
		}
		if open -= settled; settled > 0 {
			continue
		}
		for i := range need { // all others are wider than their share
			if widths[i] == 0 {
				widths[i] = max(1, share)
			}
		}
		return widths
	}
	return widths
}
