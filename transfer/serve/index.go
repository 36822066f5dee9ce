package serve

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"malcolm/transfer/localfile"
	"malcolm/transfer/pace"
	"malcolm/transfer/scan"
	"malcolm/wire"
)

const (
	// rebuildPause is the time between two tries to hash a file that
	// changed meanwhile or could not be read. It doubles up to
	// longestRebuildPause.
	rebuildPause        = time.Second
	longestRebuildPause = 5 * time.Minute
	// nameCheckTime bounds a client's wait for a look at the file's name. A
	// file system that hangs must not delay clients that ask for what is
	// already open.
	nameCheckTime = time.Second
	// forgetTime is how long the previous version is held after the last
	// request for it. Its file may be large and have lost its name.
	forgetTime = 10 * time.Minute
)

// An index makes the versions of a source, and holds the current and the
// previous one. One goroutine runs it, any other may ask.
type index struct {
	hashes     Hashes
	tell       func(Event)
	nameChecks singleflight.Group
	recheck    rechecks

	times  indexTimes
	making scan.Progress // of the version that is being made

	mu       sync.Mutex
	origins  origins
	current  *version      // nil before there is one
	previous *version      // the one before, nil when nobody asks for it any more
	failed   error         // why there is no current one; nil while it is being made
	ready    chan struct{} // closed when current or failed is set
	wake     chan struct{} // receives when current was dropped, or is doubted
	doubts   doubts        // of current
}

// doubts say when a version that may have changed is hashed anew. It is offered
// meanwhile. Each doubt that proves unfounded doubles the pause before the next
// one, since some file systems report something new of a file at each look.
type doubts struct {
	open    bool
	quiet   time.Time // until then nothing is hashed
	pause   time.Duration
	numbers bool // the file numbers are not stable: nothing follows from them
}

// reset forgets the doubts of another version.
func (d *doubts) reset() { *d = doubts{numbers: d.numbers} }

// wanted reports whether a version is to be hashed anew now.
func (d *doubts) wanted() bool { return d.open && !time.Now().Before(d.quiet) }

// settled says that the version was hashed anew and has not changed.
func (d *doubts) settled() {
	d.open, d.pause = false, min(max(2*d.pause, rebuildPause), longestRebuildPause)
	d.quiet = time.Now().Add(d.pause)
}

func newIndex(source localfile.Source, name string, hashes Hashes, tell func(Event)) *index {
	return &index{
		hashes: hashes, tell: tell, origins: origins{current: &origin{source, name}},
		ready: make(chan struct{}), wake: make(chan struct{}, 1),
	}
}

// acquire checks that the name still has the current version, and returns it,
// to be released. Before the first version is made there is a channel instead,
// which is closed when a version is there. The error says why the file cannot
// be hashed; hashing is tried again.
func (ix *index) acquire(ctx context.Context) (*version, <-chan struct{}, error) {
	looked := ix.nameChecks.DoChan("", func() (any, error) {
		ix.checkName()
		return nil, nil
	})
	late := time.NewTimer(nameCheckTime)
	defer late.Stop()
	select {
	case <-looked:
	case <-late.C:
	case <-ctx.Done():
	}
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if v := ix.current; v != nil {
		v.users++
		return v, nil, nil
	}
	return nil, ix.ready, ix.failed
}

// version returns the version with a checksum, to be released; nil: it is not
// held.
func (ix *index) version(checksum [32]byte) *version {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	for _, v := range []*version{ix.current, ix.previous} {
		if v != nil && v.offer.Checksum == checksum {
			v.users++
			v.asked = time.Now()
			return v
		}
	}
	return nil
}

// hold returns the version with a checksum, to be released, or why it is not
// held.
func (ix *index) hold(checksum [32]byte) (*version, *wire.Refusal) {
	offered := ix.times.offered.Load()
	if v := ix.version(checksum); v != nil {
		return v, nil
	}
	return nil, notHeld(offered)
}

