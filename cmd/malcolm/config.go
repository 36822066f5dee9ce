package main

import (
	"context"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/config"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/view"
)

// allCommands is the word for every command.
const allCommands = "all"

type configCmd struct {
	Command string `arg:"" optional:"" default:"all" help:"The command whose settings are shown. Default: all."`
	OutputFlags

	settings *settings
}

// Help is what kong prints after the flags.
func (*configCmd) Help() string {
	return `Examples:
  malcolm config
  malcolm config serve
  malcolm config get --json

Each line is a flag of the command, what it is without the flag on the command line, and where that comes from: a file and its line, a variable of the environment, or the default. Flags without a value are not shown. The output can be used as a config file. A token is named by its place; passwords of proxies are left out.`
}

// uses gives the command the settings of the files and the environment.
func (c *configCmd) uses(s *settings) { c.settings = s }

func (c *configCmd) run(_ context.Context, _ []string, t *terminal) error {
	model, err := newParser(new(cli))
	if err != nil {
		return err
	}
	var tables []string
	all := make(map[string][]view.Setting)
	for _, leaf := range model.Model.Leaves(true) {
		words := strings.Fields(leaf.FullPath())[1:]
		if c.Command != allCommands && c.Command != words[0] {
			continue
		}
		table := configTable(leaf)
		tables = append(tables, table)
		if all[table], err = c.settings.shown(words); err != nil {
			return &usageError{err}
		}
	}
	for _, p := range c.settings.places {
		read := func(f *config.File) bool { return f.Path == p.Path }
		view.ConfigFile(t, p.Path, slices.ContainsFunc(c.settings.files, read))
	}
	for _, table := range tables {
		view.Settings(t, table, all[table])
	}
	return nil
}

// shown returns the values that a command has without any flag.
func (s *settings) shown(words []string) ([]view.Setting, error) {
	of := newSettings(s.getenv, s.places)
	of.files, of.read = s.files, true
	parser, err := newParser(new(cli), kong.Resolvers(of))
	if err != nil {
		return nil, err
	}
	ctx, err := kong.Trace(parser, words)
	if err != nil {
		return nil, err
	}
	if err := ctx.Reset(); err != nil {
		return nil, err
	}
	if err := ctx.Resolve(); err != nil {
		return nil, of.err
	}
	if err := of.targets(ctx); err != nil {
		return nil, err
	}
	var all []view.Setting
	add := func(key string, v *kong.Value) {
		if holds, ok := of.holds(key, v); ok {
			holds.Command, holds.Flag = strings.Join(words, " "), key
			all = append(all, holds)
		}
	}
	command := ctx.Selected()
	if p := targetsOf(command); p != nil {
		add(targetKey, p)
	}
	for _, f := range command.Flags {
		if !slices.Contains(withoutConfig, f.Name) {
			add(f.Name, f.Value)
		}
	}
	return all, nil
}

// holds returns the value of a flag, and where it comes from; false: it has
// none.
func (s *settings) holds(key string, v *kong.Value) (view.Setting, bool) {
	found, ok := s.used[key]
	shown := view.Setting{Place: found.origin()}
	switch {
	case !ok && !v.HasDefault:
		return shown, false
	case !ok:
		shown.From, found.texts = "default", []string{v.Default}
	case found.variable != "":
		shown.From = "environment"
	default:
		shown.From = "file"
	}
	for _, text := range found.texts {
		shown.Values = append(shown.Values, withoutSecrets(v, text))
	}
	if v.IsBool() {
		shown.Values = []string{map[bool]string{true: "true", false: "false"}[found.isOn()]}
	}
	shown.Line = config.Line(config.Setting{Key: key, Texts: shown.Values, List: found.list, Bool: v.IsBool()})
	return shown, true
}

// withoutSecrets returns a value as it may be shown.
func withoutSecrets(v *kong.Value, text string) string {
	_, one := v.Target.Interface().(*flags.Token)
	_, several := v.Target.Interface().([]flags.Token)
	isPlace := text == "-" || strings.HasPrefix(text, "@") || strings.HasPrefix(text, "env:") || strings.HasPrefix(text, "new:")
	if (one || several) && !isPlace {
		return "(a token itself is not shown)"
	}
	return withoutPassword(text)
}
