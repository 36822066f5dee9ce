package view

import (
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"time"

	"malcolm/transfer/serve"
)

// An Offer says what to show of a run of Serve.
type Offer struct {
	File      string        // as the user named it
	Bind      netip.Addr    // address to listen on; zero: all
	Advertise string        // host to name to clients; empty: one of our addresses
	Token     bool          // clients need one
	Interval  time.Duration // between two reports; 0: no reports
	Web       Web
}

// A Serve shows what a server does.
type Serve struct {
	watchers []serveWatcher
	pace     time.Duration // between two reports; 0: only the last one
	status   func() serve.Status
	reports  reports
	text     *serveText
	file     *shownFile
}

// A shownFile is the file that is offered, for all who show it. Any goroutine
// may read it.
type shownFile struct {
	path atomic.Pointer[string] // as the user named it
	next atomic.Pointer[string] // once it is ready; nil: the same
}

func newShownFile(path string) *shownFile {
	f := new(shownFile)
	f.path.Store(&path)
	return f
}

func (f *shownFile) String() string { return *f.path.Load() }

// name is the last part of its path.
func (f *shownFile) name() string { return filepath.Base(f.String()) }

// event takes over the next file once it is offered, and forgets one that is
// not.
func (f *shownFile) event(e serve.Event) {
	switch e := e.(type) {
	case serve.Ready:
		if next := f.next.Swap(nil); next != nil {
			f.path.Store(next)
		}
	case serve.Unreadable:
		if e.Kept {
			f.next.Store(nil)
		}
	}
}

// A serveWatcher is one way to show it.
type serveWatcher interface {
	event(e serve.Event)
	// status is called at an interval, and once before the server is said
	// to have stopped.
	status(st serve.Status, now time.Time)
	// ended is called once, after the last event.
	ended()
}

// NewServe returns a view of a server that is about to run.
func NewServe(on Terminal, o Offer) *Serve {
	host := hostOf(o.Bind, o.Advertise)
	file := newShownFile(o.File)
	text := &serveText{Terminal: on, offer: o, file: file, host: host, silent: on.JSON}
	s := &Serve{watchers: []serveWatcher{text}, text: text, file: file, pace: on.Pace(o.Interval)}
	if on.Drawn && o.Interval > 0 {
		text.silent = true
		s.watchers = []serveWatcher{&serveTable{on: on}, text}
	}
	if on.JSON {
		s.watchers = append(s.watchers, &serveJSON{out: on, file: file, host: host})
	}
	return s
}

// Ask says how to get the server's status. It is called before the server runs.
func (s *Serve) Ask(status func() serve.Status) { s.status = status }

// Next says what file, as the user named it, takes the place of the one that is
// shown, once it is offered; empty: none does. Any goroutine may call it.
func (s *Serve) Next(path string) {
	if path == "" {
		s.file.next.Store(nil)
	} else {
		s.file.next.Store(&path)
	}
}

// Event shows what happened. The status is shown at the interval from
// [serve.Listening] to [serve.Stopping], and once at the end.
func (s *Serve) Event(e serve.Event) {
	switch e.(type) {
	case serve.Stopping:
		s.reports.end()
	case serve.Stopped:
		s.reports.show(s.report)
	}
	s.reports.show(func() {
		s.file.event(e)
		for _, each := range s.watchers {
			each.event(e)
		}
	})
	if _, ok := e.(serve.Listening); ok {
		s.reports.begin(s.pace, s.report)
	}
}

func (s *Serve) report() {
	st, now := s.status(), time.Now()
	for _, each := range s.watchers {
		each.status(st, now)
	}
}

// Ended leaves the terminal in its final state.
func (s *Serve) Ended() {
	s.reports.end()
	for _, each := range s.watchers {
		each.ended()
	}
}
