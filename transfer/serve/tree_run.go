package serve

import (
	"context"
	"errors"
	"time"

	"malcolm/transfer/localfile"
	"malcolm/transfer/pace"
	"malcolm/transfer/scan"
)

// soonest is the least time between two scans when a file was found changed.
const soonest = time.Second

// run makes a version, tells of it, and scans anew each time that is due.
func (ix *treeIndex) run(ctx context.Context) error {
	var told error
	pause := rebuildPause
	for first := true; ; {
		began := time.Now()
		err := ix.scan(ctx)
		ix.times.ended(began, err == nil)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			first, told, pause = false, nil, rebuildPause
			ix.keep()
			if ix.await(ctx) != nil {
				return nil
			}
			continue
		case first:
			return err
		}
		ix.fail(err)
		if !ix.isReady() && (told == nil || told.Error() != err.Error()) {
			ix.tell(Unreadable{Err: err})
			told = err
		}
		if pace.Sleep(ctx, pause) != nil {
			return nil
		}
		pause = min(2*pause, longestRebuildPause)
	}
}

// scan looks whether the tree has changed, and makes a new version if so. If
// what is to be scanned from now on cannot be, that is told, and forgotten.
func (ix *treeIndex) scan(ctx context.Context) error {
	defer ix.ended()
	left := ix.adopt()
	err := ix.look(ctx, left != nil)
	if err == nil || left == nil || ctx.Err() != nil {
		return err
	}
	ix.restored(left)
	ix.tell(Unreadable{Err: err, Kept: true})
	return nil
}

// look is scan. anew: nothing that was scanned before is compared.
func (ix *treeIndex) look(ctx context.Context, anew bool) error {
	base, doubts := ix.begin()
	var before *scan.Snapshot
	if base != nil {
		defer ix.leave(base)
	}
	if base != nil && !anew {
		before = base.snapshot
	}
	for _, path := range doubts {
		ix.scanner.Doubt(path)
	}
	look, err := ix.scanner.Look(ctx, before)
	if err != nil {
		return err
	}
	if look.Same() && ix.isReady() {
		look.Close()
		ix.restore()
		return nil
	}
	if look.Lost() {
		ix.retire()
	}
	snapshot, err := look.Hash(ctx, &ix.making)
	if err != nil {
		return err
	}
	t, err := newTreeVersion(ctx, ix, snapshot)
	if err != nil {
		snapshot.Close()
		return err
	}
	ix.publish(t)
	return nil
}

// keep has the cache keep what the last scan found. Those who ask for the next
// scan do not take the end of this for its end.
func (ix *treeIndex) keep() {
	ix.mu.Lock()
	base := ix.base
	if base == nil { // closed
		ix.mu.Unlock()
		return
	}
	base.users++
	ix.mu.Unlock()
	defer ix.leave(base)
	if err := ix.scanner.Keep(base.snapshot); err != nil {
		ix.tell(CacheFailed{Err: err})
	}
}

// begin begins a scan. It returns the version to compare with, which is to be
// left, and the paths to hash anew.
func (ix *treeIndex) begin() (base *treeVersion, doubts []string) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	doubts, ix.scans.doubts, ix.scans.soon = ix.scans.doubts, nil, false
	if ix.base != nil {
		ix.base.users++
	}
	return ix.base, doubts
}

// restore says that all files of the current version are as they were hashed:
// those that were missing a moment ago are looked for again.
func (ix *treeIndex) restore() {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.current != nil {
		clear(ix.current.gone)
	}
}

// ended says that a scan has ended.
func (ix *treeIndex) ended() {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	ix.scans.last = time.Now()
	ix.scans.release()
}

// release lets those go on who wait for the scan.
func (s *scans) release() {
	if s.ended != nil {
		close(s.ended)
		s.ended = nil
	}
}

