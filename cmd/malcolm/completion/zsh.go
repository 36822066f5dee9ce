package completion

import (
	"fmt"
	"slices"
	"strings"

	"malcolm/cmd/malcolm/human"
)

// zshScript is a file for $fpath.
func zshScript(all []completion) string {
	var b strings.Builder
	b.WriteString("#compdef malcolm\n")
	for _, c := range slices.Backward(all) {
		fmt.Fprintf(&b, "\n%s() {\n", zshFunction(c.words))
		if len(c.commands) > 0 {
			b.WriteString("    local state line\n    typeset -A opt_args\n")
		}
		b.WriteString("    _arguments -s")
		if len(c.commands) > 0 {
			b.WriteString(" -C")
		}
		for _, f := range c.flags {
			b.WriteString(" \\\n        " + zshFlag(f))
		}
		switch {
		case len(c.commands) > 0:
			b.WriteString(" \\\n        '1: :->command' \\\n        '*:: :->rest'\n")
			zshCommands(&b, c)
		case c.values != nil:
			fmt.Fprintf(&b, " \\\n        '1: :(%s)'\n", strings.Join(c.values, " "))
		case c.files:
			b.WriteString(" \\\n        '1: :_files'\n")
		default:
			b.WriteString("\n")
		}
		b.WriteString("}\n")
	}
	b.WriteString("\nif [[ $funcstack[1] == _malcolm ]]; then\n    _malcolm \"$@\"\nelse\n    compdef _malcolm malcolm\nfi\n")
	return b.String()
}

// zshCommands completes the commands beneath one.
func zshCommands(b *strings.Builder, c completion) {
	b.WriteString("    case $state in\n    command)\n        local -a commands=(\n")
	for _, w := range c.commands {
		b.WriteString("            " + human.ShellQuote(w.name+":"+strings.ReplaceAll(w.help, ":", `\:`)) + "\n")
	}
	b.WriteString("        )\n        _describe command commands\n        ;;\n    rest)\n        case $words[1] in\n")
	for _, w := range c.commands {
		fmt.Fprintf(b, "        %s) %s ;;\n", w.name, zshFunction(append(slices.Clone(c.words), w.name)))
	}
	b.WriteString("        esac\n        ;;\n    esac\n")
}

func zshFunction(words []string) string {
	return "_" + strings.Join(append([]string{"malcolm"}, words...), "_")
}

// zshFlag is one flag in the form of _arguments.
func zshFlag(f completedFlag) string {
	help := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(f.help)
	spec := "[" + help + "]"
	if f.value {
		spec += ":" + f.name + ":"
		switch {
		case f.values != nil:
			spec += "(" + strings.Join(f.values, " ") + ")"
		case f.dirs:
			spec += "_path_files -/"
		case f.files:
			spec += "_files"
		}
	}
	long := "--" + f.name
	if f.value {
		long += "="
	}
	if f.short == "" {
		return human.ShellQuote("*" + long + spec)
	}
	short := "-" + f.short
	if f.value {
		short += "+"
	}
	return human.ShellQuote("*"+short+spec) + " " + human.ShellQuote("*"+long+spec)
}
