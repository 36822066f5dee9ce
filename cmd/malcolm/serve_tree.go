package main

import (
	"fmt"
	"os"
	"path/filepath"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/localfile"
	"malcolm/transfer/scan"
	"malcolm/transfer/serve"
	"malcolm/transfer/tree/filter"
)

// TreeFlags are the flags of serve for directories, or for several files.
type TreeFlags struct {
	As string `placeholder:"NAME" help:"Offer it under this name. With several paths: the name of the directory in which clients find them side by side."`
	PickFlags
	Rescan flags.Timeout `default:"10" placeholder:"SECONDS" help:"Least time between two looks for changes in a directory. Default ${default}."`
}

// PickFlags say what of a directory is offered.
type PickFlags struct {
	Include    flags.Includes `placeholder:"PATTERN" help:"Of a directory, offer only what matches PATTERN: *.txt at any depth, docs/ with all beneath, a/**/b. May be repeated, and mixed with --exclude: the first match decides."`
	Exclude    flags.Excludes `placeholder:"PATTERN" help:"Of a directory, do not offer what matches PATTERN."`
	Strict     bool           `help:"Refuse a directory with anything that cannot be offered: sockets, devices, unreadable files, links that lead out. Without this flag they are left out with a warning."`
	AllowEmpty bool           `help:"Offer a directory with nothing in it, which may be a forgotten mount."`
}

// ofDirectories refuses flags that have no meaning for a file.
const ofDirectories = "--include, --exclude, --strict and --allow-empty are for directories"

// scan says how a directory is scanned, but for its parts.
func (f *PickFlags) scan(rehash bool) *scan.Config {
	return &scan.Config{
		Filter: filter.New(flags.Rules(f.Include, f.Exclude), nil), Strict: f.Strict, AllowEmpty: f.AllowEmpty,
		Rehash: rehash, Cache: indexCache(),
	}
}

// isUsed reports whether a flag is given that has no meaning for a file.
func (f *PickFlags) isUsed() bool {
	return len(f.Include) > 0 || len(f.Exclude) > 0 || f.Strict || f.AllowEmpty
}

// An offered is what serve offers.
type offered struct {
	file   localfile.Source // nil: it is a tree
	tree   *serve.Tree      // nil: it is a file
	name   string           // for clients
	shown  string           // the path as the user named it, or the name of several
	memory int64            // what serve needs for it without clients, in bytes
}

// offered finds what -f names.
func (c *serveCmd) offered() (o offered, err error) {
	if len(c.Files) > 1 && c.As == "" {
		return o, usage("several files or directories need --as NAME: clients find them in a directory of that name")
	}
	path := string(c.Files[0])
	info, err := os.Stat(path)
	if len(c.Files) == 1 && (err != nil || !info.IsDir()) {
		return c.offeredFile(path)
	}
	o.tree = &serve.Tree{Rescan: c.Rescan.Duration(), Scan: *c.scan(c.Rehash)}
	o.tree.Scan.SHA256 = c.SHA256
	o.name, o.shown, o.memory = c.As, c.As, memoryOfTree
	if len(c.Files) == 1 {
		o.shown = path
	}
	names := make(map[string]string)
	for _, path := range c.Files {
		part, err := partOf(string(path))
		if err != nil {
			return o, err
		}
		if len(c.Files) == 1 {
			if o.name == "" {
				o.name = part.Name
			}
			part.Name = ""
		} else if other, ok := names[part.Name]; ok {
			return o, usage(fmt.Sprintf("%s and %s have the same name: they cannot be offered side by side", human.Quote(other), human.Quote(string(path))))
		}
		names[part.Name] = string(path)
		o.tree.Scan.Parts = append(o.tree.Scan.Parts, part)
	}
	return o, nil
}

// offeredFile is offered for one file.
func (c *serveCmd) offeredFile(path string) (o offered, err error) {
	if c.isUsed() {
		return o, usage(ofDirectories)
	}
	source, err := localfile.Offer(path)
	if err != nil {
		return o, err
	}
	size, err := sizeOf(source)
	if err != nil {
		return o, err
	}
	o.file, o.name, o.shown, o.memory = source, c.As, path, memoryOf(size)
	if o.name == "" {
		o.name = filepath.Base(path)
	}
	return o, nil
}

// partOf returns a file or directory as a part of a tree, under its own name.
func partOf(path string) (p scan.Part, err error) {
	whole, err := filepath.Abs(path)
	if err != nil {
		return p, &localfile.Error{Op: "open", Path: path, Err: err}
	}
	p.Name, p.Path, p.Key = filepath.Base(whole), path, whole
	info, err := os.Stat(path)
	if err != nil {
		return p, &localfile.Error{Op: "open", Path: path, Err: err}
	}
	if !info.IsDir() {
		p.File, err = localfile.Offer(path)
		return p, err
	}
	dir, err := localfile.OfferDirectory(path)
	if err != nil {
		return p, err
	}
	p.Open = func() (scan.Dir, error) {
		b, err := dir.Open()
		if err != nil {
			return nil, err // no *Beneath, not even nil
		}
		return b, nil
	}
	return p, nil
}

// sizeOf returns the size in bytes of a file that can be opened.
func sizeOf(source localfile.Source) (int64, error) {
	file, err := source.Open()
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
