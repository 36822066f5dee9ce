package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"

	"malcolm/cmd/malcolm/view"
	"malcolm/transfer/localfile"
)

// errSaysElse says that a file is there that would become another one.
var errSaysElse = errors.New("is there with other content")

// errIrregular says that something other than a file has the name.
var errIrregular = errors.New("is there and is not a regular file")

// A stopping writer ends with ctx.
type stopping struct {
	ctx context.Context
	io.Writer
}

func (w stopping) Write(p []byte) (int, error) {
	if w.ctx.Err() != nil {
		return 0, context.Cause(w.ctx)
	}
	return w.Writer.Write(p)
}

// writing returns what writes b.
func writing(b []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}
}

// probe fails if a file cannot be made where path is: hours of hashing would be
// lost.
func probe(path string) error { return placeFailure(path, localfile.TryDraft(path)) }

func placeFailure(path string, err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		err = e.Err
	}
	return &localfile.Error{Op: "write", Path: path, Err: err}
}

// place puts what encode writes under a path, whole or not at all. A file that
// is there is left alone if it has the same bytes, and replaced only with force
// if not.
func place(ctx context.Context, path string, force bool, encode func(io.Writer) error) (view.Written, error) {
	w := view.Written{Path: path}
	draft, err := localfile.NewDraft(path, 0o666)
	if err != nil {
		return w, placeFailure(path, err)
	}
	defer draft.Discard()
	if err := encode(stopping{ctx, draft}); err != nil {
		if ctx.Err() != nil {
			return w, context.Cause(ctx)
		}
		return w, placeFailure(path, err)
	}
	w.Unchanged, err = settle(draft, path, force)
	return w, placeFailure(path, err)
}

// settle gives a whole file its name.
func settle(draft *localfile.Draft, path string, force bool) (unchanged bool, err error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return false, errIrregular
	case err == nil:
		same, err := sameAs(draft.File, path, info.Size())
		if same || err != nil {
			return same, err
		}
		if !force {
			return false, errSaysElse
		}
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	isNew := err != nil
	if err := draft.Sync(); err != nil {
		return false, err
	}
	if isNew { // nothing that came meanwhile is replaced
		return false, draft.Take()
	}
	return false, draft.Replace()
}

// sameAs reports whether a file has the bytes of what has a path and a size.
func sameAs(temp *os.File, path string, size int64) (bool, error) {
	info, err := temp.Stat()
	if err != nil || info.Size() != size {
		return false, err
	}
	there, err := localfile.Named(path).OpenSystem()
	if err != nil {
		return false, err
	}
	defer there.Close()
	if _, err := temp.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	return equalBytes(bufio.NewReaderSize(temp, 128<<10), bufio.NewReaderSize(there, 128<<10))
}

func equalBytes(a, b *bufio.Reader) (bool, error) {
	for {
		x, errA := a.Peek(64 << 10)
		y, errB := b.Peek(64 << 10)
		if errA != nil && errA != io.EOF || errB != nil && errB != io.EOF {
			return false, errors.Join(errA, errB)
		}
		if !bytes.Equal(x, y) {
			return false, nil
		}
		if len(x) == 0 {
			return true, nil
		}
		a.Discard(len(x))
		b.Discard(len(y))
	}
}
