package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/tree/filter"
	"malcolm/wire"
)

// ChooseFlags are the flags that choose from a directory.
type ChooseFlags struct {
	Include   flags.Includes `placeholder:"PATTERN" help:"Of a directory, choose only what matches PATTERN: *.txt at any depth, docs/ with all beneath, a/**/b. May be repeated, and mixed with --exclude: the first match decides."`
	Exclude   flags.Excludes `placeholder:"PATTERN" help:"Of a directory, leave out what matches PATTERN."`
	Each      bool           `help:"If directories differ, take the majority of each path; it may be that the path is absent. Without this flag one whole directory needs a majority."`
	FilesFrom flags.Path     `placeholder:"FILE" help:"Of a directory, only the paths in FILE, one a line, or each ended by a NUL byte; - is stdin."`
}

// filter returns what the flags choose; nil: everything.
func (f *ChooseFlags) filter(t *terminal) (*filter.Filter, error) {
	chosen, _, err := f.read(t)
	return chosen, err
}

// read is filter. words tell two choices apart; empty: everything.
func (f *ChooseFlags) read(t *terminal) (chosen *filter.Filter, words string, err error) {
	var paths *filter.Paths
	rules := flags.Rules(f.Include, f.Exclude)
	if len(rules) > 0 {
		words = fmt.Sprintf("%#v", rules)
	}
	if f.FilesFrom != "" {
		text, err := f.readPaths(t)
		if err != nil {
			return nil, "", err
		}
		if paths, err = filter.ParsePaths(text); err != nil {
			return nil, "", usage("--files-from " + human.Quote(string(f.FilesFrom)) + ": " + err.Error())
		}
		words += "\n" + string(text)
	}
	return filter.New(rules, paths), words, nil
}

// chooseFrom sets what the flags choose from a local directory and from the
// servers' directory. From a local file they choose nothing.
func (f *ChooseFlags) chooseFrom(local string, q *query, t *terminal) (err error) {
	q.ballot.Each = f.Each
	q.ballot.Filter, err = f.filterFor(local, t)
	return err
}

// filterFor is filter, for what lies under a local path.
func (f *ChooseFlags) filterFor(local string, t *terminal) (*filter.Filter, error) {
	chosen, err := f.filter(t)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(local); chosen != nil && err == nil && !info.IsDir() {
		return nil, usage(human.Quote(local) + ": --include, --exclude and --files-from choose from a directory, and this is a file")
	}
	return chosen, nil
}

// readPaths reads the list of paths, which is at most as long as a listing.
func (f *ChooseFlags) readPaths(t *terminal) ([]byte, error) {
	from, name := t.in, "standard input"
	if f.FilesFrom != stdoutName {
		name = string(f.FilesFrom)
		file, err := os.Open(name)
		if err != nil {
			return nil, &localfile.Error{Op: "read", Path: name, Err: inner(err)}
		}
		defer file.Close()
		from = file
	}
	text, err := io.ReadAll(io.LimitReader(from, wire.MaxListingLen+1))
	if err != nil {
		return nil, &localfile.Error{Op: "read", Path: name, Err: inner(err)}
	}
	if len(text) > wire.MaxListingLen {
		return nil, usage(fmt.Sprintf("--files-from %s: over %s", human.Quote(name), human.Bytes(wire.MaxListingLen)))
	}
	return text, nil
}

// inner returns a system's error without the operation and the path.
func inner(err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		return e.Err
	}
	return err
}

// A sumsFile is the file of --sums. It is new, or replaces a file if that was
// asked for, and is whole or not there.
type sumsFile struct {
	path    string
	replace bool
}

var errSumsThere = errors.New("is there already; --force replaces it")

func (s *sumsFile) failure(err error) error {
	return &localfile.Error{Op: "write the checksums", Path: s.path, Err: inner(err)}
}

// check finds out, before anything else is done, whether something is in the
// way.
func (s *sumsFile) check() error {
	info, err := os.Lstat(s.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if _, err = os.Stat(filepath.Dir(s.path)); err == nil {
			return nil
		}
		return s.failure(err)
	case err != nil:
		return s.failure(err)
	case !info.Mode().IsRegular():
		return s.failure(localfile.ErrNotRegular)
	case !s.replace:
		return s.failure(errSumsThere)
	}
	return nil
}

// write writes the checksums of what was copied, and warns of what it leaves
// out.
func (s *sumsFile) write(r *fetch.Result, t *terminal) error {
	text, left := view.Sums(r)
	if left > 0 {
		t.Warn("%s: %s left out: b3sum reads no names that are not UTF-8", human.ShellQuote(s.path), human.Plural(left, "file is", "files are"))
	}
	draft, err := localfile.NewDraft(s.path, 0o666)
	if err != nil {
		return s.failure(err)
	}
	defer draft.Discard()
	_, err = io.WriteString(draft, text)
	if err == nil {
		err = draft.Sync()
	}
	if err == nil && s.replace {
		err = draft.Replace()
	} else if err == nil {
		err = draft.Take()
	}
	if err != nil {
		return s.failure(err)
	}
	return nil
}