// release ends one use of a version; v may be nil.
func (ix *index) release(v *version) {
	if v == nil {
		return
	}
	ix.mu.Lock()
	v.users--
	last := v.users == 0
	ix.mu.Unlock()
	if last {
		v.file.Close()
	}
}

// isReady reports whether there is a current version.
func (ix *index) isReady() bool {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.current != nil
}

// progress returns the progress of the version that is being made.
func (ix *index) progress() Hashing {
	total := ix.making.TotalBytes.Load()
	return Hashing{
		Indexing: wire.Indexing{Done: min(ix.making.Bytes.Load(), total), Total: total},
		Made:     ix.times.made.Load(), Took: time.Duration(ix.times.took.Load()),
	}
}

// checkName compares what has the name now with the current version. If the
// name cannot be looked at, nothing changes while the open file is intact.
func (ix *index) checkName() {
	ix.mu.Lock()
	v, numbers, source := ix.current, ix.doubts.numbers, ix.origins.current.source
	if v == nil {
		ix.mu.Unlock()
		return
	}
	v.users++
	ix.mu.Unlock()
	defer ix.release(v)
	info, err := source.Stat()
	intact := v.isIntact()
	switch {
	case errors.As(err, new(*localfile.TakeoverError)):
		ix.withdraw(v, err)
	case !intact:
		ix.changed(v)
	case err != nil:
	default:
		switch v.compare(info) {
		case otherContent: // another file has the name
			ix.retire(v, true)
		case otherStatus:
			ix.doubt(v)
		case otherNumber:
			if !numbers {
				ix.doubt(v)
			}
		}
	}
}

// changed says that a version's open file no longer holds what was hashed. No
// client gets another byte of it; new clients wait for a new version.
func (ix *index) changed(v *version) {
	ix.mu.Lock()
	if ix.previous == v {
		ix.previous = nil
		ix.mu.Unlock()
		ix.release(v)
		return
	}
	ix.mu.Unlock()
	ix.retire(v, false)
}

// retire ends a version's time as the current one. keep says that it is still
// intact. New clients wait for a new version.
func (ix *index) retire(v *version, keep bool) {
	ix.mu.Lock()
	if ix.current != v {
		ix.mu.Unlock()
		return
	}
	ix.current, ix.failed = nil, nil
	ix.doubts.reset()
	ix.ready = make(chan struct{})
	drop := v
	if keep {
		drop = ix.keep(v)
	}
	ix.mu.Unlock()
	ix.release(drop)
	ix.rouse()
}

// keep makes v the previous version, and returns the one that it replaces. The
// caller holds mu.
func (ix *index) keep(v *version) (drop *version) {
	drop, ix.previous = ix.previous, v
	v.asked = time.Now()
	return drop
}

// withdraw stops offering anything, because the file that has the name now is
// not to be trusted.
func (ix *index) withdraw(v *version, err error) {
	ix.mu.Lock()
	before := ix.previous
	ix.previous = nil
	ix.mu.Unlock()
	ix.release(before)
	ix.retire(v, false)
}

// doubt has a version hashed again while it is still offered.
func (ix *index) doubt(v *version) {
	ix.mu.Lock()
	first := ix.current == v && !ix.doubts.open
	if first {
		ix.doubts.open = true
	}
	ix.mu.Unlock()
	if first {
		ix.rouse()
	}
}

