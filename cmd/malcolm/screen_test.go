package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// An emulator is as much of a terminal as frames need: it wraps at its width,
// keeps what scrolls out, and knows the sequences of drawing.
type emulator struct {
	width, height int
	rows          [][]rune
	top           int // the first row that is not scrolled out
	row, column   int
	hidden        bool     // the cursor
	tabs          []string // what OSC 9;4 said
	unknown       []string // sequences that it does not know
}

func newEmulator(width, height int) *emulator { return &emulator{width: width, height: height} }

func (e *emulator) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		if text[0] == '\x1b' {
			text = e.escape(text)
			continue
		}
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		switch r {
		case '\r':
			e.column = 0
		case '\n':
			e.row, e.column = e.row+1, 0
		default:
			if e.column == e.width {
				e.row, e.column = e.row+1, 0
			}
			e.put(r)
		}
		for len(e.rows) <= e.row {
			e.rows = append(e.rows, nil)
		}
		e.top = max(e.top, e.row-e.height+1)
	}
	return len(p), nil
}

func (e *emulator) put(r rune) {
	for len(e.rows) <= e.row {
		e.rows = append(e.rows, nil)
	}
	for len(e.rows[e.row]) <= e.column {
		e.rows[e.row] = append(e.rows[e.row], ' ')
	}
	e.rows[e.row][e.column] = r
	e.column++
}

// escape obeys the sequence that text begins with, and returns the rest.
func (e *emulator) escape(text string) (rest string) {
	if tab, ok := strings.CutPrefix(text, "\x1b]"); ok {
		tab, rest, _ = strings.Cut(tab, "\x1b\\")
		e.tabs = append(e.tabs, strings.TrimPrefix(tab, "9;4;"))
		return rest
	}
	body, ok := strings.CutPrefix(text, "\x1b[")
	end := strings.IndexFunc(body, func(r rune) bool { return r >= 0x40 && r <= 0x7e })
	if !ok || end < 0 {
		e.unknown = append(e.unknown, text)
		return ""
	}
	switch parameters, final := body[:end], body[end]; {
	case final == 'A':
		n, _ := strconv.Atoi(parameters)
		e.row = max(e.row-n, e.top)
	case final == 'K' && parameters == "":
		e.rows[e.row] = e.rows[e.row][:min(e.column, len(e.rows[e.row]))]
	case final == 'J' && parameters == "":
		if e.row < len(e.rows) {
			e.rows[e.row] = e.rows[e.row][:min(e.column, len(e.rows[e.row]))]
			e.rows = e.rows[:e.row+1]
		}
	case parameters == "?25" && (final == 'l' || final == 'h'):
		e.hidden = final == 'l'
	case final == 'm':
	default:
		e.unknown = append(e.unknown, "\x1b["+body[:end+1])
	}
	return body[end+1:]
}

