package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// helpWidth is the largest width of help, in columns.
const helpWidth = 100

// flagGroups are the groups of flags in help, in its order.
var flagGroups = []struct {
	title string
	flags []string
}{
	{"What to serve:", []string{"file", "as", "rehash", "https", "http", "tls-cert", "tls-key", "sha256"}},
	{"What to get:", []string{"checksum", "quorum", "max-size", "values", "list"}},
	{"Many files:", []string{"input-file", "jobs", "batch-journal"}},
	{"Of a directory:", []string{"include", "exclude", "files-from", "each", "strict", "allow-empty", "rescan"}},
	{"Where to write:", []string{
		"output", "name", "resume", "force", "metalink", "mirror", "split-links", "delete", "max-delete", "dry-run", "remote-time", "window", "preallocate", "no-space-check", "recheck", "receipt", "sums",
	}},
	{"Servers:", []string{
		"number", "address", "port", "no-tcp", "congestion", "bind", "advertise", "ipv4", "ipv6", "interface", "all-addresses", "transport", "proxy", "header", "forget-paths", "connect-timeout", "patience",
	}},
	{"Trust:", []string{"identity", "pin", "ca", "trust", "token", "expires", "url"}},
	{"Speed:", []string{"limit", "connections"}},
	{"Limits for clients:", []string{
		"max-clients", "max-held", "max-streams", "max-wasted", "handshake-rate", "handshake-timeout",
		"open-timeout", "request-timeout", "stall-timeout", "idle-timeout", "indexing-timeout", "drain",
	}},
	{"What is shown:", []string{
		"interval", "map", "quiet", "verbose", "color", "color-printing", "json", "log-format", "log-time", "qlog", "metrics", "metrics-file", "pprof",
	}},
	{"Settings:", []string{"config"}},
	{"Help:", []string{"help", "version"}},
}

// newParser returns the parser of the command line, which fills c.
func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	all := append([]kong.Option{
		kong.Name("malcolm"),
		kong.Description(description),
		kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: helpWidth}),
	}, options...)
	parser, err := kong.New(c, all...)
	if err != nil {
		return nil, err
	}
	arrange(parser.Model.Node)
	nameCommands(parser.Model.Node)
	return parser, nil
}

// nameCommands makes the other commands the possible words of malcolm config.
func nameCommands(app *kong.Node) {
	words := []string{allCommands}
	var of *kong.Positional
	for _, command := range app.Children {
		if command.Name == "config" {
			of = command.Positional[0]
		}
		if !command.Hidden {
			words = append(words, command.Name)
		}
	}
	of.Enum = strings.Join(words, ",")
	of.Tag.Enum = of.Enum
}

// arrange sorts the flags of a command, and of its subcommands, into groups.
func arrange(node *kong.Node) {
	for _, f := range node.Flags {
		if group := flagGroup(f.Name); group >= 0 {
			f.Group = &kong.Group{Key: flagGroups[group].title, Title: flagGroups[group].title}
		}
	}
	place := func(f *kong.Flag) int {
		group := flagGroup(f.Name)
		if group < 0 {
			return -1
		}
		return group<<16 + slices.Index(flagGroups[group].flags, f.Name)
	}
	slices.SortStableFunc(node.Flags, func(a, b *kong.Flag) int { return place(a) - place(b) })
	for _, child := range node.Children {
		arrange(child)
	}
}

// flagGroup returns the index of a flag's group; -1: it has no group.
func flagGroup(flag string) int {
	for i, g := range flagGroups {
		if slices.Contains(g.flags, flag) {
			return i
		}
	}
	return -1
}
