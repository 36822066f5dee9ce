package main

import (
	"os"
	"testing"
)

func TestMergeColor(t *testing.T) {
	tests := []struct {
		mode     colorMode
		printing bool
		want     colorMode
		ok       bool
	}{
		{"", false, colorAuto, true},
		{colorAuto, false, colorAuto, true},
		{colorAlways, false, colorAlways, true},
		{colorNever, false, colorNever, true},
		{"", true, colorAlways, true},
		{colorAuto, true, colorAlways, true},
		{colorAlways, true, colorAlways, true},
		{colorNever, true, "", false},
	}
	for _, test := range tests {
		got, err := mergeColor(test.mode, test.printing)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q, -c %t: got %q, %v", test.mode, test.printing, got, err)
		}
	}
}

// environ is a stand-in for os.Getenv.
func environ(vars map[string]string) func(string) string {
	return func(name string) string { return vars[name] }
}

func TestColorOffTerminal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	loud := environ(map[string]string{"NO_COLOR": "1", "TERM": "dumb"})
	tests := []struct {
		mode   colorMode
		file   *os.File
		getenv func(string) string
		want   bool
	}{
		{colorAuto, file, environ(nil), false},
		{colorAuto, nil, environ(nil), false},
		{colorAlways, file, loud, true},
		{colorAlways, nil, loud, true},
		{colorNever, file, environ(nil), false},
	}
	for _, test := range tests {
		if got := test.mode.enabled(test.file, test.getenv); got != test.want {
			t.Errorf("%s: got %t, want %t", test.mode, got, test.want)
		}
	}
}

func TestColorOnTerminal(t *testing.T) {
	terminal := openTerminal(t)
	tests := []struct {
		mode colorMode
		vars map[string]string
		want bool
	}{
		{colorAuto, nil, true},
		{colorAuto, map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true},
		{colorAuto, map[string]string{"NO_COLOR": "1"}, false},
		{colorAuto, map[string]string{"NO_COLOR": "0"}, false},
		{colorAuto, map[string]string{"TERM": "dumb"}, false},
		{colorAlways, map[string]string{"NO_COLOR": "1", "TERM": "dumb"}, true},
		{colorNever, nil, false},
	}
	for _, test := range tests {
		if got := test.mode.enabled(terminal, environ(test.vars)); got != test.want {
			t.Errorf("%s, %v: got %t, want %t", test.mode, test.vars, got, test.want)
		}
	}
}

// openTerminal opens a new pseudo-terminal, or skips where there is none to be
// had by a path. Its controlling side answers as a terminal on Linux.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	file, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	t.Cleanup(func() { file.Close() })
	if !isTerminal(file) {
		t.Skip("the pseudo-terminal's controlling side is no terminal here")
	}
	return file
}

func TestPalette(t *testing.T) {
	on := palette{on: true}
	tests := []struct{ name, got, want string }{
		{"bold", on.bold("x"), "\x1b[1mx\x1b[22m"},
		{"dim", on.dim("x"), "\x1b[2mx\x1b[22m"},
		{"red", on.red("x"), "\x1b[31mx\x1b[39m"},
		{"green", on.green("x"), "\x1b[32mx\x1b[39m"},
		{"yellow", on.yellow("x"), "\x1b[33mx\x1b[39m"},
		{"nested", on.bold(on.red("x") + "y"), "\x1b[1m\x1b[31mx\x1b[39my\x1b[22m"},
		{"empty", on.red(""), ""},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, test.got, test.want)
		}
	}
	var off palette
	for _, style := range []func(string) string{off.bold, off.dim, off.red, off.green, off.yellow} {
		if got := style("x"); got != "x" {
			t.Errorf("got %q from a palette that is off", got)
		}
	}
}
