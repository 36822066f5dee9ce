package transfer

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"malcolm/transfer/fetch"

	"malcolm/transfer/partfile"
)

// A hangingFS is a real directory in which one call hangs in the system until
// the test lets it go.
type hangingFS struct {
	partfile.FS
	op    string
	hangs chan struct{} // closed when a call hangs
	free  chan struct{} // closed when calls go on
	once  sync.Once
}

func newHangingFS(root *os.Root, op string) *hangingFS {
	return &hangingFS{FS: partfile.Dir(root), op: op, hangs: make(chan struct{}), free: make(chan struct{})}
}

func (f *hangingFS) step(op string) {
	if op == f.op {
		f.once.Do(func() { close(f.hangs) })
		<-f.free
	}
}

func (f *hangingFS) Lstat(name string) (partfile.Info, error) {
	f.step("lstat")
	return f.FS.Lstat(name)
}

func (f *hangingFS) Create(name string) (partfile.Handle, error) { return f.handle(f.FS.Create(name)) }

func (f *hangingFS) OpenWrite(name string) (partfile.Handle, error) {
	return f.handle(f.FS.OpenWrite(name))
}

func (f *hangingFS) SyncDir() error {
	f.step("syncdir")
	return f.FS.SyncDir()
}

func (f *hangingFS) handle(h partfile.Handle, err error) (partfile.Handle, error) {
	if err != nil {
		return nil, err
	}
	return hangingFile{h, f}, nil
}

type hangingFile struct {
	partfile.Handle
	fs *hangingFS
}

func (h hangingFile) WriteAt(p []byte, off int64) (int, error) {
	h.fs.step("write")
	return h.Handle.WriteAt(p, off)
}

func (h hangingFile) Datasync() error {
	h.fs.step("datasync")
	return h.Handle.Datasync()
}

func (h hangingFile) Sync() error {
	h.fs.step("sync")
	return h.Handle.Sync()
}

func (h hangingFile) Allocate(off, n int64) error {
	h.fs.step("allocate")
	return h.Handle.Allocate(off, n)
}

// Whichever call of the disk hangs, ^C ends the run within two seconds, and
// says where the unfinished file is.
func TestInterruptWhileTheDiskHangs(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"lstat", "allocate", "write", "datasync", "sync", "syncdir"} {
		t.Run(op, func(t *testing.T) {
			overBoth(t, func(t *testing.T, w *world) {
				data := file(16*chunk, 1)
				s := w.holders(data)[0]
				slow(1<<20, s)
				ctx, cancel := context.WithCancelCause(context.Background())
				var fsys *hangingFS
				var interrupted time.Time
				o := w.getUnder(ctx, getConfig{Targets: s.targets, open: func(root *os.Root) partfile.FS {
					fsys = newHangingFS(root, op)
					go func() {
						<-fsys.hangs
						time.Sleep(10 * time.Second)
						interrupted = time.Now()
						cancel(errInterrupted)
						time.Sleep(10 * time.Second)
						close(fsys.free)
					}()
					return fsys
				}})
				took := time.Since(interrupted)
				<-fsys.free
				synctest.Wait() // what hung is done
				if o.err != errInterrupted || took > 2*time.Second {
					t.Errorf("error %v, %v after ^C, want the interrupt within two seconds", o.err, took)
				}
				if o.Path != "" || op != "lstat" && !strings.HasSuffix(o.Part, simPart) {
					t.Errorf("path %q, part %q", o.Path, o.Part)
				}
			})
		})
	}
}

// When reserving space takes long, it is told as a phase, and ^C ends it.
func TestReservingIsTold(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(chunk, 1)
		ctx, cancel := context.WithCancelCause(context.Background())
		o := w.getUnder(ctx, getConfig{
			Targets: w.holders(data)[0].targets,
			open:    func(root *os.Root) partfile.FS { return slowReserving{partfile.Dir(root)} },
			Events: func(e fetch.Event) {
				if p, ok := e.(progress); ok && p.Phase == fetch.PhaseReserving {
					cancel(errInterrupted)
				}
			},
		})
		if o.err != errInterrupted {
			t.Errorf("error %v, want the interrupt while space was reserved", o.err)
		}
		if o.Fetched != 0 {
			t.Errorf("fetched %d bytes", o.Fetched)
		}
		time.Sleep(time.Minute) // the step under way ends, and what was made goes again
		if entries, err := os.ReadDir(o.dir); err != nil || len(entries) != 0 {
			t.Errorf("%v, %v is left, want nothing", entries, err)
		}
	})
}

type slowReserving struct{ partfile.FS }

func (f slowReserving) Create(name string) (partfile.Handle, error) {
	h, err := f.FS.Create(name)
	return slowAllocation{h}, err
}

type slowAllocation struct{ partfile.Handle }

func (h slowAllocation) Allocate(off, n int64) error {
	time.Sleep(5 * time.Second)
	return h.Handle.Allocate(off, n)
}
