// Package screen draws on a terminal: frames, tables, bars, colour, progress in
// the tab. It knows nothing of what is drawn.
package screen

import (
	"os"
	"slices"
	"sync"
	"time"

	"malcolm/cmd/malcolm/spool"
)

// frameTime is the time between two frames.
const frameTime = 100 * time.Millisecond

// tabTime is the time after which progress in the tab is sent again. Some
// terminals take progress that is not renewed for the leftover of a dead
// program.
const tabTime = 5 * time.Second

// A Frame is what is drawn at one moment.
type Frame struct {
	Lines []string // each narrower than the terminal
	Tab   Tab
}

// An Output takes what is written to a terminal. It never waits for the
// terminal, which may be stopped (^S) or slow.
type Output interface {
	Put(spool.Class, []byte)
	Busy() bool // it has not written everything yet
}

// A Screen draws frames at the lower end of a terminal, each over the last one,
// while messages scroll above them. It writes a frame, and the messages since
// the last one, in one piece, and only if something is new. Nothing must be
// undone after it: the cursor is hidden only within one write, and [LastWill]
// clears the progress in the tab.
type Screen struct {
	out    Output
	notice func(spool.Gap) []byte // says which messages were left out, unless nil
	size   func() (width, height int)
	front  func() bool // whether we may draw on the terminal
	tabs   bool        // it shows progress in its tab
	render func(width, height int) Frame
	end    func() // stops drawing by itself

	mu    sync.Mutex
	dead  bool
	above spool.Queue // messages
	drawn []string    // the lines on the terminal, or nil
	tab   Tab         // what the tab shows
	told  time.Time   // when that was last sent
}

// Options are the settings of a Screen.
type Options struct {
	On     *os.File               // the terminal
	Out    Output                 // to the terminal
	Notice func(spool.Gap) []byte // says which messages were left out, unless nil
	Tab    bool                   // the terminal shows progress in its tab
	Will   *LastWill
}

// New begins to draw what render returns. A goroutine of the screen calls
// render with the size of the terminal. render must not write to the screen.
func New(o Options, render func(width, height int) Frame) *Screen {
	on := o.On
	s := &Screen{
		out: o.Out, notice: o.Notice, tabs: o.Tab, render: render,
		size:  func() (int, int) { return sizeOf(on) },
		front: func() bool { return inForeground(on) },
	}
	o.Will.set(s.die)
	forget := onResume(s.lost)
	quit, done := make(chan struct{}), make(chan struct{})
	go s.draws(quit, done)
	s.end = func() {
		forget()
		close(quit)
		<-done
	}
	return s
}

// draws draws until quit is closed, and closes done.
func (s *Screen) draws(quit <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if !s.out.Busy() { // else the terminal is stopped, or slow
				s.draw()
			}
		case <-quit:
			return
		}
	}
}

// draw draws a frame. It ignores errors of the terminal: nobody can use them.
func (s *Screen) draw() {
	defer func() {
		if v := recover(); v != nil {
			s.die()
			panic(v)
		}
	}()
	width, height := s.size()
	f := s.render(width, height) // without the lock: render may wait for a goroutine in Write
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return
	}
	if !s.front() {
		s.drawn = nil
		s.write(s.said())
		return
	}
	var text []byte
	if said := s.said(); len(said) > 0 || !slices.Equal(f.Lines, s.drawn) {
		text = drawing(rowsOf(s.drawn, width), said, f.Lines)
		s.drawn = f.Lines
	}
	if s.tabs && (f.Tab != s.tab || s.tab.State != TabNone && time.Since(s.told) > tabTime) {
		s.tab, s.told = f.Tab, time.Now()
		text = append(text, s.tab.sequence()...)
	}
	s.write(text)
}

// write writes text that the next frame relies on. It must not be left out.
func (s *Screen) write(text []byte) {
	if len(text) > 0 {
		s.out.Put(spool.Result, text)
	}
}

// said takes the messages since the last frame.
func (s *Screen) said() (text []byte) {
	for {
		_, line, gap, ok := s.above.Take()
		if !ok {
			return text
		}
		if gap != (spool.Gap{}) && s.notice != nil {
			text = append(text, s.notice(gap)...)
		}
		text = append(text, line...)
	}
}

// Put puts lines above the frame.
func (s *Screen) Put(class spool.Class, lines []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		s.out.Put(class, lines)
	} else {
		s.above.Put(class, lines)
	}
}

// Close draws a last frame, which stays, and clears the tab.
func (s *Screen) Close() {
	s.end()
	s.draw()
	s.die()
}

// lost says that somebody else has written to the terminal. The next frame is
// drawn below that.
func (s *Screen) lost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawn = nil
}

// die ends the drawing and leaves the terminal as it was before.
func (s *Screen) die() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return
	}
	s.dead = true
	text := s.said()
	if s.tab.State != TabNone {
		text = append(text, Tab{}.sequence()...)
	}
	s.write(text)
}

// A LastWill is what must be done before the process ends, however it ends. Any
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
