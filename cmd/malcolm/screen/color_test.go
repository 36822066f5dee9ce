package screen

import (
	"os"
	"testing"
)

// environ replaces os.Getenv.
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
		mode   ColorMode
		file   *os.File
		getenv func(string) string
		want   bool
	}{
		{ColorAuto, file, environ(nil), false},
		{ColorAuto, nil, environ(nil), false},
		{ColorAlways, file, loud, true},
		{ColorAlways, nil, loud, true},
		{ColorNever, file, environ(nil), false},
	}
	for _, test := range tests {
		if got := test.mode.Enabled(test.file, test.getenv); got != test.want {
			t.Errorf("%s: got %t, want %t", test.mode, got, test.want)
		}
	}
}

func TestColorOnTerminal(t *testing.T) {
	terminal := openTerminal(t)
	tests := []struct {
		mode ColorMode
		vars map[string]string
		want bool
	}{
		{ColorAuto, nil, true},
		{ColorAuto, map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true},
		{ColorAuto, map[string]string{"NO_COLOR": "1"}, false},
		{ColorAuto, map[string]string{"NO_COLOR": "0"}, false},
		{ColorAuto, map[string]string{"TERM": "dumb"}, false},
		{ColorAlways, map[string]string{"NO_COLOR": "1", "TERM": "dumb"}, true},
		{ColorNever, nil, false},
	}
	for _, test := range tests {
		if got := test.mode.Enabled(terminal, environ(test.vars)); got != test.want {
			t.Errorf("%s, %v: got %t, want %t", test.mode, test.vars, got, test.want)
		}
	}
}

// openTerminal opens a new pseudo-terminal, or skips if no path opens one. On
// Linux its controlling side answers as a terminal.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	file, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	t.Cleanup(func() { file.Close() })
	if !IsTerminal(file) {
		t.Skip("the pseudo-terminal's controlling side is no terminal here")
	}
	return file
}

func TestPalette(t *testing.T) {
	on := Palette{On: true}
	tests := []struct{ name, got, want string }{
		{"bold", on.Bold("x"), "\x1b[1mx\x1b[22m"},
		{"dim", on.Dim("x"), "\x1b[2mx\x1b[22m"},
		{"red", on.Red("x"), "\x1b[31mx\x1b[39m"},
		{"green", on.Green("x"), "\x1b[32mx\x1b[39m"},
		{"yellow", on.Yellow("x"), "\x1b[33mx\x1b[39m"},
		{"nested", on.Bold(on.Red("x") + "y"), "\x1b[1m\x1b[31mx\x1b[39my\x1b[22m"},
		{"empty", on.Red(""), ""},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, test.got, test.want)
		}
	}
	var off Palette
	for _, style := range []func(string) string{off.Bold, off.Dim, off.Red, off.Green, off.Yellow} {
		if got := style("x"); got != "x" {
			t.Errorf("got %q from a palette that is off", got)
		}
	}
}
