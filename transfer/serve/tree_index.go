package serve

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/manifest"
	"malcolm/transfer/scan"
	"malcolm/wire"
)

// A treeIndex makes the versions of a tree, and holds the current and the
// previous one. It scans when somebody asks, or when a file was found changed.
// One goroutine runs it, any other may ask.
type treeIndex struct {
	scanned // of the goroutine that runs it; rescan under mu
	tell    func(Event)
	making  scan.Progress
	times   indexTimes
	recheck rechecks
	open    *openFiles
	told    // of the goroutine that runs it

	mu   sync.Mutex
	next *scanned // what to scan from now on; nil: the same
	treeVersions
	failed error         // why there is no current one; nil while it is being made
	ready  chan struct{} // closed when current or failed is set
	scans  scans
	wake   chan struct{} // receives when a scan may be due
}

// told is what was told.
type told struct {
	left    scan.LeftOut
	numbers bool // that they are not stable
}

// treeVersions are those that an index holds.
type treeVersions struct {
	current  *treeVersion // nil before there is one
	previous *treeVersion // the one before, nil when nobody asks for it any more
	base     *treeVersion // the last one that was made, which the next scan is compared with
}

// scans say when the next scan is due.
type scans struct {
	last   time.Time     // the end of the last one
	ended  chan struct{} // closed at the end of the one that is asked for; nil: none is
	soon   bool          // a file of the current version has changed
	doubts []string      // paths that are to be hashed anew
}

