package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/screen"
)

// commands returns the commands that can be run, by their words.
func commands(t *testing.T) map[string]*kong.Node {
	t.Helper()
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*kong.Node)
	for _, leaf := range parser.Model.Leaves(true) {
		all[strings.TrimPrefix(leaf.FullPath(), "malcolm ")] = leaf
	}
	if len(all) < 8 {
		t.Fatalf("%d commands", len(all))
	}
	return all
}

// TestHelp: each command's help fits 100 columns, also on a wider terminal. It
// has the flags in groups and three examples that the parser takes.
func TestHelp(t *testing.T) {
	t.Setenv("COLUMNS", "200")
	for name, node := range commands(t) {
		code, stdout, stderr := runHere(t, append(strings.Fields(name), "--help")...)
		if code != exitDone || stderr != "" {
			t.Fatalf("%s --help: exit code %d, stderr %q", name, code, stderr)
		}
		for line := range strings.Lines(stdout) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth {
				t.Errorf("%s --help: a line has %d columns: %s", name, n, line)
			}
		}
		if strings.Contains(stdout, "\nFlags:\n") {
			t.Errorf("%s --help has flags without a group:\n%s", name, stdout)
		}
		for _, f := range node.Flags {
			if !f.Hidden && !strings.Contains(stdout, "--"+f.Name) {
				t.Errorf("%s --help lacks --%s", name, f.Name)
			}
		}
		var examples []string
		for line := range strings.Lines(stdout) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "malcolm "+name) {
				examples = append(examples, line)
			}
		}
		if len(examples) != 3 {
			t.Errorf("%s --help has %d examples, want 3: %q", name, len(examples), examples)
		}
		for _, e := range examples {
			wantParsed(t, e)
		}
	}
	_, stdout, _ := runHere(t, "--help")
	for line := range strings.Lines(stdout) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth {
			t.Errorf("--help: a line has %d columns: %s", n, line)
		}
	}
}

// wantParsed fails the test if the parser does not take an example, up to where
// the shell continues with something else.
func wantParsed(t *testing.T, example string) {
	t.Helper()
	words := strings.Fields(example)[1:]
	if i := slices.IndexFunc(words, func(w string) bool { return strings.ContainsAny(w, "|>;&") }); i >= 0 {
		words = words[:i]
	}
	var out bytes.Buffer
	sys := system{stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
	if cmd, _ := parse(words, sys, newTerminal(sys, screen.ColorNever)); cmd == nil {
		t.Errorf("the parser does not take %q: %s", example, &out)
	}
}

// TestFlagGroups: the groups name every flag once, and nothing else.
func TestFlagGroups(t *testing.T) {
	known := map[string]bool{"help": true, "version": true, "config": true}
	for name, node := range commands(t) {
		for _, f := range node.Flags {
			known[f.Name] = true
			if flagGroup(f.Name) < 0 {
				t.Errorf("%s: --%s is in no group", name, f.Name)
			}
		}
	}
	seen := make(map[string]bool)
	for _, g := range flagGroups {
		for _, f := range g.flags {
			if seen[f] {
				t.Errorf("--%s is in two groups", f)
			}
			seen[f] = true
			if !known[f] {
				t.Errorf("%s has --%s, which no command has", g.title, f)
			}
		}
	}
}

// TestVariables: different flags have different variables, and only the
// intended flags have none.
func TestVariables(t *testing.T) {
	flags := make(map[string]string)
	for _, node := range commands(t) {
		for _, f := range node.Flags {
			name := envName(f.Name)
			if other, ok := flags[name]; ok && other != f.Name && name != "" {
				t.Errorf("--%s and --%s are both %s", f.Name, other, name)
			}
			flags[name] = f.Name
			if len(f.Envs) > 0 {
				t.Errorf("--%s: the variables %q are not shown in help", f.Name, f.Envs)
			}
		}
	}
	for flag, want := range map[string]string{
		"limit": "MALCOLM_LIMIT", "connect-timeout": "MALCOLM_CONNECT_TIMEOUT", "port": "MALCOLM_PORTS",
		"token": "", "help": "", "version": "", "json": "MALCOLM_JSON",
	} {
		if got := envName(flag); got != want {
			t.Errorf("--%s: variable %q, want %q", flag, got, want)
		}
	}
}
