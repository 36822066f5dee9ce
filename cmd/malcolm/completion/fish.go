package completion

import (
	"fmt"
	"strings"
)

// fishScript is a file for fish's completions.
func fishScript(all []completion) string {
	var b strings.Builder
	b.WriteString("# fish completion for malcolm\ncomplete -c malcolm -f\n")
	for _, c := range all {
		condition := fishCondition(c)
		for _, w := range c.commands {
			fmt.Fprintf(&b, "complete -c malcolm -n %s -a %s -d %s\n", condition, w.name, fishQuote(w.help))
		}
		for _, f := range c.flags {
			fmt.Fprintf(&b, "complete -c malcolm -n %s -l %s", condition, f.name)
			if f.short != "" {
				b.WriteString(" -s " + f.short)
			}
			switch {
			case !f.value:
			case f.values != nil:
				b.WriteString(" -x -a " + fishQuote(strings.Join(f.values, " ")))
			case f.dirs:
				b.WriteString(" -x -a '(__fish_complete_directories)'")
			case f.files:
				b.WriteString(" -r -F")
			default:
				b.WriteString(" -x")
			}
			b.WriteString(" -d " + fishQuote(f.help) + "\n")
		}
		if c.values != nil {
			fmt.Fprintf(&b, "complete -c malcolm -n %s -a %s\n", condition, fishQuote(strings.Join(c.values, " ")))
		}
		if c.files {
			fmt.Fprintf(&b, "complete -c malcolm -n %s -F\n", condition)
		}
	}
	return b.String()
}

// fishCondition is true after the words of a command, but not after those of a
// command beneath it.
func fishCondition(c completion) string {
	var parts []string
	for _, w := range c.words {
		parts = append(parts, "__fish_seen_subcommand_from "+w)
	}
	for _, w := range c.commands {
		parts = append(parts, "not __fish_seen_subcommand_from "+w.name)
	}
	return fishQuote(strings.Join(parts, "; and "))
}

// fishQuote is text as one word of fish.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
