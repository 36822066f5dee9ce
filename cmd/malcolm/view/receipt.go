package view

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"malcolm/transfer/localfile"
	"malcolm/transfer/partfile"
)

// A Receipt is a file that gets the last event of a run, "done" or "error": who
// supplied what, and who was refused. It is written whole or not at all. It
// replaces an earlier receipt, also one behind a symbolic link, and nothing
// else.
type Receipt struct{ path string }

var (
	errReceiptKind  = errors.New("is not a regular file")
	errReceiptOther = errors.New("is there and no receipt: it stays as it is")
	errReceiptOver  = errors.New("it would replace the file itself")
)

// receiptStart is the beginning of every receipt.
const receiptStart = `{"event":"`

// OpenReceipt finds out, before anything else is done, whether path can be
// written. All errors of a Receipt are of type [*localfile.Error].
func OpenReceipt(path string) (*Receipt, error) {
	r := &Receipt{path}
	if info, err := os.Stat(r.path); err == nil && !info.Mode().IsRegular() {
		return nil, r.failure(errReceiptKind) // opening it may wait, or do something
	}
	draft, err := r.draft()
	if err != nil {
		return nil, err
	}
	draft.Discard()
	return r, nil
}

func (r *Receipt) failure(err error) error {
	return &localfile.Error{Op: "write the receipt", Path: r.path, Err: err}
}

// draft makes a new file beside the receipt, with the permissions of an
// earlier one.
func (r *Receipt) draft() (*localfile.Draft, error) {
	path := localfile.Behind(r.path)
	old, err := os.Open(path)
	if err == nil {
		defer old.Close()
		err = checkReceipt(old)
	} else if errors.Is(err, fs.ErrNotExist) {
		old, err = nil, nil
	}
	if err != nil {
		return nil, r.failure(err)
	}
	draft, err := localfile.NewDraft(path, 0o666)
	if err != nil {
		return nil, r.failure(err)
	}
	if old != nil {
		if err := partfile.GiveAccessOf(old, draft.File); err != nil {
			draft.Discard()
			return nil, r.failure(err)
		}
	}
	return draft, nil
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

// Write puts an event in the receipt's place.
func (r *Receipt) Write(e Event) error {
	draft, err := r.draft()
	if err != nil {
		return err
	}
	defer draft.Discard()
	_, err = draft.Write(Line(e))
	if err == nil {
		err = draft.Sync()
	}
	if err == nil {
		err = draft.Replace()
	}
	if err != nil {
		return r.failure(err)
	}
	return nil
}

// Done writes the receipt of a run that has its file or directory.
func (r *Receipt) Done(o Outcome) error {
	if isSameFile(r.path, o.Got.Path) {
		return r.failure(errReceiptOver)
	}
	return r.Write(doneOf(o))
}

func isSameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