// retire ends the current version's time: something in its listing is not there
// any more. New clients wait for a new version.
func (ix *treeIndex) retire() {
	ix.mu.Lock()
	t := ix.current
	var drop *treeVersion
	if t != nil {
		t.asked = time.Now()
		drop, ix.previous, ix.current, ix.failed = ix.previous, t, nil, nil
		ix.ready = make(chan struct{})
	}
	ix.scans.release()
	ix.mu.Unlock()
	ix.drop(drop)
}

// publish makes t the current version. If its listing is that of the last one,
// nobody is told.
func (ix *treeIndex) publish(t *treeVersion) {
	ix.mu.Lock()
	before, drop := ix.base, ix.current
	t.users++ // as base, and as current
	ix.base, ix.current, ix.failed = t, t, nil
	ix.times.offered.Store(true)
	closeOnce(ix.ready)
	same := before != nil && before.listing.offer.Checksum == t.listing.offer.Checksum && before.listing.offer.Name == t.listing.offer.Name
	if drop != nil && !same {
		drop.asked = time.Now()
		drop, ix.previous = ix.previous, drop
	}
	var gone *treeVersion
	if p := ix.previous; p != nil && p.listing.offer.Checksum == t.listing.offer.Checksum {
		gone, ix.previous = p, nil
	}
	ix.mu.Unlock()
	for _, old := range []*treeVersion{drop, gone, before} {
		ix.drop(old)
	}
	if !same {
		totals := t.snapshot.Totals()
		ix.tell(Ready{Name: ix.name, Offered: t.listing.offer.Name, Size: totals.Bytes, Checksum: t.listing.offer.Checksum, Tree: &totals, HardLinks: t.snapshot.HardLinks()})
	}
	if left := t.snapshot.LeftOut(); !left.Equal(ix.left) {
		ix.left = left
		ix.tell(LeftOut(left))
	}
	if ix.scanner.UnstableNumbers() && !ix.numbers {
		ix.numbers = true
		ix.tell(UnstableNumbers{})
	}
}

// await returns when a scan is due. Meanwhile it lets go of the previous
// version when nobody asks for it any more.
func (ix *treeIndex) await(ctx context.Context) error {
	for {
		ix.mu.Lock()
		wait, wanted := ix.due()
		later := forgetTime
		if ix.previous != nil {
			later = time.Until(ix.previous.asked.Add(forgetTime))
		}
		ix.mu.Unlock()
		if wanted && wait <= 0 {
			return nil
		}
		if wanted {
			later = min(later, wait)
		}
		timer := time.NewTimer(later)
		select {
		case <-ix.wake:
		case <-timer.C:
			ix.forget()
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// due returns the time until a scan that is wanted is due. The caller holds mu.
func (ix *treeIndex) due() (wait time.Duration, wanted bool) {
	s := &ix.scans
	switch {
	case s.ended != nil || ix.current == nil || ix.next != nil:
		return 0, true
	case s.soon:
		return time.Until(s.last.Add(min(soonest, ix.rescan))), true
	}
	return 0, false
}

// forget lets go of the previous version if nobody has asked for it lately.
func (ix *treeIndex) forget() {
	ix.mu.Lock()
	t := ix.previous
	if t == nil || time.Since(t.asked) < forgetTime {
		ix.mu.Unlock()
		return
	}
	ix.previous = nil
	ix.mu.Unlock()
	ix.drop(t)
}

// fail says that the tree cannot be scanned; that is tried again. What is
// offered stays, unless it is not to be trusted or known to be another one by
// now.
func (ix *treeIndex) fail(err error) {
	takenOver := errors.As(err, new(*localfile.TakeoverError))
	if takenOver || errors.Is(err, scan.ErrEmpty) || errors.Is(err, scan.ErrTooMany) || errors.As(err, new(*scan.LeftOutError)) {
		ix.retire()
	}
	ix.mu.Lock()
	var previous *treeVersion
	if takenOver {
		previous, ix.previous = ix.previous, nil
	}
	if ix.current == nil {
		ix.failed = err
		closeOnce(ix.ready)
	}
	ix.mu.Unlock()
	ix.drop(previous)
}
