package view

import (
	"fmt"
	"strings"
	"testing"

	"malcolm/cmd/malcolm/screen"
)

// fits fails the test if a frame does not fit a terminal.
func fits(t *testing.T, name string, lines []string, width, height int) {
	t.Helper()
	if len(lines) >= height && len(lines) > 1 {
		t.Errorf("%s, %d by %d: %d lines", name, width, height, len(lines))
	}
	for _, line := range lines {
		if n := screen.Columns(line); n >= width {
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

// golden fails the test unless lines are those of want, which begins with a
// line break.
func golden(t *testing.T, name string, lines []string, want string) {
	t.Helper()
	got := "\n" + strings.Join(lines, "\n") + "\n"
	if got != want {
		t.Errorf("%s:\ngot%s\nwant%s", name, got, fmt.Sprint(want))
	}
}
