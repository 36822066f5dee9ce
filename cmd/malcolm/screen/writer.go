package screen

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// tabTime is the time after which progress in the tab is told again: some
// terminals take what is not renewed for the leftover of a dead program.
const tabTime = 5 * time.Second

// A frameWriter is the mpb.ConsoleWriter of a screen. It writes a frame, and what
// was said meanwhile, in one piece, and only when something is new.
type frameWriter struct {
	out    io.Writer
	size   func() (width, height int)
	front  func() bool // whether the terminal is ours to draw on
	tabs   bool        // it shows progress in its tab
	render func(width, height int) Frame

	mu    sync.Mutex
	dead  bool
	above bytes.Buffer // what was said
	now   Frame        // to be drawn
	width int          // of the terminal, when now was made
	drawn []string     // the lines on the terminal; nil: none
	tab   Tab          // what the tab shows
	told  time.Time    // when that was told last
}

// next makes the frame that the next Flush draws.
func (w *frameWriter) next() {
	width, height := w.size()
	f := w.render(width, height)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.width = f, width
}

// Write takes what is to be said above the frame.
func (w *frameWriter) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.above.Write(lines)
}

// ReadFrom takes nothing: the frame came by next.
func (w *frameWriter) ReadFrom(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

// IsTerminal is true: else there is no screen.
func (w *frameWriter) IsTerminal() bool { return true }

// GetTermSize never fails, since mpb would give up.
func (w *frameWriter) GetTermSize() (width, height int, err error) {
	width, height = w.size()
	return width, height, nil
}

// Flush draws. An error of the terminal is of no use to anybody.
func (w *frameWriter) Flush(int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return nil
	}
	if !w.front() {
		w.drawn = nil
		w.out.Write(w.above.Bytes())
		w.above.Reset()
		return nil
	}
	var text []byte
	if w.above.Len() > 0 || !slices.Equal(w.now.Lines, w.drawn) {
		text = drawing(rowsOf(w.drawn, w.width), w.above.Bytes(), w.now.Lines)
		w.above.Reset()
		w.drawn = w.now.Lines
	}
	if w.tabs && (w.now.Tab != w.tab || w.tab.State != TabNone && time.Since(w.told) > tabTime) {
		w.tab, w.told = w.now.Tab, time.Now()
		text = append(text, w.tab.sequence()...)
	}
	if len(text) > 0 {
		w.out.Write(text)
	}
	return nil
}

// say writes lines when there are no frames any more.
func (w *frameWriter) say(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.dead {
		return w.above.Write(lines)
	}
	return w.out.Write(lines)
}

// lost says that somebody else has written to the terminal: the next frame is
// drawn below that.
func (w *frameWriter) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drawn = nil
}

// die ends the drawing and leaves the terminal as it was found.
func (w *frameWriter) die() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return
	}
	w.dead = true
	text := w.above.Bytes()
	if w.tab.State != TabNone {
		text = append(text, Tab{}.sequence()...)
	}
	if len(text) > 0 {
		w.out.Write(text)
	}
}

// drawing is what replaces a frame that fills so many rows above the cursor by
// what was said and another frame (ECMA-48: CUU, ED, EL; DEC's DECTCEM).
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

// rowsOf is how many rows lines fill that were drawn on a wider terminal and
// are wrapped now.
func rowsOf(lines []string, width int) (rows int) {
	width = max(width, 1)
	for _, line := range lines {
		rows += max(1, (Columns(line)+width-1)/width)
	}
	return rows
}

// Columns is how many columns text fills, without its colours. Wide characters
// begin with the radicals of CJK; what is before them is narrow enough.
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

// sizeOf returns the size of a terminal; 80 by 24 when it does not tell.
func sizeOf(file *os.File) (width, height int) {
	width, height, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}
