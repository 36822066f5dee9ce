package main

import (
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/metalink"
)

// mostNamed bounds the files of a Metalink that an error names.
const mostNamed = 10

// namesFile reports whether a target names a file of this machine that ends as
// those of a kind do: it is there, or can be no address.
func namesFile(target, suffix string) bool {
	if !strings.HasSuffix(target, suffix) || strings.Contains(target, "://") {
		return false
	}
	_, err := os.Stat(target)
	return err == nil || strings.ContainsRune(target, os.PathSeparator)
}

// A described file is what a Metalink says of the file to get.
type describedFile struct {
	metalink.File
	path string // of the Metalink; empty: no target is one
}

// takeMetalink replaces a Metalink among targets by the addresses of its file.
// name chooses one of several files.
func takeMetalink(targets []string, name string, t *terminal) (left []string, f describedFile, err error) {
	for _, target := range targets {
		if !namesFile(target, metalink.Suffix) {
			left = append(left, target)
			continue
		}
		if f.path != "" {
			return nil, f, usage("only one Metalink at a time: each describes other files")
		}
		d, err := readMetalink(target)
		if err == nil {
			f.File, err = chooseFile(target, d, name)
		}
		if err != nil {
			return nil, f, err
		}
		f.path = target
		for _, u := range f.URLs {
			left = append(left, u.Address)
		}
	}
	if f.path == "" {
		return targets, f, nil
	}
	if len(f.Others) > 0 {
		t.Say("%s: addresses of other protocols are left out: %s", human.ShellQuote(f.path), human.Quote(strings.Join(f.Others, ", ")))
	}
	if len(f.URLs) == 0 {
		return nil, f, &localfile.Error{Op: "read", Path: f.path, Err: errors.New("has no address that begins with https:// or http:// for the file")}
	}
	return left, f, nil
}

// readMetalink reads a Metalink.
func readMetalink(where string) (d metalink.Document, err error) {
	b, err := readMetalinkFile(where)
	if err != nil {
		return d, err
	}
	if d, err = metalink.Parse(b); err != nil {
		err = &localfile.Error{Op: "read", Path: where, Err: err}
	}
	return d, err
}

// chooseFile returns the file of a Metalink that is meant.
func chooseFile(where string, d metalink.Document, name string) (f metalink.File, err error) {
	if len(d.Files) == 1 {
		return d.Files[0], nil
	}
	for i := range d.Files {
		if name != "" && (d.Files[i].Name == name || path.Base(d.Files[i].Name) == name) {
			return d.Files[i], nil
		}
	}
	return f, usage(ofSeveral(where, d) + ": choose one with --name: " + nameSome(d))
}

func readMetalinkFile(where string) ([]byte, error) {
	f, err := localfile.Named(where).Open()
	if err != nil {
		if e, ok := errors.AsType[*localfile.Error](err); ok && e.Op == "serve" {
			err = &localfile.Error{Op: "read", Path: where, Err: localfile.ErrNotRegular}
		}
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, metalink.MaxLen+1))
	if err != nil {
		return nil, &localfile.Error{Op: "read", Path: where, Err: err}
	}
	return b, nil
}

// hold makes the Metalink's words about the file binding, as --checksum does.
// The file's name is that of the Metalink, unless the user chose one.
func (f *describedFile) hold(q *query, chosen string) (name string, err error) {
	if f.path == "" {
		return chosen, nil
	}
	if f.SHA256 != nil {
		if q.sha256 != nil && *q.sha256 != *f.SHA256 {
			return "", usage("--checksum and the Metalink name different files")
		}
		q.sha256 = f.SHA256
	}
	if f.Size > 0 && (q.ballot.MaxSize <= 0 || f.Size < q.ballot.MaxSize) {
		q.ballot.MaxSize = f.Size
	}
	if chosen != "" {
		return chosen, nil
	}
	name = path.Base(f.Name)
	return name, fetch.CheckGiven(name)
}
