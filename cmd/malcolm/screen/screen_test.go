package screen

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/cmd/malcolm/screen/emulator"
	"malcolm/cmd/malcolm/spool"
)

func TestDrawing(t *testing.T) {
	const width = 20
	e := emulator.New(width, 6)
	var drawn []string
	draw := func(above string, lines ...string) {
		e.Write(drawing(rowsOf(drawn, width), []byte(above), lines))
		drawn = lines
	}
	steps := []struct {
		above string
		lines []string
		want  string
	}{
		{"", []string{"one", "two"}, "one\ntwo"},
		{"", []string{"1", "two", "three"}, "1\ntwo\nthree"},
		{"said\n", []string{"1", "2"}, "said\n1\n2"},
		{"", nil, "said"},
		{"a line that is wrapped, since it is long\n", []string{"total"}, "said\na line that is wrapp\ned, since it is long\ntotal"},
		{"more\nand more\n", []string{"x", "total"}, "said\na line that is wrapp\ned, since it is long\nmore\nand more\nx\ntotal"},
	}
	for _, s := range steps {
		draw(s.above, s.lines...)
		if got := e.Text(); got != s.want {
			t.Fatalf("behind %q and %q the terminal has\n%s\nwant\n%s", s.above, s.lines, got, s.want)
		}
		if e.Hidden || len(e.Unknown) > 0 {
			t.Fatalf("cursor hidden %v, unknown sequences %q", e.Hidden, e.Unknown)
		}
	}
}

// TestRowsOf: lines drawn on a wider terminal are wrapped when it becomes
// narrower, and all of their rows are drawn over.
func TestRowsOf(t *testing.T) {
	lines := []string{"", "1234567890", "\x1b[31m12345678901\x1b[39m", "██████████", "日本語日本語"}
	for width, want := range map[int]int{80: 5, 12: 5, 11: 6, 10: 7, 5: 1 + 2 + 3 + 2 + 3, 0: 1 + 10 + 11 + 10 + 12} {
		if got := rowsOf(lines, width); got != want {
			t.Errorf("width %d: %d rows, want %d", width, got, want)
		}
	}
}

// A testOutput is a terminal that is busy when the test says so.
type testOutput struct {
	bytes.Buffer
	busy atomic.Bool
}

func (o *testOutput) Put(_ spool.Class, text []byte) { o.Write(text) }

func (o *testOutput) Busy() bool { return o.busy.Load() }

// newTestScreen returns a screen that draws what f points to, when the test
// says so.
func newTestScreen(f *Frame, front *bool) (*Screen, *testOutput) {
	var out testOutput
	return &Screen{
		out: &out, tabs: true,
		size:   func() (int, int) { return 80, 24 },
		front:  func() bool { return *front },
		render: func(int, int) Frame { return *f },
	}, &out
}

// drawn returns what the next frame writes.
func drawn(s *Screen, out *testOutput) string {
	out.Reset()
	s.draw()
	return out.String()
}

// TestScreenIsQuiet: what has not changed is not written again.
func TestScreenIsQuiet(t *testing.T) {
	f, front := Frame{Lines: []string{"a"}}, true
	s, out := newTestScreen(&f, &front)
	if got := drawn(s, out); !strings.Contains(got, "a\x1b[K\n") {
		t.Errorf("the first frame wrote %q", got)
	}
	if got := drawn(s, out); got != "" {
		t.Errorf("the same frame wrote %q, want nothing", got)
	}
	f.Lines = []string{"b"}
	if got := drawn(s, out); !strings.Contains(got, "\x1b[1A") || !strings.Contains(got, "b") {
		t.Errorf("another frame wrote %q, want it over the first", got)
	}
	s.lost()
	if got := drawn(s, out); strings.Contains(got, "A") || !strings.Contains(got, "b") {
		t.Errorf("after somebody else wrote: %q, want the frame below that", got)
	}
}

// TestScreenInTheBackground: behind the shell's prompt no frames are drawn, but
// messages are written.
func TestScreenInTheBackground(t *testing.T) {
	f, front := Frame{Lines: []string{"a"}, Tab: TabOf(1, 2)}, false
	s, out := newTestScreen(&f, &front)
	s.Put(spool.Event, []byte("said\n"))
	if got := drawn(s, out); got != "said\n" {
		t.Errorf("in the background: %q, want only what was said", got)
	}
	front = true
	if got := drawn(s, out); !strings.Contains(got, "a\x1b[K\n") || strings.Contains(got, "A") {
		t.Errorf("in the foreground: %q, want a new frame", got)
	}
}

// TestScreenDies: the tab is cleared once, no message is lost, and nothing is
// drawn any more.
func TestScreenDies(t *testing.T) {
	f, front := Frame{Lines: []string{"a"}, Tab: TabOf(1, 2)}, true
	s, out := newTestScreen(&f, &front)
	if got := drawn(s, out); !strings.HasSuffix(got, "\x1b]9;4;1;50\x1b\\") {
		t.Errorf("the frame wrote %q, want the tab's 50 %%", got)
	}
	out.Reset()
	s.Put(spool.Event, []byte("last words\n"))
	s.die()
	s.die()
	if got, want := out.String(), "last words\n\x1b]9;4;0\x1b\\"; got != want {
		t.Errorf("at the end: %q, want %q", got, want)
	}
	f.Lines = []string{"b"}
	if got := drawn(s, out); got != "" {
		t.Errorf("after the end: %q, want nothing", got)
	}
	s.Put(spool.Event, []byte("said\n"))
	if got := out.String(); got != "said\n" {
		t.Errorf("what is said after the end: %q", got)
	}
}

