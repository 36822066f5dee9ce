package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/metrics"
)

var updateManual = flag.Bool("update", false, "write the manual's flag tables anew")

// TestManualFlags: the manual's flags, metrics and their words are the
// program's. `just manual` writes them.
func TestManualFlags(t *testing.T) {
	const path = "README.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	manual := string(text)
	all := commands(t)
	places := map[string]func(*kong.Node) string{
		"serve": flagTable, "get": flagTable, "index": flagTable,
		"trust list": flagList(all["get"]), "trust forget": flagList(all["get"]), "config": flagList(all["get"]), "demo": flagList(all["get"]), "version": flagList(all["get"]), "link": flagTable,
		"info": flagList(all["get"]), "verify": flagList(all["get"]), "repair": flagList(all["get"]),
	}
	for name, command := range all {
		own := slices.ContainsFunc(command.Flags, func(f *kong.Flag) bool { return !f.Hidden && f.Name != "help" })
		if own && places[name] == nil {
			t.Errorf("the flags of %s are not in %s", name, path)
		}
	}
	for name, write := range places {
		begin := "<!-- flags of " + name + ": written by `just manual` -->\n"
		before, rest, ok := strings.Cut(manual, begin)
		old, after, closed := strings.Cut(rest, "<!-- /flags -->\n")
		if !ok || !closed {
			t.Fatalf("%s has no place for the flags of %s", path, name)
		}
		want := write(all[name])
		if old != want && !*updateManual {
			t.Errorf("%s has other flags of %s than the parser: run just manual", path, name)
		}
		manual = before + begin + want + "<!-- /flags -->\n" + after
	}
	begin := "<!-- metrics: written by `just manual` -->\n"
	before, rest, ok := strings.Cut(manual, begin)
	old, after, closed := strings.Cut(rest, "<!-- /metrics -->\n")
	if !ok || !closed {
		t.Fatalf("%s has no place for the metrics", path)
	}
	if old != metrics.Table() && !*updateManual {
		t.Errorf("%s has other metrics than the program: run just manual", path)
	}
	manual = before + begin + metrics.Table() + "<!-- /metrics -->\n" + after
	if *updateManual {
		if err := os.WriteFile(path, []byte(manual), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// flagTable returns the flags of a command as a table, in the groups of help.
func flagTable(command *kong.Node) string {
	var b strings.Builder
	b.WriteString("| flag | meaning |\n| --- | --- |\n")
	group := ""
	for _, f := range command.Flags {
		if f.Hidden || f.Name == "help" || f.Name == "version" {
			continue
		}
		if f.Group != nil && f.Group.Title != group {
			group = f.Group.Title
			fmt.Fprintf(&b, "| **%s** | |\n", strings.TrimSuffix(group, ":"))
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", flagWords(f), strings.ReplaceAll(f.Help, "|", `\|`))
	}
	return b.String()
}

// flagList returns a function that writes the names of a command's flags as a
// sentence. Those that other does not have, or that mean something else there,
// follow as a table.
func flagList(other *kong.Node) func(*kong.Node) string {
	meanings := make(map[string]string)
	for _, f := range other.Flags {
		meanings[f.Name] = f.Help
	}
	return func(command *kong.Node) string {
		var names []string
		var table strings.Builder
		for _, f := range command.Flags {
			switch {
			case f.Hidden || f.Name == "help" || f.Name == "version":
			case meanings[f.Name] == f.Help:
				names = append(names, "`--"+f.Name+"`")
			default:
				fmt.Fprintf(&table, "| `%s` | %s |\n", flagWords(f), strings.ReplaceAll(f.Help, "|", `\|`))
			}
		}
		text := "Its flags, which mean the same as in `" + other.Name + "`: " + strings.Join(names, ", ") + ".\n"
		if table.Len() > 0 {
			text += "\nAnd its own:\n\n| flag | meaning |\n| --- | --- |\n" + table.String()
		}
		return text
	}
}

// flagWords returns a flag as it is typed: -o, --output DIR.
func flagWords(f *kong.Flag) string {
	words := "--" + f.Name
	if f.Short != 0 {
		words = "-" + string(f.Short) + ", " + words
	}
	if !f.IsBool() {
		words += " " + f.FormatPlaceHolder()
	}
	return words
}

// TestReadmeBuildsStatic: the README's build lines give a binary that needs no
// C library, as for an image without one.
func TestReadmeBuildsStatic(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	builds := 0
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "go build") {
			builds++
			if !strings.HasPrefix(strings.TrimSpace(line), "CGO_ENABLED=0 go build ") {
				t.Errorf("%q makes a binary that may need a C library", line)
			}
		}
	}
	if builds == 0 {
		t.Error("README does not say how malcolm is built")
	}
}
