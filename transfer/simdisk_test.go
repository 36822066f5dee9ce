package transfer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"malcolm/transfer/partfile"
	"malcolm/transfer/partfile/crashfs"
)

// simFS is a simulated disk as a partfile.FS.
type simFS struct{ *crashfs.Disk }

func (s simFS) Lstat(name string) (partfile.Info, error) {
	info, err := s.Disk.Lstat(name)
	return simInfo(info, err)
}

func (s simFS) Create(name string) (partfile.Handle, error) { return simOpened(s.Disk.Create(name)) }

func (s simFS) Open(name string) (partfile.Handle, error) { return simOpened(s.Disk.Open(name)) }

func (s simFS) OpenWrite(name string) (partfile.Handle, error) {
	return simOpened(s.Disk.OpenWrite(name))
}

type simFile struct{ *crashfs.File }

func (f simFile) Stat() (partfile.Info, error) { return simInfo(f.File.Stat()) }

func simOpened(f *crashfs.File, err error) (partfile.Handle, error) {
	if err != nil {
		return nil, err
	}
	return simFile{f}, nil
}

func simInfo(info crashfs.Info, err error) (partfile.Info, error) {
	if err != nil {
		return partfile.Info{}, err
	}
	return partfile.Info{
		Kind: partfile.Regular, Size: info.Size, Allocated: info.Allocated, Links: info.Links, ID: partfile.ID{File: info.ID},
	}, nil
}

const (
	simName    = "data.bin"
	simPart    = simName + partfile.PartSuffix
	simJournal = simName + partfile.JournalSuffix
)

// simSector is short enough to tear journal records apart.
const simSector = 32

// A simDisk is a simulated disk that is watched while Get writes data.bin to
// it.
type simDisk struct {
	*crashfs.Disk
	t    *testing.T
	dir  string // a real directory, in which nothing is ever written
	data []byte
	old  []byte // what the final name held before; nil: nothing

	mu    sync.Mutex
	front map[int]int64     // bytes at the front of a chunk that were written without a gap
	done  map[int]time.Time // when the last byte of a chunk was written, all of it being right
	cut   string            // the operation in which the power failed last
	off   bool              // the power has failed since the last run began
	wrong bool              // the final name held wrong bytes
}

// newSimDisk returns an empty disk, or one that holds old under the final name.
func newSimDisk(t *testing.T, data, old []byte, choose func(n int) int) *simDisk {
	d := &simDisk{
		Disk: crashfs.New(simSector, choose), t: t, dir: t.TempDir(), data: data, old: old,
		front: map[int]int64{}, done: map[int]time.Time{},
	}
	if old != nil {
		d.Put(simName, old)
	}
	d.After = d.watch
	return d
}

// open is for [GetConfig.open].
func (d *simDisk) open(*os.Root) partfile.FS { return simFS{d.Disk} }

// changes are the operations that may change what the final name holds.
var changes = map[string]bool{
	"create": true, "truncate": true, "allocate": true, "forget": true, "datasync": true, "sync": true,
	"renamenoreplace": true, "rename": true, "link": true, "remove": true, "syncdir": true,
}

// watch sees every operation.
func (d *simDisk) watch(o crashfs.Operation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.off && errors.Is(o.Err, crashfs.ErrPower) {
		d.cut, d.off = o.Op, true
	}
	if changes[o.Op] && !d.finalIsFine() {
		d.wrong = true
	}
	if !isData(o.Op, o.Name) || o.Err != nil {
		return
	}
	c := int(o.Off / chunk)
	at := o.Off - int64(c)*chunk
	if at == 0 {
		d.front[c] = 0
	}
	if at <= d.front[c] {
		d.front[c] = at + int64(o.N)
	}
	if whole := d.chunk(c); d.front[c] == int64(len(whole)) && d.Holds(simPart, int64(c)*chunk, whole) {
		d.done[c] = time.Now()
	}
}

func (d *simDisk) chunk(c int) []byte { return d.data[c*chunk : min((c+1)*chunk, len(d.data))] }

// holdsAll reports whether the final name holds the right file.
func (d *simDisk) holdsAll() bool { return d.Is(simName, d.data) }

// finalIsFine reports whether the final name holds what it may hold.
func (d *simDisk) finalIsFine() bool {
	if d.old == nil {
		return !d.Exists(simName) || d.holdsAll()
	}
	return d.Is(simName, d.old) || d.holdsAll()
}

// inspect returns what is wrong on the disk after a crash. kept are the chunks
// that the next run must find.
func (d *simDisk) inspect(h partfile.Header, kept map[int]bool) error {
	switch {
	case d.wrong || !d.finalIsFine():
		return errors.New("the final name held wrong bytes")
	case d.holdsAll():
		return nil
	}
	fsys := simFS{d.Disk}
	found, err := partfile.Look(fsys, simName)
	switch {
	case err != nil:
		return err
	case found.PartSize > 0 && found.Journal != partfile.JournalUsable:
		return fmt.Errorf("the part file has %d bytes before its journal is there", found.PartSize)
	}
	claims, err := d.claims(h)
	for c := range claims {
		if !d.Holds(simPart, int64(c)*chunk, d.chunk(c)) {
			return fmt.Errorf("the journal claims chunk %d, which is not right", c)
		}
	}
	for c := range kept {
		if !claims[c] {
			return fmt.Errorf("the journal does not claim chunk %d, which was complete long ago", c)
		}
	}
	return err
}

// claims are the chunks that the journal on this disk claims.
func (d *simDisk) claims(h partfile.Header) (map[int]bool, error) {
	f, err := partfile.Open(context.Background(), simFS{d.Disk}, partfile.Options{
		Name: simName, Size: h.Size, ChunkSize: h.ChunkSize, Checksum: h.Checksum, Action: partfile.Resume,
	})
	if err != nil {
		return nil, err
	}
	defer f.Close()
	claims := make(map[int]bool)
	for c := range f.Chunks() {
		if f.Claimed(c) {
			claims[c] = true
		}
	}
	return claims, nil
}

// copy returns a copy of the disk that nobody watches.
func (d *simDisk) copy() *simDisk {
	return &simDisk{Disk: d.Clone(), data: d.data, old: d.old, wrong: d.wrong}
}

// settled ends the watch over a run. It returns the chunks that were complete
// for the time of a checkpoint.
func (d *simDisk) settled() (chunks []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c, when := range d.done {
		if time.Since(when) > checkpointTime {
			chunks = append(chunks, c)
		}
	}
	d.off = false
	clear(d.done)
	clear(d.front)
	slices.Sort(chunks)
	return chunks
}

func (d *simDisk) bytesOf(chunks map[int]bool) (n int64) {
	for c := range chunks {
		n += int64(len(d.chunk(c)))
	}
	return n
}

// resumed sets the chunks that the next run begins with.
func (d *simDisk) resumed(chunks map[int]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range chunks {
		d.done[c] = time.Now()
	}
}

// isData reports whether an operation writes the file's bytes. All others are
// few.
func isData(op, name string) bool { return op == "write" && name == simPart }
