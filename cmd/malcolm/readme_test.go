package main

import (
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestReadmeNamesEveryFlag: the section of each command has its flags, with
// the names that the parser knows.
func TestReadmeNamesEveryFlag(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var c cli
	parser, err := kong.New(&c, kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"serve", "get"} {
		section := sectionOf(t, string(text), command)
		for _, node := range parser.Model.Children {
			if node.Name != command {
				continue
			}
			for _, f := range node.Flags {
				shared := command == "get" && (f.Name == "interval" || f.Name == "color-printing")
				if f.Name != "help" && !shared && !strings.Contains(section, "--"+f.Name) {
					t.Errorf("the README's section %q lacks --%s", command, f.Name)
				}
			}
		}
		if strings.Count(section, "| `-") < 5 {
			t.Errorf("the README's section %q has no table of flags", command)
		}
	}
}

func sectionOf(t *testing.T, text, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n## "+title+"\n")
	if !ok {
		t.Fatalf("the README has no section %q", title)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	return section
}
