package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"malcolm/cmd/malcolm/config"
	"malcolm/cmd/malcolm/view"
)

// TestReread: the same command line is read again with the files of now. What
// is wrong with them is an error, and nothing is written.
func TestReread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	on := &terminal{getenv: func(string) string { return "" }, configs: []config.Place{{Path: path}}}
	args := []string{"serve", "-f", "data", "--max-streams", "7"}
	for _, test := range []struct {
		text  string
		limit int64
		err   string
	}{
		{"[serve]\nlimit = \"1M\"\nmax-streams = 8\n", 1 << 20, ""},
		{"[serve]\nlimit = \"2M\"\n", 2 << 20, ""},
		{"[serve]\nlimit = \"2Mb\"\n", 0, path + ":2: limit: "},
		{"", 0, ""},
	} {
		write(test.text)
		cmd, err := on.reread(args)
		if test.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), test.err) || exitCode(err) != exitUsage {
				t.Errorf("%q: %v, want %s", test.text, err, test.err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%q: %v", test.text, err)
		}
		if c := cmd.(*serveCmd); int64(c.Limit) != test.limit || c.MaxStreams != 7 {
			t.Errorf("%q: limit %d, %d streams, want %d and 7", test.text, c.Limit, c.MaxStreams, test.limit)
		}
	}
}

// TestLists: each text of a list is a value, as if the flag was repeated, for
// each kind of flag that may be.
func TestLists(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	text := `[serve]
file = ["a b", "c,d"]
port = [10001, "10002-10003"]
token = ["@one", "@two"]
exclude = ["*.x", "*.y"]
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	on := &terminal{getenv: func(string) string { return "" }, configs: []config.Place{{Path: path}}}
	cmd, err := on.reread([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	c := cmd.(*serveCmd)
	if got := fmt.Sprint(len(c.Files), c.Files, c.Ports, c.Tokens, len(c.Exclude)); got != "2 [a b c,d] [10001 10002-10003] [{@one} {@two}] 2" {
		t.Errorf("got %s", got)
	}
	// The command line takes the place of a whole list.
	if cmd, err = on.reread([]string{"serve", "-f", "e"}); err != nil || len(cmd.(*serveCmd).Files) != 1 {
		t.Errorf("%v, %v", cmd, err)
	}
}

func TestCommandIndex(t *testing.T) {
	for line, want := range map[string]string{
		"get h:1":                        "malcolm get -r h:1",
		"--config x get h:1":             "malcolm --config x get -r h:1",
		"--config=x get h:1":             "malcolm --config=x get -r h:1",
		"get --config x h:1":             "malcolm get -r --config x h:1",
		"get --config get -r":            "malcolm get --config get -r",
		"get --proxy http://u:p@h:1 h:1": "malcolm get -r --proxy http://u:PASSWORD@h:1 h:1",
	} {
		if got := resumeCommand(strings.Fields(line)); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

// TestConfigHasEveryFlag: each flag of a command is a key of its table, and
// tables of sources have targets.
func TestConfigHasEveryFlag(t *testing.T) {
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	keys := configKeys(parser.Model.Node)
	for name, node := range commands(t) {
		got, ok := keys[strings.ReplaceAll(name, " ", ".")]
		if !ok {
			t.Errorf("%s has no table", name)
		}
		for _, f := range node.Flags {
			if !slices.Contains(got, f.Name) {
				t.Errorf("%s has no key %s", name, f.Name)
			}
		}
	}
	for _, table := range []string{"get", "info", "verify", "repair"} {
		if got := strings.Join(keys[table], " "); !strings.Contains(got, " target") || !strings.Contains(got, "token") || strings.Contains(got, "config") {
			t.Errorf("%s has the keys %s", table, got)
		}
	}
}

func TestBuildOf(t *testing.T) {
	info := &debug.BuildInfo{
		GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"},
		Deps: []*debug.Module{{Path: "a", Version: "v1", Sum: "h1:x"}, {Path: "b", Replace: &debug.Module{Path: "c", Version: "v2"}}},
		Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}, {Key: "vcs.modified", Value: "true"},
		},
	}
	b := buildOf(info)
	if b.Version != "v1.2.3" || b.Revision != "abc" || b.Time != "2026-01-02T03:04:05Z" || !b.Dirty || b.Go != "go1.26" {
		t.Errorf("got %+v", b)
	}
	if len(b.Modules) != 2 || b.Modules[0] != (view.Module{Path: "a", Version: "v1", Sum: "h1:x"}) || b.Modules[1].Path != "c" {
		t.Errorf("modules %+v", b.Modules)
	}
	if got := buildOf(&debug.BuildInfo{}); got.Version != "development" || got.Dirty || !strings.Contains(got.Platform, "/") {
		t.Errorf("of nothing: %+v", got)
	}
}
