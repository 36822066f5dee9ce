//go:build unix

package transfer

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"malcolm/transfer/fetch"

	"malcolm/transfer/partfile"
	"malcolm/transfer/partfile/crashfs"
)

// failNth lets the n-th operation op on name fail. It reports whether one has.
func failNth(op, name string, n int, err error) (fail func(op, name string) error, failed *bool) {
	failed = new(bool)
	return func(got, of string) error {
		if got != op || name != "" && of != name {
			return nil
		}
		if n--; n == 0 {
			*failed = true
			return err
		}
		return nil
	}, failed
}

// Each operation of the disk fails in turn. Either get ends with a local error
// or it does not need that operation. It keeps what was recorded, and the next
// run completes the file.
func TestDiskErrors(t *testing.T) {
	short := &crashfs.Short{Err: nil}
	full := &crashfs.Short{Err: syscall.ENOSPC}
	for _, test := range []struct {
		op, name string
		err      error
		nth      []int
		fails    bool // get cannot go on without it
	}{
		{"write", simPart, syscall.EIO, []int{1, 2, 40}, true},
		{"write", simPart, short, []int{1, 7}, true},
		{"write", simPart, full, []int{1, 9}, true},
		{"write", simJournal, syscall.EIO, []int{1, 2, 3}, true},
		{"write", simJournal, short, []int{1, 2, 3}, true},
		{"write", simJournal, full, []int{1, 2}, true},
		{"datasync", simPart, syscall.EIO, []int{1, 2}, true},
		{"datasync", simJournal, syscall.EIO, []int{1, 2}, true},
		{"sync", simJournal, syscall.EIO, []int{1}, true},
		{"sync", simPart, syscall.EIO, []int{1}, true},
		{"allocate", simPart, syscall.ENOSPC, []int{1}, true},
		{"allocate", simPart, errors.ErrUnsupported, []int{1}, false},
		{"create", simPart, fs.ErrPermission, []int{1}, true},
		{"create", simJournal, syscall.EROFS, []int{1}, true},
		{"lock", simPart, syscall.ENOLCK, []int{1}, false},
		{"lock", simPart, syscall.EIO, []int{1}, true},
		{"renamenoreplace", simName, syscall.EIO, []int{1}, true},
		{"renamenoreplace", simName, errors.ErrUnsupported, []int{1}, false},
		{"syncdir", "", syscall.EIO, []int{1, 2}, true},
		{"remove", simJournal, syscall.EACCES, []int{1}, false},
		{"close", "", syscall.EIO, []int{1, 2}, false},
	} {
		if raceEnabled {
			test.nth = test.nth[:1]
		}
		for _, nth := range test.nth {
			t.Run(fmt.Sprintf("%s %s %d %v", test.op, test.name, nth, test.err), func(t *testing.T) {
				t.Parallel()
				bubble(t, func(t *testing.T, w *world) {
					fail, failed := failNth(test.op, test.name, nth, test.err)
					testDiskError(t, w, fail, failed, test.fails)
				})
			})
		}
	}
}

func testDiskError(t *testing.T, w *world, fail func(op, name string) error, failed *bool, fails bool) {
	c := newCrasher(t, w, 0)
	d := newSimDisk(t, c.data, nil, rand.New(rand.NewPCG(1, 1)).IntN)
	d.Fail = fail
	o := c.get(d, false)
	if !*failed {
		t.Fatal("the operation was not tried")
	}
	kept := make(map[int]bool)
	for _, chunk := range d.settled() {
		kept[chunk] = true
	}
	if !fails {
		if o.err != nil {
			t.Fatalf("error = %v, want none", o.err)
		}
		c.check(d, o, nil, "at the end")
		return
	}
	var disk *partfile.Error
	if !errors.As(o.err, &disk) || fetch.KindOf(o.err) != fetch.KindLocal || !strings.HasPrefix(disk.Name, "/simulated") {
		t.Errorf("error = %v, want one of the disk with its path", o.err)
	}
	if o.Path != "" && o.Part != "" {
		t.Errorf("path = %q, part = %q, want one of them", o.Path, o.Part)
	}
	d.Kill() // without the fault
	c.complete(d, kept, "after the error")
}

