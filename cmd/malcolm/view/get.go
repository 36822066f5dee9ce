package view

import (
	"errors"
	"time"

	"malcolm/transfer/fetch"
	"malcolm/transfer/source"
)

// A Run says what to show of a run of Get, Repair, Verify or Info.
type Run struct {
	Targets  []source.Target
	Alone    bool          // they are one server: the error that ends the run is about it
	Local    bool          // what was kept is from a local file, not from an earlier run
	Mending  string        // the path of the directory that is repaired; else empty
	Map      bool          // show the file as a map
	Interval time.Duration // between two reports; 0: no reports
	// Advice says what to do about a server that is not reached, or full;
	// nil: nothing is said.
	Advice func(t source.Target, err error) []string
}

// An Outcome is how a run of Get, Repair or Verify ended.
type Outcome struct {
	Got      *fetch.Result           // of Get and Repair; else nil
	Verified *fetch.VerifyResult     // of Verify, if it got that far
	Mended   *fetch.RepairTreeResult // of RepairTree; else nil
	Path     string                  // of the file or directory that was verified
	Err      error
	Unread   bool     // nobody will read the reason
	Late     error    // why a file that is there has no receipt; nil: it has, or none is wanted
	Hints    []string // what to do about Err
	Resume   []string // how to continue with what is kept
}

// Kept reports whether a run that failed has left an unfinished file.
func (o Outcome) Kept() bool {
	_, refused := errors.AsType[*fetch.TargetError](o.Err)
	return o.Got != nil && o.Got.Part != "" && !refused
}

// A Get shows what Get, Repair or Verify does.
type Get struct {
	watchers []getWatcher
	pace     time.Duration // between two reports; 0: no reports
	reports  reports
}

// A getWatcher is one way to show it.
type getWatcher interface {
	event(e fetch.Event)
	progress(now fetch.Snapshot)
	// ended is called once, after the last event.
	ended(o Outcome)
}

// NewGet returns a view of a run that is about to start.
func NewGet(on Terminal, r Run) *Get {
	text := &getText{Terminal: on, run: r, silent: on.JSON}
	// The view that draws comes first: it restores the terminal before the
	// end is told.
	g := &Get{watchers: []getWatcher{text}, pace: on.Pace(r.Interval)}
	switch {
	case on.Drawn && r.Interval > 0:
		text.silent, text.bars = true, &getBars{on: on, f: getFrame{local: r.Local}}
		g.watchers = []getWatcher{text.bars, text}
	case r.Map:
		g.watchers = []getWatcher{mapPrinter{on}, text}
	}
	if on.JSON {
		g.watchers = append(g.watchers, newGetJSON(on, r.Targets))
	}
	return g
}

// Ask begins to ask for the status at the run's interval.
func (g *Get) Ask(status func() fetch.Snapshot) {
	g.reports.begin(g.pace, func() {
		now := status()
		for _, each := range g.watchers {
			each.progress(now)
		}
	})
}

// Event shows what happened.
func (g *Get) Event(e fetch.Event) {
	g.reports.show(func() {
		for _, each := range g.watchers {
			each.event(e)
		}
	})
}

// Ended shows how the run ended, except the event "error". The status is not
// asked for any more.
func (g *Get) Ended(o Outcome) {
	g.reports.end()
	for _, each := range g.watchers {
		each.ended(o)
	}
}
