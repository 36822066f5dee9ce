package transfer

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"malcolm/transfer/fetch"

	"malcolm/transfer/partfile"
)

// slowReads is a directory in which each read of a file opened for reading
// takes some time.
type slowReads struct{ partfile.FS }

func openSlowReads(root *os.Root) partfile.FS { return slowReads{partfile.Dir(root)} }

func (f slowReads) Open(name string) (partfile.Handle, error) {
	h, err := f.FS.Open(name)
	return slowHandle{h}, err
}

type slowHandle struct{ partfile.Handle }

func (h slowHandle) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(200 * time.Millisecond)
	return h.Handle.ReadAt(p, off)
}

// interruptsCheck interrupts a run while it reads the file under the final
// name. The loop is then busy with an event for longer than the rest of the
// read takes.
func interruptsCheck(cancel context.CancelCauseFunc) func(fetch.Event) {
	return func(e fetch.Event) {
		if p, ok := e.(progress); ok && p.Phase == fetch.PhasePreparing && p.Check > 0 {
			cancel(errInterrupted)
			time.Sleep(time.Second)
		}
	}
}

// cancelTries is how often a race is tried. Where the code is wrong, each try
// fails with an even chance.
const cancelTries = 16

// An interrupted check of the final file has found nothing. It does not say
// that the file is wrong.
func TestInterruptWhileHashing(t *testing.T) {
	t.Parallel()
	for range cancelTries {
		bubble(t, func(t *testing.T, w *world) {
			data := file(8*chunk, 1)
			dir := t.TempDir()
			write(t, dir, "data.bin", data)
			ctx, cancel := context.WithCancelCause(context.Background())
			o := w.getUnder(ctx, getConfig{
				Targets: w.holders(data)[0].targets, Dir: dir, Resume: true, open: openSlowReads, Events: interruptsCheck(cancel),
			})
			if o.err != errInterrupted {
				t.Errorf("error = %v, want that of the interrupt", o.err)
			}
		})
	}
}

// The file under the final name is right. An interrupted -r --force leaves the
// unfinished download of another version alone.
func TestInterruptKeepsOtherPart(t *testing.T) {
	t.Parallel()
	for range cancelTries {
		bubble(t, func(t *testing.T, w *world) {
			data, old := file(8*chunk, 1), file(8*chunk, 2)
			before := w.interrupted(0.5, getConfig{Targets: w.holders(old)[0].targets})
			write(t, before.dir, "data.bin", data)
			ctx, cancel := context.WithCancelCause(context.Background())
			o := w.getUnder(ctx, getConfig{
				Targets: w.holders(data)[0].targets, Dir: before.dir, Resume: true, Force: true, open: openSlowReads,
				Events: interruptsCheck(cancel),
			})
			if o.err != errInterrupted {
				t.Errorf("error = %v, want that of the interrupt", o.err)
			}
			if _, err := os.Stat(filepath.Join(o.dir, "data.bin.part")); err != nil {
				t.Errorf("the other version's unfinished download: %v", err)
			}
		})
	}
}

// interrupted is a run that is interrupted when a share of the file is there, 0
// to 1.
func (w *world) interrupted(share float64, cfg getConfig) *outcome {
	w.t.Helper()
	for _, t := range cfg.Targets {
		w.link(t).set(func(l *link) { l.rate = 1 << 20 })
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cfg.Events = at(share, func() { cancel(errInterrupted) })
	o := w.getUnder(ctx, cfg)
	if o.err != errInterrupted {
		w.t.Fatalf("error = %v, want that of the interrupt", o.err)
	}
	return o
}

// When less of a journal can be read the second time, chunks are fetched again.
// None is forgotten.
func TestResumeOfAJournalThatGetsShorter(t *testing.T) {
	withoutRace(t)
	t.Parallel()
	bubble(t, func(t *testing.T, w *world) {
		data := file(32*chunk, 1)
		targets := w.holders(data)[0].targets
		dir := w.interrupted(0.9, getConfig{Targets: targets}).dir
		path := filepath.Join(dir, "data.bin.part.journal")
		o := w.get(getConfig{Targets: targets, Dir: dir, Resume: true, Events: func(e fetch.Event) {
			if _, ok := e.(fetch.Started); ok {
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				b[1024+5*32] ^= 1 // of the fifth record behind the first
				write(t, dir, "data.bin.part.journal", b)
			}
		}})
		o.has("data.bin", data)
		if o.Resumed == 0 || o.Refetched == 0 {
			t.Errorf("kept %d bytes and fetched %d again, want both", o.Resumed, o.Refetched)
		}
	})
}
