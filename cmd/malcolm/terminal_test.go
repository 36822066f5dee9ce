package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/fetch"
)

// newTestTerminal returns a terminal and its outputs.
func newTestTerminal(mode screen.ColorMode) (t *terminal, out, err *bytes.Buffer) {
	out, err = new(bytes.Buffer), new(bytes.Buffer)
	t = newTerminal(system{stdout: out, stderr: err, wait: hangTime, getenv: utf8Locale}, mode)
	return t, out, err
}

// utf8Locale is an environment that has only a locale.
func utf8Locale(name string) string {
	if name == "LANG" {
		return "C.UTF-8"
	}
	return ""
}

// TestTerminalInALocale: in an ASCII locale malcolm's own words are ASCII, and
// names are unchanged.
func TestTerminalInALocale(t *testing.T) {
	for lang, want := range map[string]string{"C": "getting \"ä\": 9f86d081...\n", "en_US.UTF-8": "getting \"ä\": 9f86d081…\n"} {
		var out, stderr bytes.Buffer
		term := newTerminal(system{stdout: &out, stderr: &stderr, wait: hangTime, getenv: func(name string) string {
			return map[string]string{"LC_ALL": lang, "LANG": "C.UTF-8"}[name]
		}}, screen.ColorAuto)
		term.Say("getting \"ä\": 9f86d081…")
		term.Result("getting \"ä\": 9f86d081…")
		if stderr.String() != want || out.String() != want {
			t.Errorf("%s: %q and %q, want %q", lang, &stderr, &out, want)
		}
	}
}

func TestTerminalPrefixes(t *testing.T) {
	term, out, stderr := newTestTerminal(screen.ColorAuto)
	term.Result("copy/data")
	term.Say("%d chunks", 3)
	term.Warn("lost %s", "a")
	term.fail(errors.New("no space"))
	term.Hint("make room, 100 % of it")
	if got, want := out.String(), "copy/data\n"; got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	want := "3 chunks\nmalcolm: warning: lost a\nmalcolm: error: no space\nmalcolm: hint: make room, 100 % of it\n"
	if got := stderr.String(); got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

// TestTerminalColors: only an error's prefix is coloured, so that text copied
// from it is plain.
func TestTerminalColors(t *testing.T) {
	term, _, stderr := newTestTerminal(screen.ColorAlways)
	term.fail(errors.New("no space"))
	if got, want := stderr.String(), "\x1b[31mmalcolm: error: \x1b[39mno space\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestFinish(t *testing.T) {
	name := &fetch.NameError{Name: ".x", Problem: "begins with a dot"}
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
				term.Say("%s", strings.Repeat(string(rune('a'+i)), 40))
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

// A fullFile takes what is written to it until it is full.
type fullFile struct {
	bytes.Buffer
	err error
}

func (d *fullFile) Write(p []byte) (int, error) {
	if d.err != nil {
		return 0, d.err
	}
	return d.Buffer.Write(p)
}

// TestLogOnAFullDiskDoesNotEndTheRun: a log on a full disk does not end a run,
// which says afterwards how much the log lacks. A pipe that nobody reads ends
// it, once, and so does a lost stdout.
func TestLogOnAFullDiskDoesNotEndTheRun(t *testing.T) {
	var ends []error
	log, out := new(fullFile), new(fullFile)
	term := newTerminal(system{
		stdout: out, stderr: log, getenv: func(string) string { return "" }, abort: func(err error) { ends = append(ends, err) },
	}, screen.ColorAuto)
	term.Say("one")
	term.flush()
	log.err = syscall.ENOSPC
	term.Say("two")
	term.Report("three")
	term.flush()
	log.err = nil
	term.Say("four")
	term.flush()
	want := "one\nmalcolm: warning: 1 line and 1 status line are left out here: stderr did not take them in time\nfour\n"
	if got := log.String(); got != want || len(ends) > 0 {
		t.Errorf("the log has %q, want %q; the run ends with %v", got, want, ends)
	}
	log.err = syscall.EPIPE
	term.Say("five")
	term.Say("six")
	term.flush()
	if len(ends) != 1 || !isPipe(ends[0]) {
		t.Errorf("the run ends with %v, want a broken pipe, once", ends)
	}
	out.err = syscall.ENOSPC
	term.Result("path")
	term.flush()
	if len(ends) != 2 || exitCode(ends[1]) != exitLocal {
		t.Errorf("the run ends with %v, want an error of writing stdout", ends)
	}
}

// TestDebugIsAskedFor: MALCOLM_DEBUG makes views show what helps to find bugs.
func TestDebugIsAskedFor(t *testing.T) {
	for value, want := range map[string]bool{"": false, "1": true} {
		getenv := func(name string) string { return map[string]string{"MALCOLM_DEBUG": value}[name] }
		if got := newTerminal(system{getenv: getenv}, screen.ColorNever).view().Debug; got != want {
			t.Errorf("MALCOLM_DEBUG=%s: %t, want %t", value, got, want)
		}
	}
}
