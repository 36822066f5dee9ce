package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestManPages: there is a page for each command, with each of its flags, and
// for the program; all pages that they name are there.
func TestManPages(t *testing.T) {
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	pages := manPages(parser.Model.Node, time.Unix(0, 0))
	for name, node := range commands(t) {
		page := pages["malcolm-"+strings.Fields(name)[0]]
		for _, f := range node.Flags {
			if flag := strings.ReplaceAll("-"+f.Name, "-", `\-`); !f.Hidden && !strings.Contains(page, `Fl "\&`+flag+`"`) {
				t.Errorf("the page of %s lacks --%s", name, f.Name)
			}
		}
	}
	for name, page := range pages {
		for line := range strings.Lines(page) {
			if to, ok := strings.CutPrefix(line, ".Xr "); ok && pages[strings.Fields(to)[0]] == "" {
				t.Errorf("%s names %s", name, to)
			}
		}
	}
	if got, want := len(pages), len(parser.Model.Children); got != want { // man is hidden, and malcolm has one
		t.Errorf("%d pages, want %d", got, want)
	}
}

// TestManPagesLint: mandoc has nothing to say of the pages, except that they
// are not installed.
func TestManPagesLint(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Skip("mandoc is not installed")
	}
	dir := t.TempDir()
	if code, stdout, stderr := runHere(t, "man", dir); code != exitDone || stdout+stderr != "" {
		t.Fatalf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	files, err := filepath.Glob(filepath.Join(dir, "man1", "malcolm*.1"))
	if err != nil || len(files) < 10 {
		t.Fatalf("%q, %v", files, err)
	}
	out, _ := exec.Command("mandoc", append([]string{"-T", "lint"}, files...)...).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "referenced manual not found: Xr malcolm") {
			t.Error(strings.TrimPrefix(line, "mandoc: "))
		}
	}
}

// TestManPagesTwice: the same sources make the same pages, with the date that
// the build names.
func TestManPagesTwice(t *testing.T) {
	getenv := func(string) string { return "86400" }
	parser, err := newParser(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	page := manPages(parser.Model.Node, pageDate(getenv))["malcolm-get"]
	if !strings.HasPrefix(page, "'\\\" t\n.Dd January 2, 1970\n.Dt MALCOLM-GET 1\n") {
		t.Errorf("the page begins %.80q", page)
	}
	if code, _, stderr := runHere(t, "man", filepath.Join(os.Args[0], "x")); code != exitLocal || !strings.Contains(stderr, "make the directory") {
		t.Errorf("beneath a file: exit code %d, %q", code, stderr)
	}
}
