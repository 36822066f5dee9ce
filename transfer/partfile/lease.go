package partfile

import (
	"context"
	"time"
)

// If the file system has no locks, a lease in the journal takes their place.
// The run that holds it rewrites the holder's block at every checkpoint, with
// one beat more, and first checks that the block is still its own. If not,
// another run has taken the part file, and this one stops. When it ends it
// clears the block.
//
// A run that finds a part file watches the block before it takes it. A block
// that changes belongs to a live run. Otherwise it writes its own and waits
// until a run that it did not see must have noticed. If two runs begin at the
// same moment, the one that wrote last goes on. No clock of another machine is
// asked.
//
// This is weaker than a lock: a run that was stopped while it was watched, and
// goes on later, may still write until its next checkpoint.
const (
	// leaseWatch is how long a holder's block must stay the same before its
	// run counts as dead: the time that some checkpoints take on a slow
	// disk.
	leaseWatch = 10 * time.Second
	// leaseSettle is longer than the time between two checkpoints.
	leaseSettle = 3 * time.Second
	leasePoll   = time.Second
)

// lock takes h's lock, or watches the lease. It is false if another run has the
// part file.
func (f *output) lock(ctx context.Context, h locker, made bool) (free bool, err error) {
	free, err = tryLock(ctx, h)
	if err == nil || !lacksLocks(err) {
		return free, err
	}
	if !f.leased {
		f.leased = true
		f.lack(Locks, err)
	}
	if made {
		return true, nil
	}
	return f.watchHolder(ctx)
}

// lockTries and lockPause bound the tries to get a lock: a run that only asks
// for the holder (see InUse) has it for an instant.
const (
	lockTries = 10
	lockPause = 10 * time.Millisecond
)

func tryLock(ctx context.Context, h locker) (free bool, err error) {
	for try := 1; ; try++ {
		free, err = h.Lock()
		if free || err != nil || try == lockTries {
			return free, err
		}
		if err := sleep(ctx, lockPause); err != nil {
			return false, err
		}
	}
}

// watchHolder waits until it is clear whether somebody holds the lease. free is
// false if so.
func (f *output) watchHolder(ctx context.Context) (free bool, err error) {
	state, _, first, _ := peekJournal(f.fs, f.name)
	if state == JournalUsable && first == (Holder{}) {
		return true, nil // the last run has cleared it
	}
	for waited := time.Duration(0); ; waited += leasePoll {
		if first == (Holder{}) && waited >= leaseSettle || waited >= leaseWatch {
			return true, nil
		}
		if err := sleep(ctx, leasePoll); err != nil {
			return false, err
		}
		state, _, now, _ := peekJournal(f.fs, f.name)
		switch {
		case first == (Holder{}) && now != first: // the journal was about to be made
			first, waited = now, 0
		case now == first:
		case state == JournalUsable && now != (Holder{}):
			return false, nil
		default: // it has ended
			first, waited = now, 0
		}
	}
}

// settleLease makes sure that this run, which has just written its holder's
// block, was the last to do so.
func (f *output) settleLease(ctx context.Context) error {
	if !f.leased || f.fresh {
		return nil
	}
	if err := sleep(ctx, leaseSettle); err != nil {
		return err
	}
	if err := f.holdsLease(); err != nil {
		return err
	}
	return f.bytes.stillNamed("open")
}

// holdsLease fails with Locked if the journal is now another run's.
func (f *output) holdsLease() error {
	if !f.leased {
		return nil
	}
	if _, _, now, err := peekJournal(f.fs, f.name); err == nil && now.run == f.holder.run {
		return nil
	}
	return locked(f.fs, f.name)
}

// renewLease says that this run is alive. f.end is held, or nobody else has f.
func (f *output) renewLease() error {
	if !f.leased {
		return nil
	}
	if err := f.holdsLease(); err != nil {
		return err
	}
	f.holder.beats++
	if err := f.writeJournal(f.holder.append(nil), headerLen); err != nil {
		return err
	}
	return f.syncJournal(f.journal.handle.Datasync)
}

// clearLease lets the next run begin at once.
func (f *output) clearLease() {
	if f.leased && f.journal.handle != nil && f.holdsLease() == nil {
		f.writeJournal(make([]byte, holderLen), headerLen) // else the next run waits
	}
}

// sleep waits for d. It fails with ctx's cause if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
