package view

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/fetch"
)

// newTestBars returns bars that are never drawn by themselves.
func newTestBars(begun time.Duration) *getBars {
	term, _, _ := newTestTerminal()
	return &getBars{on: term, stop: func() {}, begun: time.Now().Add(-begun), phase: time.Now().Add(-begun)}
}

// TestBarsAppear: what is over within a second gets no bar; copying gets one at
// once.
func TestBarsAppear(t *testing.T) {
	asking := fetch.Snapshot{Servers: fetching().Servers}
	preparing := fetching()
	preparing.Phase, preparing.Check, preparing.Checked = fetch.PhasePreparing, 100, 25
	tests := []struct {
		name  string
		begun time.Duration
		p     fetch.Snapshot
		drawn bool
		tab   screen.Tab
	}{
		{"asking, at first", 0, asking, false, screen.Tab{}},
		{"asking, for long", 2 * time.Second, asking, true, screen.Tab{State: screen.TabIndeterminate}},
		{"checking, at first", 0, preparing, false, screen.Tab{}},
		{"checking, for long", 2 * time.Second, preparing, true, screen.TabOf(25, 100)},
		{"copying", 0, fetching(), true, screen.TabOf(45, 100)},
	}
	for _, test := range tests {
		b := newTestBars(test.begun)
		b.progress(test.p)
		f := b.frame(80, 24)
		if got := len(f.Lines) > 0; got != test.drawn || f.Tab != test.tab {
			t.Errorf("%s: drawn %v, tab %+v, want %v and %+v", test.name, got, f.Tab, test.drawn, test.tab)
		}
	}
}

// TestBarsOfTheCheck: the check of what is there has a bar once it takes more
// than a second, and none when it is over.
func TestBarsOfTheCheck(t *testing.T) {
	b := newTestBars(0)
	p := fetching()
	p.Check, p.Checked = 100*miB, 10*miB
	has := func() bool {
		b.progress(p)
		return slices.ContainsFunc(b.frame(80, 24).Lines, func(line string) bool { return strings.HasPrefix(line, "checking") })
	}
	if has() {
		t.Error("there is a bar at once")
	}
	b.checked = b.checked.Add(-2 * slowTime)
	if !has() {
		t.Error("there is none after a second")
	}
	p.Checked = p.Check
	if has() {
		t.Error("there is one when it is over")
	}
}

// TestBarsWait: while no server is left, the bar shows the time until the run
// gives up, and the tab is paused. Both end once one is back.
func TestBarsWait(t *testing.T) {
	b := newTestBars(0)
	p := fetching()
	p.Servers[0].State, p.Servers[1].State = fetch.StateLost, fetch.StateLost
	b.progress(p)
	b.event(fetch.Waiting{Left: time.Minute})
	f := b.frame(120, 24)
	if last := f.Lines[len(f.Lines)-1]; !strings.Contains(last, "no server, giving up in 5") || f.Tab.State != screen.TabPaused {
		t.Errorf("last line %q, tab %+v", last, f.Tab)
	}
	b.event(fetch.Back{})
	f = b.frame(120, 24)
	if last := f.Lines[len(f.Lines)-1]; strings.Contains(last, "no server") || f.Tab.State != screen.TabPercent {
		t.Errorf("when it is back: last line %q, tab %+v", last, f.Tab)
	}
}

// TestLastFrame: the last frame shows the result and does not change it.
func TestLastFrame(t *testing.T) {
	b := newTestBars(0)
	p := fetching()
	p.Map = marks("AB..")
	b.progress(p)
	p.Map[3] = markFirst // belongs to the run, which goes on
	if got, want := b.frame(80, 24).Lines[0], "AB··"; got != want {
		t.Errorf("the map is %q, want %q", got, want)
	}
	servers := fetching().Servers[:2]
	servers[0].Conns, servers[0].RTT = 0, 0 // its connections are closed
	r := &fetch.Result{Size: 200 * miB, Amounts: fetch.Amounts{Fetched: 190 * miB, Resumed: 10 * miB}, Elapsed: 10 * time.Second, Servers: servers, Map: marks("ABAB")}
	b.last(Outcome{Got: r})
	golden(t, "the last frame", b.on.painter().getLines(b.f, 80, 24), `
ABAB
a cell is 1 chunk
server            state        share         rate  round trip  conns  wrong
A 10.0.0.5:10000  serving       21 %    4.0 MiB/s      0.4 ms      1      0
B 10.0.0.5:10001  serving       16 %    3.0 MiB/s       87 ms      4      0
100.0 %  ▓█████████████████████  200.0 MiB of 200.0 MiB  19.0 MiB/s  in 10.0s
`)
	if f := b.frame(80, 24); f.Tab != (screen.Tab{}) {
		t.Errorf("the tab has %+v, want nothing", f.Tab)
	}
	if r.Servers[0].Conns != 0 || r.Servers[0].Rate != 12.5*miB {
		t.Errorf("the result was changed: %+v", r.Servers[0])
	}
}

// TestLastFrameOfAFailure: it has no time left and no time taken.
func TestLastFrameOfAFailure(t *testing.T) {
	b := newTestBars(0)
	b.progress(fetching())
	b.frame(80, 24)
	b.last(Outcome{Got: &fetch.Result{Size: 200 * miB, Amounts: fetch.Amounts{Fetched: 90 * miB}, Elapsed: 9 * time.Second}, Err: errors.New("odd")})
	f := b.frame(80, 24)
	if last := f.Lines[len(f.Lines)-1]; strings.Contains(last, "left") || strings.Contains(last, " in ") || !strings.Contains(last, "45.0 %") {
		t.Errorf("the last line is %q", last)
	}
}

// TestNoLastFrame: a run too short for bars has none at its end.
func TestNoLastFrame(t *testing.T) {
	b := newTestBars(0)
	b.progress(fetching())
	b.last(Outcome{Got: &fetch.Result{Size: 200 * miB, Amounts: fetch.Amounts{Fetched: 200 * miB}, Elapsed: time.Second}})
	if f := b.frame(80, 24); len(f.Lines) > 0 {
		t.Errorf("the last frame is %q, want none", f.Lines)
	}
}