// text is everything that can be seen, and what has scrolled out above it.
func (e *emulator) text() string {
	var lines []string
	for _, r := range e.rows {
		lines = append(lines, strings.TrimRight(string(r), " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

func TestDrawing(t *testing.T) {
	e := newEmulator(20, 6)
	var drawn []string
	draw := func(above string, lines ...string) {
		e.Write(drawing(rowsOf(drawn, e.width), []byte(above), lines))
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
		if got := e.text(); got != s.want {
			t.Fatalf("behind %q and %q the terminal has\n%s\nwant\n%s", s.above, s.lines, got, s.want)
		}
		if e.hidden || len(e.unknown) > 0 {
			t.Fatalf("cursor hidden %v, unknown sequences %q", e.hidden, e.unknown)
		}
	}
}

// TestRowsOf: lines that were drawn on a wider terminal are wrapped when it
// becomes narrower, and all of their rows are drawn over.
func TestRowsOf(t *testing.T) {
	lines := []string{"", "1234567890", "\x1b[31m12345678901\x1b[39m", "██████████", "日本語日本語"}
	for width, want := range map[int]int{80: 5, 12: 5, 11: 6, 10: 7, 5: 1 + 2 + 3 + 2 + 3, 0: 1 + 10 + 11 + 10 + 12} {
		if got := rowsOf(lines, width); got != want {
			t.Errorf("width %d: %d rows, want %d", width, got, want)
		}
	}
}

// newTestWriter returns a frameWriter that draws what f points to.
func newTestWriter(f *frame, front *bool) (*frameWriter, *bytes.Buffer) {
	var out bytes.Buffer
	return &frameWriter{
		out: &out, tabs: true,
		size:   func() (int, int) { return 80, 24 },
		front:  func() bool { return *front },
		render: func(int, int) frame { return *f },
	}, &out
}

// drawn returns what the next frame writes.
func drawn(w *frameWriter, out *bytes.Buffer) string {
	out.Reset()
	w.next()
	w.Flush(0)
	return out.String()
}

// TestFrameWriterIsQuiet: what has not changed is not written again.
func TestFrameWriterIsQuiet(t *testing.T) {
	f, front := frame{lines: []string{"a"}}, true
	w, out := newTestWriter(&f, &front)
	if got := drawn(w, out); !strings.Contains(got, "a\x1b[K\n") {
		t.Errorf("the first frame wrote %q", got)
	}
	if got := drawn(w, out); got != "" {
		t.Errorf("the same frame wrote %q, want nothing", got)
	}
	f.lines = []string{"b"}
	if got := drawn(w, out); !strings.Contains(got, "\x1b[1A") || !strings.Contains(got, "b") {
		t.Errorf("another frame wrote %q, want it over the first", got)
	}
	w.lost()
	if got := drawn(w, out); strings.Contains(got, "A") || !strings.Contains(got, "b") {
		t.Errorf("after somebody else wrote: %q, want the frame below that", got)
	}
}

// TestFrameWriterInTheBackground: behind the shell's prompt nothing is drawn, but
// what is said is.
func TestFrameWriterInTheBackground(t *testing.T) {
	f, front := frame{lines: []string{"a"}, tab: tabOf(1, 2)}, false
	w, out := newTestWriter(&f, &front)
	w.Write([]byte("said\n"))
	if got := drawn(w, out); got != "said\n" {
		t.Errorf("in the background: %q, want only what was said", got)
	}
	front = true
	if got := drawn(w, out); !strings.Contains(got, "a\x1b[K\n") || strings.Contains(got, "A") {
		t.Errorf("in the foreground: %q, want a new frame", got)
	}
}

// TestFrameWriterDies: the tab is cleared once, nothing that was said is lost,
// and nothing is drawn any more.
func TestFrameWriterDies(t *testing.T) {
	f, front := frame{lines: []string{"a"}, tab: tabOf(1, 2)}, true
	w, out := newTestWriter(&f, &front)
	if got := drawn(w, out); !strings.HasSuffix(got, "\x1b]9;4;1;50\x1b\\") {
		t.Errorf("the frame wrote %q, want the tab's 50 %%", got)
	}
	out.Reset()
	w.Write([]byte("last words\n"))
	w.die()
	w.die()
	if got, want := out.String(), "last words\n\x1b]9;4;0\x1b\\"; got != want {
		t.Errorf("at the end: %q, want %q", got, want)
	}
	f.lines = []string{"b"}
	if got := drawn(w, out); got != "" {
		t.Errorf("after the end: %q, want nothing", got)
	}
	w.say([]byte("said\n"))
	if got := out.String(); got != "said\n" {
		t.Errorf("what is said after the end: %q", got)
	}
}

// TestLastWill: it is done once, and a panic reaches it.
func TestLastWill(t *testing.T) {
	var will lastWill
	done := 0
	will.set(func() { done++ })
	func() {
		defer func() { recover() }()
		defer will.do()
		panic(errors.New("odd"))
	}()
	will.do()
	if done != 1 {
		t.Errorf("done %d times, want once", done)
	}
	var none *lastWill
	none.set(func() {})
	none.do()
}

func TestColumnsOf(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "\x1b[1;38;5;39mab\x1b[0m": 2, "█▓░·…": 5, "日本": 4, "a\xffb": 3} {
		if got := columnsOf(text); got != want {
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

// envOf is an environment of such settings.
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
	for want, p := range map[string]tabProgress{
		"\x1b]9;4;0\x1b\\":     {},
		"\x1b]9;4;3\x1b\\":     tabOf(5, 0),
		"\x1b]9;4;1;0\x1b\\":   tabOf(-1, 200),
		"\x1b]9;4;1;99\x1b\\":  tabOf(199, 200),
		"\x1b]9;4;1;100\x1b\\": tabOf(1<<62, 1<<61),
		"\x1b]9;4;4;7\x1b\\":   {state: tabPaused, percent: 7},
	} {
		if got := p.sequence(); got != want {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}

// fits fails the test if a frame does not fit a terminal.
func fits(t *testing.T, name string, lines []string, width, height int) {
	t.Helper()
	if len(lines) >= height && len(lines) > 1 {
		t.Errorf("%s, %d by %d: %d lines", name, width, height, len(lines))
	}
	for _, line := range lines {
		if n := columnsOf(line); n >= width {
			t.Errorf("%s, %d by %d: a line has %d columns: %q", name, width, height, n, line)
		}
	}
}

// everySize calls f with terminals of all kinds.
func everySize(f func(width, height int)) {
	for width := 1; width <= 200; width += 3 {
		for height := 1; height <= 60; height += 4 {
			f(width, height)
		}
	}
}

// golden fails the test unless lines are those of want, which begins with a line
// break.
func golden(t *testing.T, name string, lines []string, want string) {
	t.Helper()
	got := "\n" + strings.Join(lines, "\n") + "\n"
	if got != want {
		t.Errorf("%s:\ngot%s\nwant%s", name, got, fmt.Sprint(want))
	}
}

// TestPace: what is drawn is told of more often than what is written.
func TestPace(t *testing.T) {
	drawn, written := &terminal{screen: os.Stderr}, &terminal{}
	for _, test := range []struct {
		t              *terminal
		interval, want time.Duration
	}{
		{written, time.Second, time.Second}, {drawn, time.Second, eventTime}, {drawn, 50 * time.Millisecond, 50 * time.Millisecond},
		{drawn, 0, 0}, {&terminal{screen: os.Stderr, flags: OutputFlags{JSON: true}}, time.Second, time.Second},
	} {
		if got := test.t.pace(test.interval); got != test.want {
			t.Errorf("%v: %v, want %v", test.interval, got, test.want)
		}
	}
}
