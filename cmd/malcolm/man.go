package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/kong"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/manual"
	"malcolm/cmd/malcolm/screen"
	"malcolm/transfer/localfile"
)

// manCmd writes the man pages, for packages.
type manCmd struct {
	Dir flags.Path `arg:"" help:"Where to write man1/malcolm.1 and the pages of the commands."`
}

func (*manCmd) mode() (screen.ColorMode, error) { return screen.ColorAuto, nil }

func (c *manCmd) run(_ context.Context, _ []string, t *terminal) error {
	parser, err := newParser(new(cli))
	if err != nil {
		return err
	}
	dir := filepath.Join(string(c.Dir), "man1")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return &localfile.Error{Op: "make the directory", Path: dir, Err: err}
	}
	for name, text := range manPages(parser.Model.Node, pageDate(t.getenv)) {
		path := filepath.Join(dir, name+".1")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			return &localfile.Error{Op: "write", Path: path, Err: err}
		}
	}
	return nil
}

// pageDate is the date of the pages: that of the build's sources, so that two
// builds have the same.
func pageDate(getenv func(string) string) time.Time {
	if s, err := strconv.ParseInt(getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		if date, err := time.Parse(time.RFC3339, buildOf(info).Time); err == nil {
			return date
		}
	}
	return time.Unix(0, 0)
}

// manSections are the sections of the manual that go into the commands' pages.
var manSections = map[string]string{
	"serve": "serve", "get": "get", "info": "info", "verify": "verify and repair", "repair": "verify and repair",
	"index": "Values beside the object", "trust": "Trust", "config": "Config file",
}

// manPages returns the page of the program and one a command, by name.
func manPages(app *kong.Node, date time.Time) map[string]string {
	blocks := manual.Parse(manualText)
	chapter := func(title, section string) manual.Chapter {
		return manual.Chapter{Title: title, Blocks: manual.Section(blocks, section)}
	}
	program := manual.Page{
		Date: date,
		Chapters: []manual.Chapter{
			chapter("Trust", "Trust"), chapter("Tickets", "Tickets"), chapter("Patterns", "Patterns"), chapter("Config file", "Config file"),
			chapter("Coming from aria2", "Coming from aria2"), chapter("Coming from rsync or rclone", "Coming from rsync or rclone"),
		},
		Standard: []manual.Chapter{chapter("Environment", "Environment"), chapter("Exit status", "Exit codes")},
	}
	pages := make(map[string]string)
	var names []string
	for _, c := range app.Children {
		if !c.Hidden {
			names = append(names, manual.PageName(c))
		}
	}
	for _, c := range app.Children {
		if c.Hidden {
			continue
		}
		others := slices.DeleteFunc(append([]string{"malcolm"}, names...), func(name string) bool { return name == manual.PageName(c) })
		page := manual.Page{Date: date, SeeAlso: others}
		if title := manSections[c.Name]; title != "" {
			page.About = manual.Section(blocks, title)
		}
		pages[manual.PageName(c)] = page.Mdoc(c)
	}
	program.SeeAlso = names
	pages["malcolm"] = program.Mdoc(app)
	return pages
}
