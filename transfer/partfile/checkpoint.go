package partfile

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// maxPending is the number of marks kept for the next checkpoint. It holds 256
// GiB in chunks of 16 MiB, or all of a file with smaller chunks. When it is
// reached, Mark and MarkExisting call Sync.
const maxPending = 1 << 14

// marks is what the journal says of chunks, and is going to say.
type marks struct {
	claimed  bits // what the records of earlier runs say; bits are only cleared, with output.end held
	surveyed bool // see UsableJournal
	pending  pending
}

// pending is what the next checkpoint records.
type pending struct {
	mu     sync.Mutex
	marks  []record // chunks that were marked
	spare  []record // the last checkpoint's, empty: it is swapped with marks
	closed bool     // the survey is finished by these marks
	voids  []record // chunks to be declared void
}

// add notes a marked chunk. full reports whether maxPending is reached.
func (p *pending) add(chunk int, xxh [16]byte) (full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks = append(p.marks, record{kind: recordGood, chunk: uint32(chunk), xxh: xxh})
	return len(p.marks) >= maxPending
}

func (p *pending) addVoid(chunk int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.voids = append(p.voids, record{kind: recordVoid, chunk: uint32(chunk)})
}

// take hands over the marks, and a closing record if the survey is done. They
// are the caller's until the next take.
func (p *pending) take() []record {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.marks
	if p.closed {
		taken = append(taken, record{kind: recordClosed})
	}
	p.marks, p.spare, p.closed = p.spare[:0], taken, false
	return taken
}

func (p *pending) takeVoids() []record {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.voids
	p.voids = nil
	return taken
}

// Sync is a checkpoint: it makes the chunks marked so far durable, and then
// their records in the journal. Writes and marks go on meanwhile; those belong
// to the next checkpoint. Call it every few seconds, when the run ends, and
// before Commit. It does nothing if nothing was marked since the last. A
// failure is final, as nobody then knows which writes are on disk: every later
// Sync and Commit returns the same error without trying again.
func (f *output) Sync() error {
	f.end.Lock()
	defer f.end.Unlock()
	switch {
	case f.closed:
		return reasoned(f.fs, "sync", f.part, Internal, errClosed)
	case f.syncErr != nil:
		return f.syncErr
	case f.committed:
		return nil
	}
	marks := f.pending.take()
	if len(marks) == 0 {
		return nil
	}
	if err := f.sync(func() error { return f.bytes.persist(marks) }); err != nil {
		return err
	}
	return f.record(marks)
}

var errClosed = errors.New("closed")

// sync makes what was written durable. f.end is held.
func (f *output) sync(call func() error) error {
	if f.syncErr != nil {
		return f.syncErr
	}
	if err := f.synced(call()); err != nil {
		f.syncErr = f.bytes.lacking(failure(f.fs, "sync", f.part, err))
	}
	return f.syncErr
}

// record appends records in one write and makes them durable. f.end is held. A
// failure is as final as that of sync: what is behind the journal's end is
// unknown.
func (f *output) record(records []record) error {
	j := &f.journal
	b := make([]byte, 0, len(records)*recordLen)
	for _, r := range records {
		b = j.sealer.append(b, r)
	}
	err := f.writeJournal(b, j.end)
	if err == nil {
		err = f.syncJournal(j.handle.Datasync)
	}
	if err != nil {
		f.syncErr = f.bytes.lacking(err)
		return f.syncErr
	}
	j.end += int64(len(b))
	f.journal.recorded = true
	return nil
}

// void takes back, durably, what the journal claims of the chunk, before the
// first byte is written in its place. An xxh3 proves nothing about bytes that
// somebody chose, so it must not vouch for later ones. Callers who wait for the
// lock together share one append.
func (f *output) void(chunk int) error {
	f.pending.addVoid(chunk)
	f.end.Lock()
	defer f.end.Unlock()
	switch {
	case !f.claimed.has(chunk):
		return nil
	case f.closed || f.committed:
		return reasoned(f.fs, "write", f.part, Internal, errClosed)
	case f.syncErr != nil:
		return f.syncErr
	}
	// Voids that were requested while one was recorded are not needed: the
	// chunk may be good again.
	voids := slices.DeleteFunc(f.pending.takeVoids(), func(r record) bool { return !f.claimed.has(int(r.chunk)) })
	if err := f.record(voids); err != nil {
		return err
	}
	for _, r := range voids {
		f.claimed.clear(int(r.chunk))
	}
	return nil
}

// SurveyDone says that every chunk that was not Claimed has been checked, and
// marked if it was right. The next Sync records this with those marks, so a
// restart checks none of them by BLAKE3 again.
func (f *output) SurveyDone() {
	if f.surveyed {
		return
	}
	f.pending.mu.Lock()
	defer f.pending.mu.Unlock()
	f.pending.closed = true
}

// bits is a set of chunks, one bit each. Any goroutine may use it.
type bits []atomic.Uint64

func newBits(n int) bits { return make(bits, (n+63)/64) }

func (b bits) has(i int) bool { return b[i/64].Load()>>(i%64)&1 != 0 }

func (b bits) set(i int) { b[i/64].Or(1 << (i % 64)) }

func (b bits) clear(i int) { b[i/64].And(^uint64(1 << (i % 64))) }