func newTreeIndex(t *Tree, name string, tell func(Event)) *treeIndex {
	return &treeIndex{
		scanned: t.scanned(name), tell: tell, open: newOpenFiles(),
		ready: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// use adds a user of a version.
func (ix *treeIndex) use(t *treeVersion) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	t.users++
}

// leave ends one use of a version; it may be nil.
func (ix *treeIndex) leave(t *treeVersion) {
	if t == nil {
		return
	}
	ix.mu.Lock()
	t.users--
	last := t.users == 0
	ix.mu.Unlock()
	if last {
		t.snapshot.Close()
	}
}

// acquire returns the version of the listing. A scan that is due is awaited, at
// most for a second.
func (ix *treeIndex) acquire(ctx context.Context) (*version, <-chan struct{}, error) {
	if ended := ix.ask(); ended != nil {
		late := time.NewTimer(nameCheckTime)
		defer late.Stop()
		select {
		case <-ended:
		case <-late.C:
		case <-ctx.Done():
		}
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if t := ix.current; t != nil {
		t.asked = time.Now()
		return t.listing, nil, nil
	}
	return nil, ix.ready, ix.failed
}

// ask asks for a scan if one is due, and returns what is closed at its end.
func (ix *treeIndex) ask() <-chan struct{} {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	s := &ix.scans
	if ix.current != nil && s.ended == nil && time.Since(s.last) >= ix.rescan {
		s.ended = make(chan struct{})
		ix.rouse()
	}
	return s.ended
}

// rouse has the goroutine that runs the index look for work.
func (ix *treeIndex) rouse() {
	select {
	case ix.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// hold returns the bytes with a checksum: a listing, a list of times, or a file
// of the current version or the one before.
func (ix *treeIndex) hold(checksum [32]byte) (*version, *wire.Refusal) {
	why := notHeld(ix.times.offered.Load())
	for _, t := range ix.versions() {
		defer ix.leave(t)
		v, refusal := ix.holdOf(t, checksum)
		if v != nil {
			ix.mu.Lock()
			t.asked = time.Now()
			ix.mu.Unlock()
			return v, nil
		}
		if refusal != nil && why.Status != wire.StatusUnreadable {
			why = refusal
		}
	}
	return nil, why
}

// versions returns the current version and the one before, to be left.
func (ix *treeIndex) versions() (versions []*treeVersion) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for _, t := range []*treeVersion{ix.current, ix.previous} {
		if t != nil {
			t.users++
			versions = append(versions, t)
		}
	}
	return versions
}

// holdOf is hold in one version. Without a refusal it has no such bytes.
func (ix *treeIndex) holdOf(t *treeVersion, checksum [32]byte) (v *version, why *wire.Refusal) {
	for _, v := range []*version{t.listing, t.times} {
		if v.offer.Checksum == checksum {
			return v, nil
		}
	}
	for i := range t.snapshot.Find(checksum) {
		if ix.isGone(t, i) {
			why = &wire.Refusal{Status: wire.StatusChanged, Text: textChanged}
			continue
		}
		v, doubtful, err := ix.open.acquire(fileOf{t, i})
		if doubtful {
			ix.soon(t)
		}
		switch {
		case err == nil:
			return v, nil
		case isOther(err):
			ix.lost(t, i)
			why = &wire.Refusal{Status: wire.StatusChanged, Text: textChanged}
		default:
			why = &wire.Refusal{Status: wire.StatusUnreadable, Text: "the file cannot be read"}
		}
	}
	return nil, why
}

// isOther reports whether opening a file failed since something else has its
// path now.
func isOther(err error) bool {
	for _, other := range []error{localfile.ErrChanged, localfile.ErrNotRegular, localfile.ErrNotDirectory, fs.ErrNotExist} {
		if errors.Is(err, other) {
			return true
		}
	}
	return errors.As(err, new(*localfile.TakeoverError))
}

func (ix *treeIndex) isGone(t *treeVersion, entry int) bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return t.gone[entry]
}

// lost says that an entry's file no longer holds what was hashed. It is never
// opened again for that version.
func (ix *treeIndex) lost(t *treeVersion, entry int) {
	ix.mu.Lock()
	t.gone[entry] = true
	ix.mu.Unlock()
	ix.open.forget(fileOf{t, entry})
	ix.soon(t)
}

// soon has the tree scanned if something of the current version has changed.
func (ix *treeIndex) soon(t *treeVersion) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if t == ix.current && !ix.scans.soon {
		ix.scans.soon = true
		ix.rouse()
	}
}

// release ends one use of a version. A listing and a list of times need none.
func (ix *treeIndex) release(v *version) {
	if v != nil && v.tree != nil {
		ix.open.release(v)
	}
}

// changed says that a file changed under its readers.
func (ix *treeIndex) changed(v *version) {
	if v.tree != nil {
		ix.lost(v.tree, v.entry)
	}
}

// doubt has a file hashed anew: it is not what was hashed, although the system
// says so, or its values are lost.
func (ix *treeIndex) doubt(v *version) {
	ix.mu.Lock()
	ix.scans.doubts = append(ix.scans.doubts, v.tree.snapshot.Entry(v.entry).Path)
	ix.mu.Unlock()
	ix.lost(v.tree, v.entry)
}

// examine reads a chunk again. If it has not its value, that is told, and the
// file is hashed anew.
func (ix *treeIndex) examine(v *version, chunk int) (good bool, err error) {
	good, readErr, err := ix.recheck.look(v, chunk)
	switch {
	case good || err != nil || v.tree == nil:
		return good, err
	case !v.isIntact(): // it was changed, which is no damage
		ix.changed(v)
		return false, nil
	}
	offset, length := manifest.Span(v.offer.Size, chunk)
	ix.tell(Damaged{Path: v.tree.snapshot.Entry(v.entry).Path, Chunk: chunk, Offset: offset, Length: length, Err: readErr})
	ix.doubt(v)
	return false, nil
}

// isReady reports whether there is a current version.
func (ix *treeIndex) isReady() bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.current != nil
}

// progress returns the progress of the version that is being made.
func (ix *treeIndex) progress() Hashing {
	p := &ix.making
	bytes, files := p.TotalBytes.Load(), p.TotalFiles.Load()
	return Hashing{
		Indexing: wire.Indexing{Done: min(p.Bytes.Load(), bytes), Total: bytes},
		Files:    min(p.Files.Load(), files), TotalFiles: files,
		Made: ix.times.made.Load(), Took: time.Duration(ix.times.took.Load()),
	}
}

// close ends the index's own use of its versions.
func (ix *treeIndex) close() {
	ix.mu.Lock()
	versions := []*treeVersion{ix.current, ix.previous, ix.base}
	ix.current, ix.previous, ix.base = nil, nil, nil
	ix.mu.Unlock()
	for _, t := range versions {
		ix.drop(t)
	}
}

// drop ends the index's use of a version, and closes its files unless the index
// still has it; t may be nil.
func (ix *treeIndex) drop(t *treeVersion) {
	if t == nil {
		return
	}
	ix.mu.Lock()
	held := t == ix.current || t == ix.previous
	ix.mu.Unlock()
	if !held {
		ix.open.forgetAll(t)
	}
	ix.leave(t)
}
