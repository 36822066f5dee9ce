// Package completion writes what bash, zsh and fish need to complete malcolm's
// command lines, from its parser's model: commands, flags, values that are
// listed, files and directories.
//
// Libraries were tried with the tests of cmd/malcolm's completion, in bash 5.2,
// zsh 5.9 and fish 3.6. None is used:
//   - miekg/king v1.0.9 writes scripts, too. Fish cannot read its script when a
//     help text has an apostrophe, and is told of no files. In bash it
//     completes neither files nor --flag=value, in zsh neither files nor the
//     flags of a command. It brings a parser of Markdown.
//   - willabides/kongplete v0.4.0 and its fork jotaen/kong-completion v0.0.4
//     find the right words, but the program itself answers each Tab: a variable
//     makes any run of it such an answer, which ends with os.Exit. Shells get
//     no help texts. Both need posener/complete v1, of 2019: five or six
//     modules in all, and half a megabyte.
package completion

import (
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/flags"
)

// Words are possible arguments of commands whose arguments the parser does not
// list, by the words of the command.
type Words map[string][]string

// Script returns the script of a shell, "bash", "zsh" or "fish", for malcolm.
func Script(shell string, app *kong.Node, words Words) string {
	scripts := map[string]func([]completion) string{"bash": bashScript, "zsh": zshScript, "fish": fishScript}
	return scripts[shell](completionsOf(app, words))
}

// A completion is what can follow some words of the command line.
type completion struct {
	words    []string // "trust", "list"; none: malcolm alone
	commands []named
	flags    []completedFlag
	values   []string // of the arguments; nil: not known
	files    bool     // an argument is a file
}

// A named is a word with what it is.
type named struct{ name, help string }

type completedFlag struct {
	named
	short  string   // a letter, or empty
	value  bool     // it takes one
	values []string // its possible values; nil: not known
	files  bool     // the value is a file,
	dirs   bool     // or a directory
}

// completionsOf returns the completions of a command, and of those beneath it.
func completionsOf(node *kong.Node, words Words) []completion {
	c := completion{}
	if node.Parent != nil {
		c.words = strings.Fields(node.FullPath())[1:]
	}
	c.values = words[strings.Join(c.words, " ")]
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
			all = append(all, completionsOf(child, words)...)
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

func isPath(v *kong.Value) bool {
	t := v.Target.Type()
	return t == reflect.TypeFor[flags.Path]() || t == reflect.TypeFor[[]flags.Path]()
}

// firstSentence is the part of a help text that fits beside a flag.
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
