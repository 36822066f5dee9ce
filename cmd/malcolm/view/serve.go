package view

import (
	"net/netip"
	"path/filepath"
	"time"

	"malcolm/transfer"
)

// An Offer is what is to be shown of a run of Serve.
type Offer struct {
	File      string     // as the user named it
	Bind      netip.Addr // that is listened on; the zero one: all
	Advertise string     // the host to name to clients; empty: an own address
	Token     bool       // clients need one
	Interval  time.Duration
}

// A Serve shows what Serve does.
type Serve struct{ watchers []serveWatcher }

// A serveWatcher is one way to show it.
type serveWatcher interface {
	event(e transfer.ServeEvent)
	// ended is called once, behind the last event.
	ended()
}

// NewServe returns a view of a run that is about to start.
func NewServe(on Terminal, o Offer) *Serve {
	host := hostOf(o.Bind, o.Advertise)
	text := &serveText{Terminal: on, offer: o, name: filepath.Base(o.File), host: host, silent: on.JSON}
	s := &Serve{[]serveWatcher{text}}
	if on.Drawn && o.Interval > 0 {
		text.silent = true
		s.watchers = []serveWatcher{&serveTable{on: on}, text}
	}
	if on.JSON {
		s.watchers = append(s.watchers, &serveJSON{out: on, file: o.File, host: host})
	}
	return s
}

// Event shows what happened.
func (s *Serve) Event(e transfer.ServeEvent) {
	for _, each := range s.watchers {
		each.event(e)
	}
}

// Ended leaves the terminal as it is to stay.
func (s *Serve) Ended() {
	for _, each := range s.watchers {
		each.ended()
	}
}
