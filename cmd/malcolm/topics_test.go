package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"malcolm/cmd/malcolm/manual"
)

// TestTopics: each topic is a section of the manual, without marks of Markdown,
// and fits a terminal of 80 columns except for code.
func TestTopics(t *testing.T) {
	blocks := manual.Parse(manualText)
	for _, about := range topics {
		if len(manual.Section(blocks, about.title)) == 0 {
			t.Errorf("%s: the manual has no section %q", about.name, about.title)
		}
		code, stdout, stderr := runHere(t, "help", about.name)
		if code != exitDone || stderr != "" || !strings.Contains(stdout, strings.ToUpper(about.title)+"\n") {
			t.Fatalf("help %s: exit code %d, stderr %q, stdout %s", about.name, code, stderr, stdout)
		}
		for line := range strings.Lines(topicText(&about)) {
			line = strings.TrimSuffix(line, "\n")
			if n := utf8.RuneCountInString(line); n > topicWidth && !strings.HasPrefix(line, "    ") {
				t.Errorf("help %s: a line has %d columns: %s", about.name, n, line)
			}
			for _, mark := range []string{"](", "`", "<!--", "| ---"} {
				if strings.Contains(line, mark) {
					t.Errorf("help %s: %q in %s", about.name, mark, line)
				}
			}
		}
	}
}

// TestTopicsAndCommands: help says of which words it prints both.
func TestTopicsAndCommands(t *testing.T) {
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	var both []string
	for _, about := range topics {
		if findCommand(parser.Model.Node, []string{about.name}) != nil {
			both = append(both, about.name)
		}
	}
	if want := []string{"trust", "config"}; !slices.Equal(both, want) {
		t.Errorf("%q are commands and topics, want %q", both, want)
	}
	_, list, _ := runHere(t, "help")
	for _, word := range helpWords(parser.Model.Node) {
		if !strings.Contains(list, " "+word) {
			t.Errorf("malcolm help does not name %s", word)
		}
	}
}
