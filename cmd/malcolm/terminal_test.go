package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer"
)

// newTestTerminal returns a terminal and what is written to it.
func newTestTerminal(mode screen.ColorMode) (t *terminal, out, err *bytes.Buffer) {
	out, err = new(bytes.Buffer), new(bytes.Buffer)
	t = newTerminal(system{stdout: out, stderr: err, getenv: func(string) string { return "" }}, mode)
	return t, out, err
}

func TestTerminalPrefixes(t *testing.T) {
	term, out, stderr := newTestTerminal(screen.ColorAuto)
	term.result("copy/data")
	term.say("%d chunks", 3)
	term.warn("lost %s", "a")
	term.fail(errors.New("no space"))
	term.hint("make room, 100 % of it")
	if got, want := out.String(), "copy/data\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	want := "3 chunks\nmalcolm: warning: lost a\nmalcolm: error: no space\nmalcolm: hint: make room, 100 % of it\n"
	if got := stderr.String(); got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

// TestTerminalColors: only the prefix of an error is coloured, so that what is
// copied from it is plain.
func TestTerminalColors(t *testing.T) {
	term, _, stderr := newTestTerminal(screen.ColorAlways)
	term.fail(errors.New("no space"))
	if got, want := stderr.String(), "\x1b[31mmalcolm: error: \x1b[39mno space\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFinish(t *testing.T) {
	name := &transfer.NameError{Name: ".x", Problem: "begins with a dot"}
	tests := []struct {
		err    error
		code   int
		stderr string
	}{
		{nil, exitDone, ""},
		{errors.New("odd"), exitUnexpected, "malcolm: error: odd\n"},
		{name, exitLocal, "malcolm: error: the servers offer the name \".x\", which begins with a dot\n" +
			"malcolm: hint: --name NAME chooses another one\n"},
		{&reportedError{err: name}, exitLocal, ""},
		{fmt.Errorf("get: %w", &reportedError{err: errors.New("odd")}), exitUnexpected, ""},
	}
	for _, test := range tests {
		term, out, stderr := newTestTerminal(screen.ColorAuto)
		if got := term.finish(test.err); got != test.code {
			t.Errorf("%v: exit code %d, want %d", test.err, got, test.code)
		}
		if got := stderr.String(); got != test.stderr {
			t.Errorf("%v: stderr %q, want %q", test.err, got, test.stderr)
		}
		if out.Len() > 0 {
			t.Errorf("%v: stdout %q, want nothing", test.err, out)
		}
	}
}

// TestTerminalLinesStayWhole: goroutines do not mix their lines.
func TestTerminalLinesStayWhole(t *testing.T) {
	term, _, stderr := newTestTerminal(screen.ColorAuto)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				term.say("%s", strings.Repeat(string(rune('a'+i)), 40))
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
	if len(lines) != 400 {
		t.Errorf("%d lines, want 400", len(lines))
	}
	for _, line := range lines {
		if line != strings.Repeat(line[:1], 40) {
			t.Errorf("the line %q is mixed", line)
		}
	}
}
