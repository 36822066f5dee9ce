// Package screen draws on a terminal: frames, tables, bars, colour, progress in the
// tab. It knows nothing of what is drawn.
package screen

import (
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// frameTime is the time between two frames.
const frameTime = 100 * time.Millisecond

// A Look is what a terminal can show.
type Look struct {
	Palette
	Unicode bool // block characters
	Few     bool // 16 colours, not 256
	Tab     bool // progress in its tab
}

// LookOf returns what the terminal can show, but for colour.
func LookOf(getenv func(string) string) Look {
	term := getenv("TERM")
	return Look{
		Unicode: isUTF8(getenv), Tab: showsTab(getenv),
		Few: term == "linux" || term == "ansi" || strings.HasPrefix(term, "vt"),
	}
}

// A Frame is what is drawn at one moment.
type Frame struct {
	Lines []string // none is as wide as the terminal
	Tab   Tab
}

// A Screen draws frames at the lower end of a terminal, each over the last one,
// while what is said scrolls above them. It leaves nothing behind that would have
// to be undone: the cursor is hidden only within one write, and progress in the
// tab is the business of [LastWill].
type Screen struct {
	writer   *frameWriter
	progress *mpb.Progress
	bar      *mpb.Bar
	forget   func()
}

// New begins to draw what render returns on a terminal. render is called by
// goroutines of the screen, one at a time, with the size of the terminal; it must
// not write to the screen. tab says whether the terminal shows progress in its tab.
func New(on *os.File, tab bool, will *LastWill, render func(width, height int) Frame) *Screen {
	w := &frameWriter{
		out: on, tabs: tab, render: render,
		size:  func() (int, int) { return sizeOf(on) },
		front: func() bool { return inForeground(on) },
	}
	s := &Screen{writer: w}
	will.set(w.die)
	s.progress = mpb.New(mpb.WithConsoleWriter(w), mpb.WithRefreshRate(frameTime))
	// Of the one bar's filler nothing is used but that it is called for each
	// frame: a frame has as many lines as it needs.
	filler := mpb.BarFillerFunc(func(io.Writer, decor.Statistics) error {
		defer func() {
			if v := recover(); v != nil {
				w.die()
				panic(v)
			}
		}()
		w.next()
		return nil
	})
	s.bar = s.progress.New(0, fillerBuilder{filler}, mpb.BarFillerTrim())
	s.forget = onResume(w.lost)
	return s
}

type fillerBuilder struct{ mpb.BarFiller }

func (b fillerBuilder) Build() mpb.BarFiller { return b.BarFiller }

// Write puts lines above the frame.
func (s *Screen) Write(lines []byte) (int, error) {
	if n, err := s.progress.Write(lines); err == nil {
		return n, nil
	}
	return s.writer.say(lines)
}

// Close draws a last frame, which stays, and clears the tab.
func (s *Screen) Close() {
	s.forget()
	s.bar.Abort(false) // which draws once more
	s.progress.Wait()
	s.writer.die()
}

// A LastWill is what is to be done before the process ends, however it ends. Any
// goroutine may call its methods; a nil LastWill does nothing.
type LastWill struct {
	mu sync.Mutex
	f  func()
}

func (l *LastWill) set(f func()) {
	if l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.f = f
	}
}

// Do does it, once.
func (l *LastWill) Do() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		l.f()
		l.f = nil
	}
}

// CanDraw reports whether frames can be drawn on a file.
func CanDraw(file *os.File, getenv func(string) string) bool {
	return IsTerminal(file) && getenv("TERM") != "dumb" && knowsSequences(file, getenv)
}

// isUTF8 reports whether the locale's characters are UTF-8 (POSIX, 8.2).
func isUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(getenv(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return unicodeByDefault
}
