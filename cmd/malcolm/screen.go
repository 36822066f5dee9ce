package main

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

// eventTime is the least time between two status events when they are drawn:
// the eye does not read faster.
const eventTime = 200 * time.Millisecond

// slowTime is how long hashing, checking or connecting takes before it gets a
// bar.
const slowTime = time.Second

// A look is what a terminal can show.
type look struct {
	palette
	unicode bool // block characters
	few     bool // 16 colours, not 256
	tab     bool // progress in its tab
}

// lookOf returns what the terminal can show, but for colour.
func lookOf(getenv func(string) string) look {
	term := getenv("TERM")
	return look{
		unicode: isUTF8(getenv), tab: showsTab(getenv),
		few: term == "linux" || term == "ansi" || strings.HasPrefix(term, "vt"),
	}
}

// look returns what can be drawn.
func (t *terminal) look() look {
	l := t.shows
	l.palette = t.palette
	return l
}

// pace returns the time between two status events: when they are drawn, no more
// than [eventTime].
func (t *terminal) pace(interval time.Duration) time.Duration {
	if t.isInteractive() {
		return min(interval, eventTime)
	}
	return interval
}

// A frame is what is drawn at one moment.
type frame struct {
	lines []string // none is as wide as the terminal
	tab   tabProgress
}

// A screen draws frames at the lower end of a terminal, each over the last one,
// while what is said scrolls above them. It leaves nothing behind that would have
// to be undone: the cursor is hidden only within one write, and progress in the
// tab is the business of [lastWill].
type screen struct {
	writer   *frameWriter
	progress *mpb.Progress
	bar      *mpb.Bar
	restore  func()
	forget   func()
}

// newScreen begins to draw what render returns. render is called by goroutines
// of the screen, one at a time, with the size of the terminal; it must not write
// to t.
func (t *terminal) newScreen(render func(width, height int) frame) *screen {
	w := &frameWriter{
		out: t.screen, tabs: t.shows.tab, render: render,
		size:  func() (int, int) { return sizeOf(t.screen) },
		front: func() bool { return inForeground(t.screen) },
	}
	s := &screen{writer: w}
	t.will.set(w.die)
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
	s.restore = t.divert(s)
	s.forget = onResume(w.lost)
	return s
}

type fillerBuilder struct{ mpb.BarFiller }

func (b fillerBuilder) Build() mpb.BarFiller { return b.BarFiller }

// Write puts lines above the frame.
func (s *screen) Write(lines []byte) (int, error) {
	if n, err := s.progress.Write(lines); err == nil {
		return n, nil
	}
	return s.writer.say(lines)
}

// close draws a last frame, which stays, and clears the tab.
func (s *screen) close() {
	s.forget()
	s.bar.Abort(false) // which draws once more
	s.progress.Wait()
	s.writer.die()
	s.restore()
}

// A lastWill is what is to be done before the process ends, however it ends. Any
// goroutine may call its methods; a nil lastWill does nothing.
type lastWill struct {
	mu sync.Mutex
	f  func()
}

func (l *lastWill) set(f func()) {
	if l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.f = f
	}
}

func (l *lastWill) do() {
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

// isDrawable reports whether frames can be drawn on a file.
func isDrawable(file *os.File, getenv func(string) string) bool {
	return isTerminal(file) && getenv("TERM") != "dumb" && canDraw(file, getenv)
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
