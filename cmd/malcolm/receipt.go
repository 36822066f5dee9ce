package main

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"malcolm/cmd/malcolm/flags"
	"malcolm/cmd/malcolm/human"
	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
)

// A receipt is a file that gets the last event of a run, "done" or "error": who
// supplied what, and who was refused. It is written whole or not at all. It takes
// the place of an earlier receipt, behind a symbolic link too, and of nothing else.
type receipt struct{ path string }

var (
	errReceiptKind  = errors.New("is not a regular file")
	errReceiptOther = errors.New("is there and no receipt: it stays as it is")
	errReceiptOver  = errors.New("it would replace the file itself")
)

// receiptStart is what every receipt begins with.
const receiptStart = `{"event":"`

// A lateReceiptError says that the file is there, and its receipt is not.
type lateReceiptError struct {
	path string // of the file
	err  error
}

func (e *lateReceiptError) Error() string { return e.err.Error() }

func (e *lateReceiptError) Unwrap() error { return e.err }

// openReceipt finds out, before anything else is done, whether path can be
// written to; an empty path asks for no receipt.
func (t *terminal) openReceipt(path flags.Path) error {
	if path == "" {
		return nil
	}
	if strings.HasSuffix(string(path), partfile.PartSuffix) || strings.HasSuffix(string(path), partfile.JournalSuffix) {
		return usage("--receipt " + human.Quote(string(path)) + ": that ending is for unfinished files")
	}
	r := &receipt{string(path)}
	if info, err := os.Stat(r.path); err == nil && !info.Mode().IsRegular() {
		return r.failure(errReceiptKind) // to open it may wait, or do something
	}
	temp, _, err := r.create()
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
	return &localfile.Error{Op: "write the receipt", Path: r.path, Err: err}
}

// create makes a new file beside the receipt, with the rights of an earlier one,
// and returns the path that it is to get.
func (r *receipt) create() (temp *os.File, path string, err error) {
	path = r.path
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	old, err := os.Open(path)
	if err == nil {
		defer old.Close()
		err = checkReceipt(old)
	} else if errors.Is(err, fs.ErrNotExist) {
		old, err = nil, nil
	}
	if err != nil {
		return nil, path, r.failure(err)
	}
	name := "." + filepath.Base(path) + "." + strconv.FormatUint(rand.Uint64(), 36)
	temp, err = os.OpenFile(filepath.Join(filepath.Dir(path), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err == nil && old != nil {
		if err = partfile.GiveAccessOf(old, temp); err != nil {
			temp.Close()
			os.Remove(temp.Name())
		}
	}
	if err != nil {
		return nil, path, r.failure(err)
	}
	return temp, path, nil
}

// checkReceipt fails unless an open file is a receipt, or empty.
func checkReceipt(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errReceiptKind
	}
	start := make([]byte, len(receiptStart))
	if n, _ := io.ReadFull(f, start); n > 0 && string(start[:n]) != receiptStart {
		return errReceiptOther
	}
	return nil
}

// write puts an event in the receipt's place.
func (r *receipt) write(event any) error {
	temp, path, err := r.create()
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
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		os.Remove(temp.Name())
		return r.failure(err)
	}
	return nil
}

// handIn writes the receipt of a run that has its file, if one is asked for. That
// it cannot be written does not hide the file.
func (t *terminal) handIn(o outcome) outcome {
	if t.receipt == nil || o.err != nil || o.got == nil {
		return o
	}
	err := t.receipt.failure(errReceiptOver)
	if !isSameFile(t.receipt.path, o.got.Path) {
		err = t.receipt.write(doneOf(o.got))
	}
	if err != nil {
		t.receipt = nil // no second try for the error
		o.late = &lateReceiptError{path: o.got.Path, err: err}
	}
	return o
}

func isSameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
