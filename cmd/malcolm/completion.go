package main

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/screen"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help is what kong prints behind the flags.
func (*completionCmd) Help() string {
	return `Examples:
  malcolm completion bash > ~/.local/share/bash-completion/completions/malcolm
  malcolm completion zsh > "${fpath[1]}/_malcolm"
  malcolm completion fish > ~/.config/fish/completions/malcolm.fish

What the shell needs to complete commands, flags, their values and files goes to stdout.`
}

func (*completionCmd) mode() (screen.ColorMode, error) { return screen.ColorAuto, nil }

func (c *completionCmd) run(_ context.Context, _ []string, t *terminal) error {
	parser, err := newParser(new(cli))
	if err != nil {
		return err
	}
	all := completionsOf(parser.Model.Node)
	scripts := map[string]func([]completion) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	t.result(strings.TrimSuffix(scripts[c.Shell](all), "\n"))
	return nil
}

// A completion is what can follow some words of the command line.
type completion struct {
	words    []string // "trust", "list"; none: malcolm alone
	commands []named
	flags    []completedFlag
	values   []string // of the arguments; nil: none are known
	files    bool     // an argument is a file
}

// A named is a word with what it is.
type named struct{ name, help string }

type completedFlag struct {
	named
	short  string   // a letter, or empty
	value  bool     // it takes one
	values []string // that it may be; nil: none are known
	files  bool     // the value is a file,
	dirs   bool     // or a directory
}

// completionsOf returns the completions of a command, and of those beneath it.
func completionsOf(node *kong.Node) []completion {
	c := completion{}
	if node.Parent != nil {
		c.words = strings.Fields(node.FullPath())[1:]
	}
	for _, p := range node.Positional {
		if p.Enum != "" {
			c.values = p.EnumSlice()
		}
		c.files = c.files || isPath(p)
	}
	for _, level := range node.AllFlags(true) {
		for _, f := range level {
			c.flags = append(c.flags, completionOf(f))
		}
	}
	all := []completion{c}
	for _, child := range node.Children {
		if !child.Hidden {
			all[0].commands = append(all[0].commands, named{child.Name, child.Help})
			all = append(all, completionsOf(child)...)
		}
	}
	return all
}

func completionOf(f *kong.Flag) completedFlag {
	c := completedFlag{named: named{f.Name, firstSentence(f.Help)}, value: !f.IsBool()}
	if f.Short != 0 {
		c.short = string(f.Short)
	}
	if f.Enum != "" {
		c.values = f.EnumSlice()
	}
	if isPath(f.Value) {
		c.dirs = f.PlaceHolder == "DIR"
		c.files = !c.dirs
	}
	return c
}

func isPath(v *kong.Value) bool { return v.Target.Type() == reflect.TypeFor[flags.Path]() }

// firstSentence is what there is room for beside a flag.
func firstSentence(help string) string {
	end := len(help)
	for _, stop := range []string{". ", "; ", ": "} {
		if i := strings.Index(help, stop); i >= 0 {
			end = min(end, i)
		}
	}
	return strings.TrimSuffix(help[:end], ".")
}

// names returns the flag as it is typed.
func (f completedFlag) names() []string {
	all := []string{"--" + f.name}
	if f.short != "" {
		all = append([]string{"-" + f.short}, all...)
	}
	return all
}

// singleQuote is text as one word of a shell.
func singleQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

const bashHead = `# bash completion for malcolm
_malcolm() {
    local IFS=$'\n' cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path= i
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD-2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case "$path ${COMP_WORDS[i]}" in
`

const bashTail = `    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    elif [[ $words ]]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    elif [[ $files ]]; then
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$cur"))
    fi
}
complete -F _malcolm malcolm
`

// bashCompletion is for bash 3.2 and later, without bash-completion.
func bashCompletion(all []completion) string {
	var b strings.Builder
	b.WriteString(bashHead)
	for _, c := range all[1:] {
		fmt.Fprintf(&b, "            %s) path=%s ;;\n", singleQuote(" "+strings.Join(c.words, " ")), singleQuote(" "+strings.Join(c.words, " ")))
	}
	b.WriteString("        esac\n    done\n    local flags= words= files=\n    COMPREPLY=()\n    case $path in\n")
	for _, c := range all {
		fmt.Fprintf(&b, "        %s)\n", singleQuote(joinPath(c.words)))
		b.WriteString(bashFlags(c.flags))
		var words []string
		for _, w := range c.commands {
			words = append(words, w.name)
		}
		words = append(words, c.values...)
		if len(words) > 0 {
			fmt.Fprintf(&b, "            words=$'%s'\n", strings.Join(words, `\n`))
		}
		if c.files {
			b.WriteString("            files=1\n")
		}
		b.WriteString("            ;;\n")
	}
	b.WriteString(bashTail)
	return b.String()
}

// joinPath is how the script knows a command.
func joinPath(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return " " + strings.Join(words, " ")
}

// bashFlags completes the values of a command's flags, and names them.
func bashFlags(flags []completedFlag) string {
	var b, names strings.Builder
	b.WriteString("            case $prev in\n")
	for _, f := range flags {
		for _, name := range f.names() {
			names.WriteString(name + `\n`)
		}
		if !f.value {
			continue
		}
		fmt.Fprintf(&b, "                %s) ", strings.Join(f.names(), " | "))
		switch {
		case f.values != nil:
			fmt.Fprintf(&b, "COMPREPLY=($(compgen -W $'%s' -- \"$cur\")); ", strings.Join(f.values, `\n`))
		case f.dirs:
			b.WriteString("compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- \"$cur\")); ")
		case f.files:
			b.WriteString("compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\")); ")
		}
		b.WriteString("return ;;\n")
	}
	b.WriteString("            esac\n")
	fmt.Fprintf(&b, "            flags=$'%s'\n", strings.TrimSuffix(names.String(), `\n`))
	return b.String()
}

// zshCompletion is a file for $fpath.
func zshCompletion(all []completion) string {
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

// zshCommands goes on with the commands beneath one.
func zshCommands(b *strings.Builder, c completion) {
	b.WriteString("    case $state in\n    command)\n        local -a commands=(\n")
	for _, w := range c.commands {
		b.WriteString("            " + singleQuote(w.name+":"+strings.ReplaceAll(w.help, ":", `\:`)) + "\n")
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

// zshFlag is one flag as _arguments takes it.
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
		return singleQuote("*" + long + spec)
	}
	short := "-" + f.short
	if f.value {
		short += "+"
	}
	return singleQuote("*"+short+spec) + " " + singleQuote("*"+long+spec)
}

// fishCompletion is a file for fish's completions.
func fishCompletion(all []completion) string {
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

// fishCondition is true behind the words of a command, and not yet behind those
// of one beneath it.
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