// A short write is an error, even if the system returned none.
func TestShortWrite(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		c := newCrasher(t, w, 0)
		d := newSimDisk(t, c.data, nil, c.rng.IntN)
		d.Fail, _ = failNth("write", simPart, 5, &crashfs.Short{})
		if o := c.get(d, false); !errors.Is(o.err, io.ErrShortWrite) {
			t.Errorf("error = %v, want %v", o.err, io.ErrShortWrite)
		}
	})
}

// The disk fills up while a file without reserved space arrives. Get stops
// within one chunk, says where and how many bytes are missing, and keeps what
// is good. With more room the next run completes the file.
func TestFullDisk(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		data := file(6*chunk+1, 1)
		s := w.holders(data, data)
		d := newSimDisk(t, data, nil, rand.New(rand.NewPCG(1, 1)).IntN)
		d.Capacity = 3*chunk + 50<<10
		var mu sync.Mutex
		refused := false
		var after int64 // bytes that were written since the disk was full
		d.After = func(o crashfs.Operation) {
			d.watch(o)
			mu.Lock()
			defer mu.Unlock()
			if refused && o.Op == "write" && o.Name == simPart {
				after += int64(o.N)
			}
			refused = refused || errors.Is(o.Err, syscall.ENOSPC)
		}
		cfg := getConfig{Targets: targetsOf(s...), SkipPreallocate: true, SkipSpaceCheck: true, Dir: d.dir, open: d.open}
		o := w.get(cfg)
		disk := fails[*partfile.Error](o, fetch.KindLocal)
		part := d.Path(simPart)
		if disk.Reason != partfile.NoSpace || disk.Name != part || !errors.Is(disk, syscall.ENOSPC) || o.Part != part {
			t.Errorf("error = %+v of %q, want no space in %q", disk, disk.Name, part)
		}
		if want := int64(len(data)) - d.Capacity; disk.Need < want || disk.Need > want+chunk || disk.Have >= disk.Need {
			t.Errorf("needs %d, has %d, want about %d", disk.Need, disk.Have, want)
		}
		if after > chunk {
			t.Errorf("%d bytes were written to a full disk, want at most a chunk", after)
		}
		kept := o.Fetched
		if o.lists(); kept == 0 {
			t.Error("nothing was fetched before the disk was full")
		}
		d.Capacity = 0
		cfg.Resume = true
		if o := w.get(cfg); o.err != nil || !d.holdsAll() || o.Resumed < kept {
			t.Errorf("then: error %v, resumed %d, want %d", o.err, o.Resumed, kept)
		}
	})
}

// Too little room is found out before a byte is fetched.
func TestTooLittleRoomIsFoundFirst(t *testing.T) {
	for _, skip := range []bool{false, true} { // the check finds out, or the reservation
		bubble(t, func(t *testing.T, w *world) {
			data := file(3*chunk, 1)
			s := w.holders(data)[0]
			d := newSimDisk(t, data, nil, rand.New(rand.NewPCG(1, 1)).IntN)
			d.Capacity = 2 * chunk
			o := w.get(getConfig{Targets: s.targets, Dir: d.dir, open: d.open, SkipSpaceCheck: skip})
			disk := fails[*partfile.Error](o, fetch.KindLocal)
			if disk.Reason != partfile.NoSpace || disk.Need < chunk || disk.Have > 2*chunk || disk.Have >= disk.Need {
				t.Errorf("error = %+v, want what is missing", disk)
			}
			if s.src.sent() > 0 || d.Exists(simPart) || d.Exists(simJournal) {
				t.Errorf("%d bytes were sent, part %t, journal %t, want none", s.src.sent(), d.Exists(simPart), d.Exists(simJournal))
			}
		})
	}
}
