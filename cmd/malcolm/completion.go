package main

import (
	"context"

	"malcolm/cmd/malcolm/completion"
	"malcolm/cmd/malcolm/screen"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"The shell: bash, zsh or fish."`
}

// Help is what kong prints after the flags.
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
	app := parser.Model.Node
	t.write(completion.Script(c.Shell, app, completion.Words{"help": helpWords(app)}))
	return nil
}
