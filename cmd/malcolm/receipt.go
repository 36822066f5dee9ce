package main

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"malcolm/cmd/malcolm/flags"
	"malcolm/transfer"
	"malcolm/transfer/partfile"
)

// A receipt is a file that gets the last event of a run, "done" or "error": who
// supplied what, and who was refused. It is written whole or not at all.
type receipt struct{ path string }

var (
	errReceiptKind = errors.New("is not a regular file")
	errReceiptOver = errors.New("it would replace the file itself")
)

// openReceipt finds out, before anything else is done, whether path can be
// written to; an empty path asks for no receipt.
func (t *terminal) openReceipt(path flags.Path) error {
	if path == "" {
		return nil
	}
	if strings.HasSuffix(string(path), partfile.PartSuffix) || strings.HasSuffix(string(path), partfile.JournalSuffix) {
		return usage("--receipt " + quotePeer(string(path)) + ": that ending is for unfinished files")
	}
	r := &receipt{string(path)}
	temp, err := r.create()
	if err != nil {
		return err
	}
	temp.Close()
	if err := os.Remove(temp.Name()); err != nil {
		return r.failure(err)
	}
	t.receipt = r
	return nil
}

func (r *receipt) failure(err error) error {
	return &transfer.FileError{Op: "write the receipt", Path: r.path, Err: err}
}

// create makes a new file beside the receipt.
func (r *receipt) create() (*os.File, error) {
	if info, err := os.Stat(r.path); err == nil && !info.Mode().IsRegular() {
		return nil, r.failure(errReceiptKind)
	}
	name := "." + filepath.Base(r.path) + "." + strconv.FormatUint(rand.Uint64(), 36)
	temp, err := os.OpenFile(filepath.Join(filepath.Dir(r.path), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, r.failure(err)
	}
	return temp, nil
}

// write puts an event in the receipt's place.
func (r *receipt) write(event any) error {
	temp, err := r.create()
	if err != nil {
		return err
	}
	_, err = temp.Write(marshalEvent(event))
	if err == nil {
		err = temp.Sync()
	}
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(temp.Name(), r.path)
	}
	if err != nil {
		os.Remove(temp.Name())
		return r.failure(err)
	}
	return nil
}

// handIn writes the receipt of a run that has its file, if one is asked for. It
// returns the outcome with what went wrong then.
func (t *terminal) handIn(o outcome) outcome {
	if t.receipt == nil || o.err != nil || o.got == nil {
		return o
	}
	if isSameFile(t.receipt.path, o.got.Path) {
		o.err = t.receipt.failure(errReceiptOver)
	} else {
		o.err = t.receipt.write(doneOf(o.got))
	}
	if o.err != nil {
		t.receipt = nil // no second try for the error
	}
	return o
}

func isSameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
