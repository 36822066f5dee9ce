package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"malcolm/transfer/fetch"

	"malcolm/transfer/partfile"
)

// A run with --recheck and a SHA-256 reads each byte back once for each.
func TestReadBack(t *testing.T) {
	for _, size := range []int{0, 1, chunk, 3*chunk + 5} {
		bubble(t, func(t *testing.T, w *world) {
			data := file(size, 1)
			sum := sha256.Sum256(data)
			var read atomic.Int64
			o := w.get(getConfig{
				Targets: w.holders(data)[0].targets, Recheck: true, SHA256: &sum,
				open: plainDir(func(p []byte, _ int64) error {
					read.Add(int64(len(p)))
					return nil
				}),
			})
			o.has(localName, data)
			if e, _ := only[fetch.ReadingBack](o); e.Size != int64(size) {
				t.Errorf("event = %+v, want all %d bytes", e, size)
			}
			if got, want := read.Load(), int64(2*size); got != want {
				t.Errorf("%d bytes were read, want %d: once for each", got, want)
			}
		})
	}
}

// Nothing is read back unless the user asks for it.
func TestNoReadBack(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(2*chunk, 1)
		o := w.get(getConfig{Targets: w.holders(data)[0].targets, open: plainDir(func([]byte, int64) error {
			return errors.New("nobody asked for that")
		})})
		o.has(localName, data)
		none[fetch.ReadingBack](o)
	})
}

// Recheck finds a disk that returns other bytes than were written, and the file
// does not get its name. The next run reads again and decides.
func TestRecheckFindsDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(5*chunk, 1)
		s := w.holders(data)[0]
		o := w.get(getConfig{Targets: s.targets, Recheck: true, open: plainDir(func(p []byte, off int64) error {
			if c := off / chunk; c == 1 || c == 4 {
				p[0] ^= 1
			}
			return nil
		})})
		if e := fails[*fetch.FinishedError](o, fetch.KindIntegrity); e.Bad != 2 || e.SHA256 != nil {
			t.Errorf("error = %+v, want two chunks", e)
		}
		o.lists(localName+partfile.PartSuffix, localName+partfile.JournalSuffix)
		none[fetch.Finishing](o)
		o = w.get(getConfig{Targets: s.targets, Dir: o.dir, Resume: true, Recheck: true})
		o.has(localName, data)
		if o.Resumed != o.Size {
			t.Errorf("kept %d, want all of it: the disk is well again", o.Resumed)
		}
	})
}

// A file with another SHA-256 than the user named does not get its name.
func TestWrongSHA256(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(3*chunk, 1)
		o := w.get(getConfig{Targets: w.holders(data)[0].targets, SHA256: new([32]byte)})
		e := fails[*fetch.FinishedError](o, fetch.KindIntegrity)
		if e.SHA256 == nil || *e.SHA256 != sha256.Sum256(data) {
			t.Errorf("error = %+v, want the file's own SHA-256", e)
		}
		o.lists(localName+partfile.PartSuffix, localName+partfile.JournalSuffix)
		if o.Part == "" {
			t.Error("no word of the part file")
		}
	})
}

// An error while the file is read back ends the run, and the part file stays.
func TestReadBackErrors(t *testing.T) {
	sum := sha256.Sum256(file(3*chunk, 1))
	for name, cfg := range map[string]getConfig{"recheck": {Recheck: true}, "SHA-256": {SHA256: &sum}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				cfg.Targets = w.holders(file(3*chunk, 1))[0].targets
				cfg.open = plainDir(func(p []byte, off int64) error {
					if off+int64(len(p)) > 2*chunk {
						return &os.PathError{Op: "read", Path: "other", Err: syscall.EIO}
					}
					return nil
				})
				o := w.get(cfg)
				e := fails[*partfile.Error](o, fetch.KindLocal)
				if e.Op != "read" || e.Name != o.Part || !errors.Is(e, syscall.EIO) {
					t.Errorf("error = %v, want that of reading %q", e, o.Part)
				}
			})
		})
	}
}

// ^C while the file is read back ends the run, and the part file stays.
func TestReadBackInterrupted(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256(file(6*chunk, 1))
	for name, cfg := range map[string]getConfig{"recheck": {Recheck: true}, "SHA-256": {SHA256: &sum}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				data := file(6*chunk, 1)
				ctx, cancel := context.WithCancelCause(context.Background())
				cfg.Targets = w.holders(data)[0].targets
				cfg.Events = func(e fetch.Event) {
					if _, ok := e.(fetch.ReadingBack); ok {
						cancel(errInterrupted)
					}
				}
				o := w.getUnder(ctx, cfg)
				if o.err != errInterrupted || o.Path != "" || o.Part == "" {
					t.Errorf("error %v, path %q, part %q, want the part kept", o.err, o.Path, o.Part)
				}
			})
		})
	}
}

// The error of a finished file says what is wrong with it.
func TestFinishedErrorSaysWhatIsWrong(t *testing.T) {
	sum := [32]byte{0xab}
	for _, test := range []struct {
		err  fetch.FinishedError
		want string
	}{
		{fetch.FinishedError{Bad: 1}, "1 chunk comes back from the disk with other bytes than were written"},
		{fetch.FinishedError{Bad: 2}, "2 chunks come back from the disk with other bytes than were written"},
		{fetch.FinishedError{SHA256: &sum}, "the file that the servers agree on has another SHA-256: ab00000000000000000000000000000000000000000000000000000000000000"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
