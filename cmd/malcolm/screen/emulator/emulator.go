// Package emulator is a terminal for tests of drawing.
package emulator

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Terminal does what frames need: it wraps at its width, keeps what scrolls
// out, and knows the sequences of drawing.
type Terminal struct {
	width, height int
	rows          [][]cell
	style         style
	top           int // the first row that is not scrolled out
	row, column   int
	Hidden        bool     // the cursor
	Tabs          []string // what OSC 9;4 said
	Unknown       []string // sequences that it does not know
}

// A cell is one character and how it is drawn.
type cell struct {
	r rune
	style
}

// A style is how characters are drawn.
type style struct {
	// color and ground are those of a character and what is behind it, such
	// as "#ef6b73"; empty: those of the terminal.
	color, ground string
	bold, dim     bool
}

// New returns an empty terminal.
func New(width, height int) *Terminal { return &Terminal{width: width, height: height} }

// Write does what is written to the terminal.
func (e *Terminal) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		if text[0] == '\x1b' {
			text = e.escape(text)
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		switch r {
		case '\r':
			e.column = 0
		case '\n':
			e.row, e.column = e.row+1, 0
		default:
			if e.column == e.width {
				e.row, e.column = e.row+1, 0
			}
			e.put(r)
		}
		for len(e.rows) <= e.row {
			e.rows = append(e.rows, nil)
		}
		e.top = max(e.top, e.row-e.height+1)
	}
	return len(p), nil
}

func (e *Terminal) put(r rune) {
	for len(e.rows) <= e.row {
		e.rows = append(e.rows, nil)
	}
	for len(e.rows[e.row]) <= e.column {
		e.rows[e.row] = append(e.rows[e.row], cell{r: ' '})
	}
	e.rows[e.row][e.column] = cell{r, e.style}
	e.column++
}

// escape does the sequence at the beginning of text, and returns the rest.
func (e *Terminal) escape(text string) (rest string) {
	if tab, ok := strings.CutPrefix(text, "\x1b]"); ok {
		tab, rest, _ = strings.Cut(tab, "\x1b\\")
		e.Tabs = append(e.Tabs, strings.TrimPrefix(tab, "9;4;"))
		return rest
	}
	body, ok := strings.CutPrefix(text, "\x1b[")
	end := strings.IndexFunc(body, func(r rune) bool { return r >= 0x40 && r <= 0x7e })
	if !ok || end < 0 {
		e.Unknown = append(e.Unknown, text)
		return ""
	}
	switch parameters, final := body[:end], body[end]; {
	case final == 'A':
		n, _ := strconv.Atoi(parameters)
		e.row = max(e.row-n, e.top)
	case final == 'K' && parameters == "":
		e.rows[e.row] = e.rows[e.row][:min(e.column, len(e.rows[e.row]))]
	case final == 'J' && parameters == "":
		if e.row < len(e.rows) {
			e.rows[e.row] = e.rows[e.row][:min(e.column, len(e.rows[e.row]))]
			e.rows = e.rows[:e.row+1]
		}
	case parameters == "?25" && (final == 'l' || final == 'h'):
		e.Hidden = final == 'l'
	case final == 'm':
		e.style.set(parameters)
	default:
		e.Unknown = append(e.Unknown, "\x1b["+body[:end+1])
	}
	return body[end+1:]
}

// Text is everything visible, and what has scrolled out above it.
func (e *Terminal) Text() string {
	var lines []string
	for _, r := range e.rows {
		lines = append(lines, strings.TrimRight(textOf(r), " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func textOf(row []cell) string {
	var b strings.Builder
	for _, c := range row {
		b.WriteRune(c.r)
	}
	return b.String()
}

// set does what the parameters of an SGR sequence say (ECMA-48, 8.3.117; the
// 256 colours are xterm's).
func (s *style) set(parameters string) {
	words := strings.Split(parameters, ";")
	for i := 0; i < len(words); i++ {
		n, _ := strconv.Atoi(words[i])
		switch {
		case n == 0:
			*s = style{}
		case n == 1:
			s.bold = true
		case n == 2:
			s.dim = true
		case n == 22:
			s.bold, s.dim = false, false
		case n == 39:
			s.color = ""
		case n == 49:
			s.ground = ""
		case n >= 30 && n <= 37:
			s.color = inks[n-30]
		case n >= 40 && n <= 47:
			s.ground = inks[n-40]
		case (n == 38 || n == 48) && i+2 < len(words) && words[i+1] == "5":
			number, _ := strconv.Atoi(words[i+2])
			if i += 2; n == 38 {
				s.color = xterm(number)
			} else {
				s.ground = xterm(number)
			}
		}
	}
}
