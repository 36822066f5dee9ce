package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"

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
	Include   flags.Includes `placeholder:"PATTERN" help:"Of a directory, only what PATTERN takes in: *.txt at any depth, docs/ with all beneath, a/**/b. May be repeated, also with --exclude: the first one that takes a path in decides."`
	Exclude   flags.Excludes `placeholder:"PATTERN" help:"Of a directory, not what PATTERN takes in."`
	Each      bool           `help:"Of directories that differ, take each path's own majority, also that it is not there. Without the flag there must be a majority for the whole."`
	FilesFrom flags.Path     `placeholder:"FILE" help:"Of a directory, only the paths in FILE, one a line, or each ended by a NUL byte; - is stdin."`
}

// filter returns what the flags choose; nil: everything.
func (f *ChooseFlags) filter(t *terminal) (*filter.Filter, error) {
	var paths *filter.Paths
	if f.FilesFrom != "" {
		text, err := f.readPaths(t)
		if err != nil {
			return nil, err
		}
		if paths, err = filter.ParsePaths(text); err != nil {
			return nil, usage("--files-from " + human.Quote(string(f.FilesFrom)) + ": " + err.Error())
		}
	}
	return filter.New(flags.Rules(f.Include, f.Exclude), paths), nil
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

// check finds out, before anything else is done, what is in the way.
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
	name := ".malcolm-sums-" + strconv.FormatUint(rand.Uint64(), 36)
	temp, err := os.OpenFile(filepath.Join(filepath.Dir(s.path), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return s.failure(err)
	}
	defer os.Remove(temp.Name())
	_, err = io.WriteString(temp, text)
	if err == nil {
		err = temp.Sync()
	}
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = s.place(temp.Name())
	}
	if err != nil {
		return s.failure(err)
	}
	return nil
}

// place gives the finished file its name.
func (s *sumsFile) place(temp string) error {
	if !s.replace {
		err := os.Link(temp, s.path)
		if err == nil || errors.Is(err, os.ErrExist) {
			return err
		}
		// The file system has no links.
		if _, there := os.Lstat(s.path); !errors.Is(there, os.ErrNotExist) {
			return errSumsThere
		}
	}
	return os.Rename(temp, s.path)
}
