package screen

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// drawing replaces a frame that fills rows rows above the cursor by messages
// and another frame (ECMA-48: CUU, ED, EL; DEC's DECTCEM).
func drawing(rows int, above []byte, lines []string) []byte {
	var b bytes.Buffer
	b.WriteString("\x1b[?25l\r")
	if rows > 0 {
		b.WriteString("\x1b[" + strconv.Itoa(rows) + "A")
	}
	if len(above) > 0 {
		b.WriteString("\x1b[J")
		b.Write(above)
	}
	for _, line := range lines {
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J\x1b[?25h")
	return b.Bytes()
}

// rowsOf is the number of rows of lines that were drawn on a wider terminal and
// are wrapped now.
func rowsOf(lines []string, width int) (rows int) {
	width = max(width, 1)
	for _, line := range lines {
		rows += max(1, (Columns(line)+width-1)/width)
	}
	return rows
}

// Columns is the number of columns that text fills, not counting its colours.
// Wide characters begin with the radicals of CJK; those before are narrow
// enough.
func Columns(text string) (columns int) {
	const firstWide = 0x2e80
	for text != "" {
		if rest, ok := strings.CutPrefix(text, "\x1b["); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r >= 0x40 && r <= 0x7e })
			text = rest[end+1:]
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		columns++
		if r >= firstWide && r != utf8.RuneError {
			columns++
		}
		text = text[n:]
	}
	return columns
}
