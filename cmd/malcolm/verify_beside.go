package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"malcolm/cmd/malcolm/human"
	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/beside"
	"malcolm/transfer/fetch"
	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/scan"
	"malcolm/transfer/tree/filter"
	"malcolm/wire"
)

// valuesFiles parts the targets that are files of values from the others.
func valuesFiles(targets []string) (files, others []string) {
	for _, target := range targets {
		if namesFile(target, beside.Suffix) {
			files = append(files, target)
		} else {
			others = append(others, target)
		}
	}
	return files, others
}

// A valuesError says that files of values do not say what was asked for.
type valuesError struct{ text string }

func (e *valuesError) Error() string { return e.text }

// openValues reads files of values, which must agree. The caller closes the
// open file.
func (c *verifyCmd) openValues(paths []string) (v *beside.Values, open *os.File, err error) {
	for i, path := range paths {
		next, f, err := openValuesFile(path)
		if err == nil && i > 0 && !sameObject(v.Offer, next.Offer) {
			f.Close()
			err = &valuesError{fmt.Sprintf("%q and %q describe different files", paths[0], path)}
		}
		if err != nil {
			if open != nil {
				open.Close()
			}
			return nil, nil, err
		}
		if i > 0 {
			f.Close()
			continue
		}
		v, open = next, f
	}
	want := c.Checksum
	isTree := v.Offer.Kind == wire.KindTree
	switch here := isDirectory(string(c.File)); {
	case want != nil && want.Sum != v.Offer.Checksum:
		err = &valuesError{fmt.Sprintf("%q describes a file with another checksum: %s", paths[0], human.Checksum(isTree, v.Offer.Checksum))}
	case isTree && !here:
		err = &valuesError{fmt.Sprintf("%q describes a directory, and %q is not one", paths[0], string(c.File))}
	case !isTree && here:
		err = &valuesError{fmt.Sprintf("%q describes a file, and %q is a directory", paths[0], string(c.File))}
	}
	if err != nil {
		open.Close()
		return nil, nil, err
	}
	return v, open, nil
}

func sameObject(a, b wire.Offer) bool {
	return a.Kind == b.Kind && a.Size == b.Size && a.Checksum == b.Checksum
}

func openValuesFile(path string) (v *beside.Values, f *os.File, err error) {
	if f, err = localfile.Named(path).OpenSystem(); err != nil {
		if e, ok := errors.AsType[*localfile.Error](err); ok && e.Op == "serve" {
			err = &localfile.Error{Op: "read", Path: path, Err: localfile.ErrNotRegular}
		}
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil {
		v, err = beside.Open(f, info.Size())
	}
	if err != nil {
		f.Close()
		return nil, nil, &localfile.Error{Op: "read", Path: path, Err: err}
	}
	return v, f, nil
}

// checkBeside compares the file or directory with files of values.
func (c *verifyCmd) checkBeside(ctx context.Context, t *terminal, paths []string) error {
	if _, err := os.Stat(string(c.File)); err != nil {
		return &localfile.Error{Op: "open", Path: string(c.File), Err: err}
	}
	chosen, err := c.filterFor(string(c.File), t)
	if err != nil {
		return err
	}
	v, open, err := c.openValues(paths)
	if err != nil {
		return err
	}
	defer open.Close()
	if v.Tree != nil {
		return c.checkTreeBeside(ctx, t, v, chosen)
	}
	want := fetch.Known{Size: v.Offer.Size, Checksum: v.Offer.Checksum}
	var ok bool
	if want.Values, ok = manifest.Known(want.Size, want.Checksum); !ok {
		if want.Values, err = v.Of(want.Checksum); err != nil {
			return &localfile.Error{Op: "read", Path: paths[0], Err: err}
		}
	}
	var done atomic.Int64
	stop := view.Hashing(t.view(), c.Interval.Duration(), string(c.File), &done)
	r, err := fetch.VerifyKnown(ctx, fetch.Local{Path: string(c.File)}, want, &done, func(e fetch.Event) { view.Unreadable(t, e) })
	stop()
	if r != nil {
		view.Checked(t, string(c.File), r)
	}
	return err
}

func (c *verifyCmd) checkTreeBeside(ctx context.Context, t *terminal, v *beside.Values, chosen *filter.Filter) error {
	var progress scan.Progress
	stop := view.Indexing(t.view(), c.Interval.Duration(), &progress)
	r, err := fetch.VerifyKnownTree(ctx, string(c.File), v.Offer.Checksum, v.Tree, chosen, &progress)
	stop()
	if r != nil {
		view.Differences(t, string(c.File), r)
	}
	return err
}
