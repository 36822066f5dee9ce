package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"malcolm/transfer/pace"
	"malcolm/transfer/partfile"
)

// slowReads is a directory in which each read of a file that is only read takes its time.
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

// interruptsCheck interrupts a run while it reads what has the final name, at a moment when the loop is busy telling of
// it for longer than the read then takes to end.
func interruptsCheck(cancel context.CancelCauseFunc) func(GetEvent) {
	return func(e GetEvent) {
		if p, ok := e.(Progress); ok && p.Phase == PhasePreparing && p.Check > 0 {
			cancel(errInterrupted)
			time.Sleep(time.Second)
		}
	}
}

// cancelTries is how often a race is tried whose two outcomes are equally likely where it is lost.
const cancelTries = 16

// What an interrupted check of the final file has found is nothing, and not that the file is wrong.
func TestInterruptWhileHashing(t *testing.T) {
	for range cancelTries {
		bubble(t, func(t *testing.T, w *world) {
			data := file(8*chunk, 1)
			dir := t.TempDir()
			write(t, dir, "data.bin", data)
			ctx, cancel := context.WithCancelCause(context.Background())
			o := w.getUnder(ctx, GetConfig{
				Targets: w.holders(data)[0].targets, Dir: dir, Resume: true, open: openSlowReads, Events: interruptsCheck(cancel),
			})
			if o.err != errInterrupted {
				t.Errorf("error = %v, want that of the interrupt", o.err)
			}
		})
	}
}

// An interrupted -r --force leaves the unfinished download of another version alone, when the file that has the final
// name is the right one.
func TestInterruptKeepsOtherPart(t *testing.T) {
	for range cancelTries {
		bubble(t, func(t *testing.T, w *world) {
			data, old := file(8*chunk, 1), file(8*chunk, 2)
			before := w.interrupted(0.5, GetConfig{Targets: w.holders(old)[0].targets})
			write(t, before.dir, "data.bin", data)
			ctx, cancel := context.WithCancelCause(context.Background())
			o := w.getUnder(ctx, GetConfig{
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

// interrupted is a run that is interrupted when a share of the file is there.
func (w *world) interrupted(share float64, cfg GetConfig) *outcome {
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

// What runs beside the loop ends when the run has failed, and its error is the run's.
func TestDoEndsWithTheRun(t *testing.T) {
	broken := errors.New("broken")
	bubble(t, func(t *testing.T, w *world) {
		g := newGetting(context.Background(), GetConfig{Targets: w.nextTargets(1), Network: w})
		ctx, c := g.begin(context.Background())
		defer g.end(c)
		begun := time.Now()
		time.AfterFunc(time.Minute, func() { g.post(func() { g.fail(broken) }) })
		err := g.do(ctx, c, func(ctx context.Context) error {
			for range 60 {
				if err := pace.Sleep(ctx, time.Minute); err != nil {
					return fmt.Errorf("a consequence: %w", err)
				}
			}
			return nil
		})
		if took := time.Since(begun); err != broken || took > 2*time.Minute {
			t.Errorf("error %v after %v, want that of the run at once", err, took)
		}
	})
}

// What is finished when the run has failed does not count.
func TestDoAfterTheEnd(t *testing.T) {
	for range cancelTries {
		bubble(t, func(t *testing.T, w *world) {
			g := newGetting(context.Background(), GetConfig{Targets: w.nextTargets(1), Network: w})
			ctx, cancel := context.WithCancelCause(context.Background())
			ctx, c := g.begin(ctx)
			defer g.end(c)
			time.AfterFunc(time.Second, func() {
				g.post(func() { cancel(errInterrupted); time.Sleep(time.Second) })
			})
			if err := g.do(ctx, c, func(ctx context.Context) error { <-ctx.Done(); return nil }); err != errInterrupted {
				t.Errorf("error %v, want that of the interrupt", err)
			}
		})
	}
}

// A journal of which less can be read the second time has chunks fetched again, and does not have them forgotten.
func TestResumeOfAJournalThatGetsShorter(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(32*chunk, 1)
		targets := w.holders(data)[0].targets
		dir := w.interrupted(0.9, GetConfig{Targets: targets}).dir
		path := filepath.Join(dir, "data.bin.part.journal")
		o := w.get(GetConfig{Targets: targets, Dir: dir, Resume: true, Events: func(e GetEvent) {
			if _, ok := e.(Started); ok {
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