// rouse has the goroutine that runs the index look for work.
func (ix *index) rouse() {
	select {
	case ix.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// run makes a version, tells of it, and makes a new one each time the last was
// dropped or is doubted. It returns nil when ctx ends, or an error if the first
// version cannot be made; later ones are tried again. The versions stay until
// close.
func (ix *index) run(ctx context.Context) error {
	var told error
	pause := rebuildPause
	for first := true; ; {
		began := time.Now()
		from := ix.from()
		v, err := ix.build(ctx, from)
		ix.times.ended(began, v != nil)
		switch {
		case ctx.Err() != nil:
			discard(v)
			return nil
		case v != nil:
			first, told, pause = false, nil, rebuildPause
			ix.publish(v, from)
			if ix.await(ctx) != nil {
				return nil
			}
			continue
		case err != nil && first:
			return err
		case err != nil && ix.refuse(from):
			ix.tell(Unreadable{Err: err, Kept: true})
			if ix.await(ctx) != nil {
				return nil
			}
			continue
		case ix.isReady(): // what is offered is still good, as far as anybody knows
		case err != nil:
			ix.fail(err)
			if told == nil || told.Error() != err.Error() {
				ix.tell(Unreadable{Err: err})
			}
			told = err
		default:
			ix.tell(Unsteady{Pause: pause})
		}
		if pace.Sleep(ctx, pause) != nil {
			return nil
		}
		pause = min(2*pause, longestRebuildPause)
	}
}

// discard closes a version that nobody was shown; v may be nil.
func discard(v *version) {
	if v != nil {
		v.file.Close()
	}
}

// publish makes v, made from an origin, the current version. If the old one has
// the same name and bytes, nothing is told: the file was only touched, or its
// number changed.
func (ix *index) publish(v *version, from *origin) {
	ix.mu.Lock()
	old := ix.current
	renamed := ix.origins.adopt(from)
	v.users = 1
	ix.current, ix.failed = v, nil
	ix.times.offered.Store(true)
	closeOnce(ix.ready)
	same := old != nil && old.offer.Checksum == v.offer.Checksum
	unstable := same && !ix.doubts.numbers && old.compare(v.info) == otherNumber
	drop := old
	if same {
		ix.doubts.numbers = ix.doubts.numbers || unstable
		ix.doubts.settled()
	} else {
		ix.doubts.reset()
		if old != nil && !os.SameFile(old.info, v.info) { // else its bytes are gone
			drop = ix.keep(old)
		}
	}
	if ix.previous != nil && ix.previous.offer.Checksum == v.offer.Checksum {
		defer ix.release(ix.previous)
		ix.previous = nil
	}
	ix.mu.Unlock()
	ix.release(drop)
	if unstable {
		ix.tell(UnstableNumbers{})
	}
	if !same || renamed {
		ix.tell(Ready{Name: from.name, Offered: v.offer.Name, Size: v.offer.Size, Checksum: v.offer.Checksum})
	}
}

// await returns when a version is to be made. Meanwhile it lets go of the
// previous version when nobody asks for it any more.
func (ix *index) await(ctx context.Context) error {
	for {
		ix.mu.Lock()
		wanted := ix.current == nil || ix.origins.next != nil || ix.doubts.wanted()
		later := time.NewTimer(ix.later())
		ix.mu.Unlock()
		if wanted {
			later.Stop()
			return nil
		}
		select {
		case <-ix.wake:
		case <-later.C:
			ix.forget()
		case <-ctx.Done():
		}
		later.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// later returns the time until the index has work on its own. The caller holds
// mu.
func (ix *index) later() time.Duration {
	d := forgetTime
	if ix.previous != nil {
		d = min(d, time.Until(ix.previous.asked.Add(forgetTime)))
	}
	if ix.doubts.open {
		d = min(d, time.Until(ix.doubts.quiet))
	}
	return d
}

// forget lets go of the previous version if nobody has asked for it lately.
func (ix *index) forget() {
	ix.mu.Lock()
	v := ix.previous
	if v == nil || time.Since(v.asked) < forgetTime {
		ix.mu.Unlock()
		return
	}
	ix.previous = nil
	ix.mu.Unlock()
	ix.release(v)
}

// fail tells those who wait that the file cannot be hashed. Hashing is tried
// again.
func (ix *index) fail(err error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.failed = err
	closeOnce(ix.ready)
}

// closeOnce closes a channel that nothing is ever sent on.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// close ends the index's own use of its versions. Nothing is offered any more.
func (ix *index) close() {
	ix.mu.Lock()
	current, previous := ix.current, ix.previous
	ix.current, ix.previous = nil, nil
	ix.mu.Unlock()
	ix.release(current)
	ix.release(previous)
}
