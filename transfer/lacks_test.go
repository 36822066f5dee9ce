package transfer

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"malcolm/transfer/fetch"

	"malcolm/transfer/partfile"
)

// A poorFS is a directory on a file system without exclusive renames, links,
// locks and times. HPC file systems, shared folders of virtual machines and
// mounted object stores are like that.
type poorFS struct{ partfile.FS }

func (poorFS) RenameNoReplace(from, to string) error     { return errors.ErrUnsupported }
func (poorFS) Link(from, to string) error                { return syscall.EPERM }
func (poorFS) SetModTime(name string, _ time.Time) error { return syscall.EPERM }

func (f poorFS) Create(name string) (partfile.Handle, error) { return poorOpened(f.FS.Create(name)) }

func (f poorFS) OpenWrite(name string) (partfile.Handle, error) {
	return poorOpened(f.FS.OpenWrite(name))
}

func poorOpened(h partfile.Handle, err error) (partfile.Handle, error) {
	if err != nil {
		return nil, err
	}
	return poorFile{h}, nil
}

type poorFile struct{ partfile.Handle }

func (poorFile) Lock() (bool, error) { return false, syscall.ENOSYS }

// What a file system lacks is told, before the first byte if it is known by
// then. The file arrives all the same, also after an interrupt.
func TestLacksOfTheFileSystemAreTold(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(8*chunk, 1)
		s := w.holders(data)[0]
		slow(300<<10, s)
		cfg := getConfig{
			Targets: s.targets, Dir: t.TempDir(), Resume: true, RemoteTime: true,
			open: func(root *os.Root) partfile.FS { return poorFS{partfile.Dir(root)} },
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		first := cfg
		first.Events = at(0.5, func() { cancel(errInterrupted) })
		o := w.getUnder(ctx, first)
		if o.Part == "" {
			t.Fatalf("error %v, nothing is kept", o.err)
		}
		o = w.get(cfg)
		o.has(simName, data)
		if o.Resumed == 0 {
			t.Error("nothing was resumed")
		}
		var got []partfile.Comfort
		started := false
		for _, e := range o.events {
			switch e := e.Event.(type) {
			case fetch.Started:
				started = true
			case fetch.Lacks:
				got = append(got, e.Comfort)
				if late := e.Comfort == partfile.Times; late != started {
					t.Errorf("told of %d, started: %t", e.Comfort, started)
				}
			}
		}
		if want := []partfile.Comfort{partfile.Locks, partfile.ExclusiveNames, partfile.Times}; !slices.Equal(got, want) {
			t.Errorf("told of %v, want %v", got, want)
		}
	})
}
