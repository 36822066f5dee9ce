package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"malcolm/cmd/malcolm/batch"
	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/metalink"
)

// runMetalink copies all files of a Metalink as those of a list, if it is the
// only target, has several files, and no --name chooses one of them. done: it
// did.
func (c *getCmd) runMetalink(ctx context.Context, args []string, t *terminal) (done bool, err error) {
	if len(c.Targets) != 1 || len(c.Addresses) > 0 || c.Name != "" || !namesFile(c.Targets[0], metalink.Suffix) {
		return false, nil
	}
	where := c.Targets[0]
	d, err := readMetalink(where)
	if err != nil || len(d.Files) == 1 {
		return err != nil, err
	}
	many := *c
	many.Targets, many.InputFile = nil, flags.Path(where)
	if err := many.checkBatch(); err != nil {
		reason := strings.TrimPrefix(err.Error(), "--input-file: ")
		return true, usage(ofSeveral(where, d) + ": " + reason + "; --name chooses one: " + nameSome(d))
	}
	entries, err := many.metalinkEntries(d)
	if err != nil {
		return true, err
	}
	return true, many.copyList(ctx, args, t, entries)
}

// ofSeveral says how many files a Metalink describes.
func ofSeveral(where string, d metalink.Document) string {
	return human.ShellQuote(where) + " describes " + human.Plural(len(d.Files), "file", "files")
}

// nameSome lists the first names in a Metalink.
func nameSome(d metalink.Document) string {
	var names []string
	for i := range d.Files[:min(len(d.Files), mostNamed)] {
		names = append(names, human.Quote(d.Files[i].Name))
	}
	if more := len(d.Files) - len(names); more > 0 {
		names = append(names, human.Comma(int64(more))+" more")
	}
	return strings.Join(names, ", ")
}

// metalinkEntries returns the files of a Metalink as entries of a list, with
// their numbers as lines. A name is a path beneath --output, whose directories
// are made.
func (c *getCmd) metalinkEntries(d metalink.Document) (entries []batch.Entry, err error) {
	dirs := make(map[string]bool)
	for i := range d.Files {
		f := &d.Files[i]
		e := batch.Entry{Line: i + 1}
		for part := range strings.SplitSeq(f.Name, "/") {
			if err := fetch.CheckGiven(part); err != nil {
				return nil, err
			}
		}
		for _, u := range f.URLs {
			e.Sources = append(e.Sources, u.Address)
		}
		if len(e.Sources) == 0 {
			return nil, &localfile.Error{Op: "read", Path: string(c.InputFile), Err: fmt.Errorf("has no address that begins with https:// or http:// for the file %s", human.Quote(f.Name))}
		}
		option := func(name, value string) {
			e.Options = append(e.Options, batch.Option{Line: e.Line, Name: name, Value: value, HasValue: true})
		}
		dir, name := path.Split(f.Name)
		option("out", name)
		if dir != "" {
			dirs[dir] = true
			option("dir", filepath.Join(string(c.Output), filepath.FromSlash(dir)))
		}
		if f.SHA256 != nil {
			option("checksum", fmt.Sprintf("sha256:%x", *f.SHA256))
		}
		if f.Size > 0 && f.Size < int64(c.MaxSize) {
			option("max-size", strconv.FormatInt(f.Size, 10))
		}
		entries = append(entries, e)
	}
	return entries, makeDirs(string(c.Output), dirs)
}

// makeDirs makes directories below another one, with those above them. No link
// there leads out.
func makeDirs(below string, dirs map[string]bool) error {
	if len(dirs) == 0 {
		return nil
	}
	root, err := fetch.OpenOutput(below)
	if err != nil {
		return err
	}
	defer root.Close()
	for dir := range dirs {
		dir = filepath.Clean(filepath.FromSlash(dir))
		err := root.MkdirAll(dir, 0o777)
		if err == nil {
			var info os.FileInfo
			if info, err = root.Stat(dir); err == nil && !info.IsDir() {
				err = errNoDirectory
			}
		}
		if err != nil {
			return &localfile.Error{Op: "make the directory", Path: filepath.Join(below, dir), Err: inner(err)}
		}
	}
	return nil
}

var errNoDirectory = errors.New("is there and is no directory")
