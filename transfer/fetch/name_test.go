package fetch

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"malcolm/wire"
)

const hides = "contains a character that hides, or that changes how others show"

// hostileNames are names that are refused from a server, and why.
var hostileNames = []struct{ name, problem string }{
	{"", "is empty"},
	{".", "is a directory"},
	{"..", "is a directory"},
	{"../../x", "contains a path separator"},
	{"/etc/x", "contains a path separator"},
	{"a/b", "contains a path separator"},
	{".x", "begins with a dot"},
	{"-x", "begins with a hyphen"},
	{"x\x00y", hides},
	{"x\ny", hides},
	{"x\x1b[31my", hides},
	{"x\u0085y", hides},
	{"x\u202egpj.exe", hides},
	{"x\u2028y", hides},
	{"x\u061cy", hides},
	{"x\u200ey", hides},
	{"x\u2066y", hides},
	{"x\u2060y", hides},
	{"\ufeffx", hides},
	{"x\U000e0061y", hides},
	{"\u200c\u200d", "does not show"},
	{"x.part.probe", "ends as an unfinished download does"},
	{"x.part", "ends as an unfinished download does"},
	{"x.part.journal", "ends as an unfinished download does"},
}

func TestCheckName(t *testing.T) {
	onlyOffered := []string{hides, "begins with a dot", "begins with a hyphen", "does not show", "is longer than 230 bytes", "is not UTF-8"}
	tests := append(slices.Clone(hostileNames), []struct{ name, problem string }{
		{strings.Repeat("x", wire.MaxNameLen+1), "is longer than 230 bytes"},
		{strings.Repeat("é", wire.MaxNameLen/2+1), "is longer than 230 bytes"},
		{"x\xff", "is not UTF-8"},
	}...)
	for _, test := range tests {
		var name *NameError
		if err := checkOffered(test.name); !errors.As(err, &name) || name.Problem != test.problem || name.Chosen {
			t.Errorf("checkOffered(%q) = %v, want that it %s", test.name, err, test.problem)
		}
		err := CheckName(test.name)
		if slices.Contains(onlyOffered, test.problem) && !strings.ContainsRune(test.name, 0) {
			if err != nil && runtime.GOOS != "windows" {
				t.Errorf("CheckName(%q) = %v, want none: the user may", test.name, err)
			}
			continue
		}
		if !errors.As(err, &name) || !name.Chosen {
			t.Errorf("CheckName(%q) = %v, want that it %s", test.name, err, test.problem)
		}
	}
	names := []string{
		"x", "data.bin", "päth ☃", "a b", "x-.y", "part", strings.Repeat("x", wire.MaxNameLen),
		"می\u200cخواهم.mp4", "👨\u200d👩\u200d👧 family.jpg", "co\u00adoperate", "क्\u200dष", "\u0600١", "1️⃣",
	}
	if os.PathSeparator != '\\' {
		names = append(names, `dev-disk-by\x2duuid.swap`, `C:\x`)
	}
	for _, name := range names {
		if err := CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v, want none", name, err)
		}
		if err := checkOffered(name); err != nil {
			t.Errorf("checkOffered(%q) = %v, want none", name, err)
		}
	}
	if runtime.GOOS == "windows" {
		for _, name := range []string{"a:b", "a*", "CON", "nul.txt", "x.", "x "} {
			if CheckName(name) == nil {
				t.Errorf("CheckName(%q) = nil, want that Windows cannot", name)
			}
		}
	}
}

func TestQuote(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", `""`},
		{"plain", `"plain"`},
		{"a\x1b[2J\n\"", `"a\x1b[2J\n\""`},
		{"\xff", `"\xff"`},
		{strings.Repeat("a", maxQuoted), `"` + strings.Repeat("a", maxQuoted) + `"`},
		{strings.Repeat("a", maxQuoted+1), `"` + strings.Repeat("a", maxQuoted) + `"…`},
		{strings.Repeat("a", maxQuoted-1) + "☃b", `"` + strings.Repeat("a", maxQuoted-1) + `"…`},
		{strings.Repeat("\xbf", maxQuoted+1), `""…`},
	} {
		got := quote(test.text)
		if got != test.want {
			t.Errorf("quote(%q) = %s, want %s", test.text, got, test.want)
		}
		if !utf8.ValidString(got) || strings.ContainsFunc(got, hidden) {
			t.Errorf("quote(%q) = %q, want it plain", test.text, got)
		}
	}
}
