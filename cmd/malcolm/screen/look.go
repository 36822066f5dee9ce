package screen

import (
	"os"
	"strings"

	"golang.org/x/term"
)

// A Look is what a terminal can show.
type Look struct {
	Palette
	Unicode bool // block characters
	Few     bool // 16 colours, not 256
	Tab     bool // progress in its tab
}

// LookOf returns what the terminal can show, without colour.
func LookOf(getenv func(string) string) Look {
	term := getenv("TERM")
	return Look{
		Unicode: isUTF8(getenv), Tab: showsTab(getenv),
		Few: term == "linux" || term == "ansi" || strings.HasPrefix(term, "vt"),
	}
}

// CanDraw reports whether frames can be drawn on a file.
func CanDraw(file *os.File, getenv func(string) string) bool {
	return IsTerminal(file) && getenv("TERM") != "dumb" && knowsSequences(file, getenv)
}

// isUTF8 reports whether the locale's characters are UTF-8 (POSIX, 8.2).
func isUTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(getenv(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return unicodeByDefault
}

// sizeOf returns the size of a terminal; 80 by 24 if it is not known.
func sizeOf(file *os.File) (width, height int) {
	width, height, err := term.GetSize(int(file.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 80, 24
	}
	return width, height
}
