package completion

import (
	"fmt"
	"strings"

	"malcolm/cmd/malcolm/human"
)

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

// bashScript is for bash 3.2 and later, without bash-completion.
func bashScript(all []completion) string {
	var b strings.Builder
	b.WriteString(bashHead)
	for _, c := range all[1:] {
		fmt.Fprintf(&b, "            %s) path=%s ;;\n", human.ShellQuote(" "+strings.Join(c.words, " ")), human.ShellQuote(" "+strings.Join(c.words, " ")))
	}
	b.WriteString("        esac\n    done\n    local flags= words= files=\n    COMPREPLY=()\n    case $path in\n")
	for _, c := range all {
		fmt.Fprintf(&b, "        %s)\n", human.ShellQuote(joinPath(c.words)))
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

// joinPath is a command's name in the script.
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