// TestStoppedTerminal: nothing is drawn on a stopped terminal, and the messages
// meanwhile have a bound.
func TestStoppedTerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, front := Frame{}, true
		s, out := newTestScreen(&f, &front)
		s.render = func(int, int) Frame { return Frame{Lines: []string{time.Now().String()}} }
		s.notice = func(g spool.Gap) []byte { return fmt.Appendf(nil, "%d and %d\n", g.Events, g.Reports) }
		out.busy.Store(true)
		quit, done := make(chan struct{}), make(chan struct{})
		go s.draws(quit, done)
		time.Sleep(time.Minute)
		line := []byte(strings.Repeat("x", 1023) + "\n")
		for range 1000 {
			s.Put(spool.Report, line)
		}
		synctest.Wait()
		if out.Len() > 0 {
			t.Errorf("%d bytes were written to a terminal that is stopped", out.Len())
		}
		out.busy.Store(false)
		time.Sleep(frameTime)
		synctest.Wait()
		if got := out.String(); !strings.Contains(got, "0 and 936\nxxx") || strings.Count(got, "\n") != 1+64+1 {
			t.Errorf("%d bytes, %.60q, want a notice, 64 KiB and a frame", len(got), got)
		}
		close(quit)
		<-done
	})
}

// TestLastWill: it is done once, and a panic reaches it.
func TestLastWill(t *testing.T) {
	var will LastWill
	done := 0
	will.set(func() { done++ })
	func() {
		defer func() { recover() }()
		defer will.Do()
		panic(errors.New("odd"))
	}()
	will.Do()
	if done != 1 {
		t.Errorf("done %d times, want once", done)
	}
	var none *LastWill
	none.set(func() {})
	none.Do()
}

func TestColumnsOf(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "\x1b[1;38;5;39mab\x1b[0m": 2, "█▓░·…": 5, "日本": 4, "a\xffb": 3} {
		if got := Columns(text); got != want {
			t.Errorf("%q: %d columns, want %d", text, got, want)
		}
	}
}

func TestIsUTF8(t *testing.T) {
	tests := []struct {
		env  []string
		want bool
	}{
		{nil, unicodeByDefault}, {[]string{"LANG=en_US.UTF-8"}, true}, {[]string{"LANG=C"}, false}, {[]string{"LC_CTYPE=de_DE.utf8", "LANG=C"}, true},
		{[]string{"LC_ALL=C", "LANG=en_US.UTF-8"}, false}, {[]string{"LC_ALL=", "LANG=en_US.UTF-8"}, true},
	}
	for _, test := range tests {
		if got := isUTF8(envOf(test.env...)); got != test.want {
			t.Errorf("%q: %v, want %v", test.env, got, test.want)
		}
	}
}

// envOf is an environment with these settings.
func envOf(settings ...string) func(string) string {
	return func(name string) string {
		i := slices.IndexFunc(settings, func(s string) bool { return strings.HasPrefix(s, name+"=") })
		if i < 0 {
			return ""
		}
		return settings[i][len(name)+1:]
	}
}

func TestShowsTab(t *testing.T) {
	tests := []struct {
		env  string
		want bool
	}{
		{"", false}, {"TERM=xterm-256color", false}, {"TERM=xterm-ghostty", true}, {"TERM_PROGRAM=ghostty", true},
		{"TERM_PROGRAM=WezTerm", true}, {"TERM_PROGRAM=Apple_Terminal", false}, {"WT_SESSION=1", true},
		{"WT_SESSION=1 TMUX=/tmp/x", false}, {"WT_SESSION=1 TERM=screen-256color", false}, {"ConEmuANSI=ON", true},
		{"ConEmuANSI=OFF", false}, {"VTE_VERSION=8001", true}, {"VTE_VERSION=7600", false}, {"VTE_VERSION=x", false},
		{"KONSOLE_VERSION=250401", true}, {"KONSOLE_VERSION=230804", false},
		{"TERM_PROGRAM=iTerm.app", false}, {"TERM_PROGRAM=iTerm.app TERM_FEATURES=T3CwLrMSc7UUw9Ts3BFGsSyHNoSxFP", true},
		{"TERM_PROGRAM=iTerm.app TERM_FEATURES=T3CwLrMSc7Pr", false},
	}
	for _, test := range tests {
		if got := showsTab(envOf(strings.Fields(test.env)...)); got != test.want {
			t.Errorf("%q: %v, want %v", test.env, got, test.want)
		}
	}
}

func TestTabSequence(t *testing.T) {
	for want, p := range map[string]Tab{
		"\x1b]9;4;0\x1b\\":     {},
		"\x1b]9;4;3\x1b\\":     TabOf(5, 0),
		"\x1b]9;4;1;0\x1b\\":   TabOf(-1, 200),
		"\x1b]9;4;1;99\x1b\\":  TabOf(199, 200),
		"\x1b]9;4;1;100\x1b\\": TabOf(1<<62, 1<<61),
		"\x1b]9;4;4;7\x1b\\":   {State: TabPaused, Percent: 7},
	} {
		if got := p.sequence(); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}
