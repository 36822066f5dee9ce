package view

import (
	"slices"
	"sync"
	"time"

	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/fetch"
)

// A getBars draws what Get, Repair or Verify does.
type getBars struct {
	on   Terminal
	stop func() // ends the drawing; nil: it has not begun

	mu      sync.Mutex // between the run and the screen
	f       getFrame
	has     bool      // f.p is set
	begun   time.Time // the first event
	phase   time.Time // when f.p's phase began
	giveUp  time.Time // when the run gives up, while no server is left
	drawn   bool      // a frame was shown
	checked time.Time // when the check of what is there began
}

// begin begins to draw, if it has not begun.
func (b *getBars) begin(now time.Time) {
	if b.stop == nil {
		b.begun, b.phase = now, now
		b.stop = b.on.Draw(b.frame)
	}
}

func (b *getBars) event(e fetch.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.begin(now)
	switch e := e.(type) {
	case fetch.Waiting:
		b.giveUp = now.Add(e.Left)
	case fetch.Back, fetch.Joined:
		b.giveUp = time.Time{}
	}
}

func (b *getBars) progress(p fetch.Snapshot) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.begin(now)
	b.progressAt(p, now)
}

func (b *getBars) progressAt(p fetch.Snapshot, now time.Time) {
	if p.Phase != b.f.p.Phase {
		b.phase = now
	}
	if p.Check == 0 || p.Checked >= p.Check {
		b.checked = time.Time{}
	} else if b.checked.IsZero() {
		b.checked = now
	}
	for _, s := range p.Servers {
		if s.State == fetch.StateServing {
			b.giveUp = time.Time{}
		}
	}
	if p.Map != nil { // it changes after the event
		b.f.cells = append(b.f.cells[:0], p.Map...)
	}
	p.Map = nil
	b.f.p, b.has = p, true
}

// frame is what to draw now. A phase that ends within a second is not drawn.
func (b *getBars) frame(width, height int) screen.Frame {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	f, p := b.f, b.f.p
	f.check = p.Phase == fetch.PhaseFetching && !b.checked.IsZero() && now.Sub(b.checked) > slowTime
	f.waiting = max(b.giveUp.Sub(now), 0)
	slow := p.Phase == fetch.PhaseAsking || p.Phase == fetch.PhasePreparing
	if !b.has || slow && !b.drawn && now.Sub(b.begun) < slowTime {
		return screen.Frame{}
	}
	b.drawn = true
	tab := screen.TabOf(p.Good, p.Size)
	switch {
	case f.took > 0:
		tab = screen.Tab{}
	case f.waiting > 0:
		tab.State = screen.TabPaused
	case p.Phase == fetch.PhaseReadingBack, p.Phase == fetch.PhasePreparing && p.Check > 0:
		tab = screen.TabOf(p.Checked, p.Check)
	case slow:
		tab = screen.Tab{State: screen.TabIndeterminate}
	}
	return screen.Frame{Lines: b.on.painter().getLines(f, width, height), Tab: tab}
}

// ended draws the last frame, which stays.
func (b *getBars) ended(o Outcome) {
	if b.stop == nil {
		return
	}
	b.mu.Lock()
	b.last(o)
	b.mu.Unlock()
	b.stop()
}

// last makes the last frame show the result.
func (b *getBars) last(o Outcome) {
	r := o.Got
	b.giveUp, b.checked = time.Time{}, time.Time{}
	if r == nil || r.AlreadyRight || !b.drawn {
		b.has = false // the lines after it say it all
		return
	}
	p := &b.f.p
	before := p.Servers
	p.Good, p.Resumed, p.Left = r.Fetched+r.Resumed, r.Resumed, -1
	p.Rate = float64(r.Fetched) / max(r.Elapsed.Seconds(), 0.001)
	p.Servers, p.Tree = slices.Clone(r.Servers), r.Tree
	for i := range p.Servers {
		s := &p.Servers[i]
		if s.State == fetch.StateServing && i < len(before) {
			s.RTT, s.Conns = before[i].RTT, before[i].Conns
		}
		s.Rate = float64(s.Bytes) / max(r.Elapsed.Seconds(), 0.001)
	}
	if r.Map != nil {
		b.f.cells = append(b.f.cells[:0], r.Map...)
	}
	if o.Err == nil {
		p.Phase, b.f.took = fetch.PhaseFetching, r.Elapsed
	} else if p.Phase > fetch.PhaseFetching {
		p.Phase = fetch.PhaseFetching
	}
}

// A mapPrinter prints the map once, after the end, where nothing is drawn.
type mapPrinter struct{ on Terminal }

func (mapPrinter) event(fetch.Event) {}

func (mapPrinter) progress(fetch.Snapshot) {}

func (m mapPrinter) ended(o Outcome) {
	if o.Got == nil {
		return
	}
	const width = 80
	for _, line := range m.on.painter().mapText(o.Got.Map, o.Got.Servers, width) {
		m.on.Say("%s", line)
	}
}
