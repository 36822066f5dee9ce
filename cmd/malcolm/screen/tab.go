package screen

import (
	"fmt"
	"strconv"
	"strings"
)

// A TabState is the progress that a terminal's tab, or its place in the task
// bar, shows. The numbers are those of ConEmu's "OSC 9 ; 4".
type TabState int

// The states. An error is not among them: a run that fails ends, and clears.
const (
	TabNone          TabState = 0
	TabPercent       TabState = 1
	TabIndeterminate TabState = 3
	TabPaused        TabState = 4
)

// A Tab is a state, and the percentage that goes with it.
type Tab struct {
	State   TabState
	Percent int // 0 to 100
}

// TabOf is the state of a run that has done done of total.
func TabOf(done, total int64) Tab {
	if total <= 0 {
		return Tab{State: TabIndeterminate}
	}
	return Tab{State: TabPercent, Percent: int(float64(min(max(done, 0), total)) / float64(total) * 100)}
}

// sequence makes a terminal show it
// (https://conemu.github.io/en/AnsiEscapeCodes.html#ConEmu_specific_OSC).
func (p Tab) sequence() string {
	if p.State == TabPercent || p.State == TabPaused {
		return fmt.Sprintf("\x1b]9;4;%d;%d\x1b\\", p.State, p.Percent)
	}
	return fmt.Sprintf("\x1b]9;4;%d\x1b\\", p.State)
}

// showsTab reports whether the terminal is known to understand the sequence.
// Others may take it for a notification to pop up. Within tmux and screen the
// variables are those of the outer terminal, which does not get the sequence.
func showsTab(getenv func(string) string) bool {
	term := getenv("TERM")
	if getenv("TMUX") != "" || strings.HasPrefix(term, "screen") || strings.HasPrefix(term, "tmux") {
		return false
	}
	switch getenv("TERM_PROGRAM") {
	case "ghostty", "WezTerm", "vscode", "mintty":
		return true
	case "iTerm.app":
		return hasFeature(getenv("TERM_FEATURES"), "P")
	}
	return term == "xterm-ghostty" || getenv("WT_SESSION") != "" || getenv("ConEmuANSI") == "ON" ||
		isAtLeast(getenv("VTE_VERSION"), 8000) || isAtLeast(getenv("KONSOLE_VERSION"), 250400)
}

func isAtLeast(version string, least int) bool {
	n, err := strconv.Atoi(version)
	return err == nil && n >= least
}

// hasFeature reports whether iTerm2's list of features has one. Each is a
// capital letter followed by small letters and digits
// (https://iterm2.com/feature-reporting/).
func hasFeature(list, feature string) bool {
	for list != "" {
		end := 1
		for end < len(list) && (list[end] < 'A' || list[end] > 'Z') {
			end++
		}
		if list[:end] == feature {
			return true
		}
		list = list[end:]
	}
	return false
}
