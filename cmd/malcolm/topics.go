package main

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/config"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/manual"
	"malcolm/cmd/malcolm/screen"
)

// topicWidth is the width of a topic on the terminal, in columns.
const topicWidth = 80

//go:embed README.md
var manualText string

// A topic is a section of the manual that malcolm help prints.
type topic struct {
	name, help string
	title      string // of the section
}

var topics = []topic{
	{"exit-codes", "What each exit code means.", "Exit codes"},
	{"environment", "Variables that set flags, and the others.", "Environment"},
	{"trust", "Which servers are accepted, and remembered.", "Trust"},
	{"tickets", "The word that serve prints, for get.", "Tickets"},
	{"srv", "Servers that DNS names: srv:NAME.", "Servers that DNS names"},
	{"patterns", "What --include and --exclude take.", "Patterns"},
	{"config", "What config files set.", "Config file"},
	{"aria2", "Coming from aria2: its flags here.", "Coming from aria2"},
	{"rsync", "Coming from rsync or rclone: their flags here.", "Coming from rsync or rclone"},
}

type helpCmd struct {
	Words []string `arg:"" optional:"" name:"command-or-topic" help:"A command, or a topic. Default: the list of both."`
}

// Help is what kong prints after the flags.
func (*helpCmd) Help() string {
	return `Examples:
  malcolm help get
  malcolm help exit-codes
  malcolm help aria2 | less

A topic is a section of the manual. trust and config are a command and a topic: help prints both.`
}

func (*helpCmd) mode() (screen.ColorMode, error) { return screen.ColorAuto, nil }

func (c *helpCmd) run(_ context.Context, _ []string, t *terminal) error {
	parser, err := newParser(new(cli))
	if err != nil {
		return err
	}
	app := parser.Model.Node
	if len(c.Words) == 0 {
		t.commandHelp()
		t.write("\n" + topicList())
		return nil
	}
	command := findCommand(app, c.Words)
	var about *topic
	if len(c.Words) == 1 {
		about = findTopic(c.Words[0])
	}
	if command == nil && about == nil {
		name := strings.Join(c.Words, " ")
		return &usageError{&unknownTopicError{name, config.Nearest(name, helpWords(app))}}
	}
	if command != nil {
		t.commandHelp(c.Words...)
	}
	if about != nil {
		if command != nil {
			t.write("\n")
		}
		t.write(topicText(about))
	}
	return nil
}

// commandHelp writes a command's help, or the program's, to stdout.
func (t *terminal) commandHelp(words ...string) {
	nothing := newSettings(func(string) string { return "" }, nil)
	parseLine(append(slices.Clone(words), "--help"), nothing, t.stdout, t.stderr)
}

// write writes text to stdout, also with MALCOLM_JSON: it was asked for.
func (t *terminal) write(text string) { t.stdout.PutWait([]byte(t.inLocale(text)), t.quit) }

func topicList() string {
	var b strings.Builder
	b.WriteString("Topics:\n")
	for _, about := range topics {
		fmt.Fprintf(&b, "  help %-12s %s\n", about.name, about.help)
	}
	return b.String()
}

// topicText is a topic for the terminal.
func topicText(about *topic) string {
	title := manual.Block{Kind: manual.Heading, Lines: []string{about.title}}
	section := manual.Section(manual.Parse(manualText), about.title)
	return manual.Text(append([]manual.Block{title}, section...), topicWidth)
}

func findTopic(name string) *topic {
	for i := range topics {
		if topics[i].name == name {
			return &topics[i]
		}
	}
	return nil
}

// findCommand returns the command of some words; nil: there is no such command.
func findCommand(node *kong.Node, words []string) *kong.Node {
	for _, word := range words {
		i := slices.IndexFunc(node.Children, func(n *kong.Node) bool { return n.Name == word })
		if i < 0 {
			return nil
		}
		node = node.Children[i]
	}
	return node
}

// helpWords are the commands and the topics.
func helpWords(app *kong.Node) (words []string) {
	for _, n := range app.Children {
		if !n.Hidden {
			words = append(words, n.Name)
		}
	}
	for _, about := range topics {
		if !slices.Contains(words, about.name) {
			words = append(words, about.name)
		}
	}
	return words
}

// An unknownTopicError says that there is no help of that name.
type unknownTopicError struct {
	name    string
	nearest string // empty: nothing is near
}

func (e *unknownTopicError) Error() string {
	text := "no command or topic is called " + human.Quote(e.name)
	if e.nearest != "" {
		text += fmt.Sprintf(", did you mean %q?", e.nearest)
	}
	return text
}
